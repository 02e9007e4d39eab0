//! Does rounds of one kind of work, so that whoever saves or kills it finds it at that. Tells ten
//! times on the way how far it is, and at the end what all rounds have come to, which is the same
//! each time.

#![cfg_attr(xenolith_guest, no_std, no_main)]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use guest_kernel::armci::{Armci, Error, Mutexes, Sender, Strides};
use guest_kernel::{Exit, println};
use test_applications::random::Random;

guest_kernel::main!(run);

const USAGE: &str = "usage: rounds KIND COUNT
  registers    compute with nothing but the vector registers, all of them full
  locks        change a row on the last rank while holding a mutex of rank 0
  barriers     put to the next rank, and meet in barriers
  accumulates  add a strided section of 1 MiB to the next rank's memory
  messages     send 256 KiB round the ring of ranks";

/// Bytes of what an accumulate adds, and of a message.
const SECTION: usize = 1 << 20;
const MESSAGE: usize = 256 << 10;

fn run() -> Result<Exit, String> {
    let armci = guest_kernel::armci();
    let words: Vec<&str> = guest_kernel::args().iter().map(|word| word.as_str()).collect();
    let [kind, count] = words[..] else { return Err(USAGE.into()) };
    let rounds = Rounds { count: count.parse().map_err(|_| USAGE.to_string())? };
    let sum = match kind {
        "registers" => Ok(registers(armci, rounds)),
        "locks" => locks(armci, rounds),
        "barriers" => barriers(armci, rounds),
        "accumulates" => accumulates(armci, rounds),
        "messages" => messages(armci, rounds),
        _ => return Err(USAGE.into()),
    };
    let sum = sum.and_then(|sum| armci.barrier().map(|()| sum));
    let sum = sum.map_err(|error| format!("rank {}: {error}", armci.rank()))?;
    println!("rank {}: {kind}: {count} rounds come to {sum:016x}", armci.rank());
    Ok(Exit::SUCCESS)
}

/// How many rounds there are.
struct Rounds {
    count: u64,
}

impl Rounds {
    /// Does them all, and tells ten times how far that is.
    fn each(&self, mut round: impl FnMut(u64) -> Result<(), Error>) -> Result<(), Error> {
        for number in 1..=self.count {
            round(number)?;
            if number % self.count.div_ceil(10) == 0 {
                println!("round {number} of {}", self.count);
            }
        }
        Ok(())
    }
}

/// A sum of words that depends on their order.
fn checksum(words: &[u64]) -> u64 {
    words.iter().fold(0, |sum, word| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn registers(armci: &Armci, rounds: Rounds) -> u64 {
    let mut random = Random::new(armci.rank() as u64);
    let mut lanes = [0u64; 32];
    lanes.fill_with(|| random.bits());
    // It never fails.
    let _ = rounds.each(|_| {
        mix(&mut lanes);
        Ok(())
    });
    checksum(&lanes)
}

/// Adds each vector register to the next one, again and again. A register that is lost changes all.
fn mix(lanes: &mut [u64; 32]) {
    const STEPS: u64 = 100_000;
    // SAFETY: SSE2, which every x86-64 processor has; it reads and writes the 256 bytes of `lanes`
    // and all registers that are named, and no stack.
    unsafe {
        core::arch::asm!(
            "movups xmm0, [{lanes}]",
            "movups xmm1, [{lanes} + 16]",
            "movups xmm2, [{lanes} + 32]",
            "movups xmm3, [{lanes} + 48]",
            "movups xmm4, [{lanes} + 64]",
            "movups xmm5, [{lanes} + 80]",
            "movups xmm6, [{lanes} + 96]",
            "movups xmm7, [{lanes} + 112]",
            "movups xmm8, [{lanes} + 128]",
            "movups xmm9, [{lanes} + 144]",
            "movups xmm10, [{lanes} + 160]",
            "movups xmm11, [{lanes} + 176]",
            "movups xmm12, [{lanes} + 192]",
            "movups xmm13, [{lanes} + 208]",
            "movups xmm14, [{lanes} + 224]",
            "movups xmm15, [{lanes} + 240]",
            "2:",
            "paddq xmm0, xmm15",
            "paddq xmm1, xmm0",
            "paddq xmm2, xmm1",
            "paddq xmm3, xmm2",
            "paddq xmm4, xmm3",
            "paddq xmm5, xmm4",
            "paddq xmm6, xmm5",
            "paddq xmm7, xmm6",
            "paddq xmm8, xmm7",
            "paddq xmm9, xmm8",
            "paddq xmm10, xmm9",
            "paddq xmm11, xmm10",
            "paddq xmm12, xmm11",
            "paddq xmm13, xmm12",
            "paddq xmm14, xmm13",
            "paddq xmm15, xmm14",
            "dec {steps}",
            "jnz 2b",
            "movups [{lanes}], xmm0",
            "movups [{lanes} + 16], xmm1",
            "movups [{lanes} + 32], xmm2",
            "movups [{lanes} + 48], xmm3",
            "movups [{lanes} + 64], xmm4",
            "movups [{lanes} + 80], xmm5",
            "movups [{lanes} + 96], xmm6",
            "movups [{lanes} + 112], xmm7",
            "movups [{lanes} + 128], xmm8",
            "movups [{lanes} + 144], xmm9",
            "movups [{lanes} + 160], xmm10",
            "movups [{lanes} + 176], xmm11",
            "movups [{lanes} + 192], xmm12",
            "movups [{lanes} + 208], xmm13",
            "movups [{lanes} + 224], xmm14",
            "movups [{lanes} + 240], xmm15",
            lanes = in(reg) lanes.as_mut_ptr(),
            steps = inout(reg) STEPS => _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            options(nostack),
        );
    }
}

fn locks(armci: &Armci, rounds: Rounds) -> Result<u64, Error> {
    const ROW: usize = 64;
    let mutexes = Mutexes::create(armci, usize::from(armci.rank() == 0))?;
    let rows = armci.malloc::<u64>(ROW)?;
    let last = rows.at(armci.size() - 1, 0);
    let mut broken = 0;
    rounds.each(|_| {
        mutexes.lock(armci, 0, 0)?;
        let mut row = [0; ROW];
        armci.get(&mut row, last)?;
        // A row that somebody else was still putting.
        broken += u64::from(row != [row[0]; ROW]);
        armci.put(&[row[0] + 1; ROW], last)?;
        mutexes.unlock(armci, 0, 0)
    })?;
    armci.barrier()?;
    let mut row = [0; ROW];
    armci.get(&mut row, last)?;
    armci.free(rows)?;
    mutexes.destroy(armci)?;
    Ok(checksum(&row) ^ broken)
}

fn barriers(armci: &Armci, rounds: Rounds) -> Result<u64, Error> {
    let (rank, next) = (armci.rank() as u64, (armci.rank() + 1) % armci.size());
    let word = armci.malloc::<u64>(1)?;
    let mut sum = rank;
    rounds.each(|_| {
        armci.put_value(sum, word.at(next, 0))?;
        armci.barrier()?;
        sum = checksum(&[sum, word.load(0)?]);
        armci.barrier()
    })?;
    armci.free(word)?;
    Ok(sum)
}

fn accumulates(armci: &Armci, rounds: Rounds) -> Result<u64, Error> {
    // Rows of 4 KiB, half of the memory that they lie in.
    const ROW: usize = 512;
    const ROWS: usize = SECTION / 8 / ROW;
    let (rank, next) = (armci.rank(), (armci.rank() + 1) % armci.size());
    let sums = armci.malloc::<i64>(2 * ROW * ROWS)?;
    let mut random = Random::new(rank as u64);
    let source: Vec<i64> = (0..ROW * ROWS).map(|_| random.bits() as i64).collect();
    let shape = Strides { counts: &[ROW, ROWS], local: &[ROW], remote: &[2 * ROW] };
    rounds
        .each(|round| armci.accumulate_strided(round as i64, &source, sums.at(next, 0), &shape))?;
    armci.barrier()?;
    let mut row = [0i64; ROW];
    let mut found = 0;
    for number in 0..2 * ROWS {
        sums.read(number * ROW, &mut row)?;
        found = row.iter().fold(found, |sum, &word| checksum(&[sum, word as u64]));
    }
    armci.free(sums)?;
    Ok(found)
}

fn messages(armci: &Armci, rounds: Rounds) -> Result<u64, Error> {
    let (rank, size) = (armci.rank(), armci.size());
    let (next, previous) = ((rank + 1) % size, (rank + size - 1) % size);
    let mut random = Random::new(rank as u64);
    let mut message: Vec<u64> = (0..MESSAGE / 8).map(|_| random.bits()).collect();
    let mut received = vec![0; MESSAGE / 8];
    rounds.each(|round| {
        let tag = round as i32;
        // Each second rank listens first, so that nobody needs room for what is under way.
        if rank % 2 == 0 {
            armci.send(next, tag, &message)?;
            armci.receive(Sender::Rank(previous), Some(tag), &mut received)?;
        } else {
            armci.receive(Sender::Rank(previous), Some(tag), &mut received)?;
            armci.send(next, tag, &message)?;
        }
        core::mem::swap(&mut message, &mut received);
        message[0] = checksum(&[message[0], round]);
        Ok(())
    })?;
    Ok(checksum(&message))
}

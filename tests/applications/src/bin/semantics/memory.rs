//! Collective memory, put and get.

use alloc::vec;
use alloc::vec::Vec;

use guest_kernel::armci::{Armci, Error};

use crate::random::Random;
use crate::{Case, Verdict, expect_eq};

pub const CASES: &[Case] = &[
    ("memory is zeroed and aligned", zeroed),
    ("memory of different lengths, zero included", different_lengths),
    ("memory that is not there fails everywhere and leaves nothing", too_much),
    ("memory given back can be had again", given_back),
    ("put and get round the ring", round_the_ring),
    ("put from and get into any memory at any alignment", any_memory),
    ("put and get of every small length", small_lengths),
    ("put and get of nothing", nothing),
    ("put and get of a megabyte", a_megabyte),
    ("put and get to oneself", to_oneself),
    ("put past the end is refused before it starts", past_the_end),
    ("random puts and gets against a model", against_a_model),
];

fn zeroed(armci: &Armci) -> Verdict {
    for _ in 0..3 {
        let global = armci.malloc::<u64>(100)?;
        let mut own = vec![1; 100];
        global.read(0, &mut own)?;
        expect_eq!(own, vec![0; 100], "fresh memory");
        global.write(0, &[u64::MAX; 100])?;
        armci.free(global)?;
    }
    let global = armci.malloc::<f64>(1)?;
    // SAFETY: nobody else touches it before the barrier in `free`.
    let address = unsafe { global.as_mut_slice() }.as_ptr().addr();
    expect_eq!(address % 64, 0, "alignment");
    Ok(armci.free(global)?)
}

fn different_lengths(armci: &Armci) -> Verdict {
    let global = armci.malloc::<u32>(10 * armci.rank())?;
    expect_eq!(global.is_empty(), armci.rank() == 0, "emptiness");
    for rank in 0..armci.size() {
        expect_eq!(global.len_at(rank), 10 * rank, "length at rank {rank}");
        let last = 10 * rank;
        armci.put(&[], global.at(rank, last))?;
        if rank > 0 {
            armci.get(&mut [0; 10], global.at(rank, last - 10))?;
        }
    }
    armci.free(global)?;
    let empty = armci.malloc::<u32>(0)?;
    Ok(armci.free(empty)?)
}

fn too_much(armci: &Armci) -> Verdict {
    let last = armci.size() - 1;
    for _ in 0..3 {
        // Only one rank asks for too much.
        let len = if armci.rank() == last { 1 << 40 } else { 1000 };
        let result = armci.malloc::<u64>(len);
        expect_eq!(
            result.err(),
            Some(Error::OutOfMemory { bytes: 8 * len }),
            "allocation of {len} words"
        );
    }
    let result = armci.malloc::<u64>(usize::MAX);
    expect_eq!(result.is_err(), true, "allocation of more than there are addresses");
    let global = armci.malloc::<u64>(1000)?;
    Ok(armci.free(global)?)
}

fn given_back(armci: &Armci) -> Verdict {
    // Together far more than a rank has.
    for _ in 0..200 {
        let (a, b) = (armci.malloc::<u8>(150_000)?, armci.malloc::<u8>(100_000)?);
        armci.free(a)?;
        armci.free(b)?;
    }
    Ok(())
}

fn round_the_ring(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let global = armci.malloc::<u64>(size * 100)?;
    let next = (rank + 1) % size;
    let mine: Vec<u64> = (0..100).map(|i| (rank * 1000 + i) as u64).collect();
    armci.put(&mine, global.at(next, 100 * rank))?;
    armci.barrier()?;
    let previous = (rank + size - 1) % size;
    let mut got = vec![0; 100];
    global.read(100 * previous, &mut got)?;
    let expected: Vec<u64> = (0..100).map(|i| (previous * 1000 + i) as u64).collect();
    expect_eq!(got, expected, "what rank {previous} has put");
    armci.get(&mut got, global.at(next, 100 * rank))?;
    expect_eq!(got, mine, "what was put to rank {next}");
    Ok(armci.free(global)?)
}

/// In the guest's read-only data, which the proxy must be able to read too.
static CONSTANT: [u8; 100] = *b"01234567890123456789012345678901234567890123456789\
       01234567890123456789012345678901234567890123456789";

fn any_memory(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let global = armci.malloc::<u8>(300)?;
    let target = (rank + 1) % size;
    let heap: Vec<u8> = (0..100).map(|i| (i * 7) as u8).collect();
    for shift in 0..9 {
        let mut stack = [0u8; 100];
        let len = 90 - shift;
        armci.put(&heap[shift..90], global.at(target, 3 * shift))?;
        armci.get(&mut stack[..len], global.at(target, 3 * shift))?;
        expect_eq!(stack[..len], heap[shift..90], "from the heap, shifted by {shift}");
        armci.put(&stack[shift..], global.at(target, 100 + shift))?;
        let mut back = vec![0; 100 - shift];
        armci.get(&mut back, global.at(target, 100 + shift))?;
        expect_eq!(back, &stack[shift..], "from the stack, shifted by {shift}");
    }
    armci.put(&CONSTANT, global.at(target, 1))?;
    let mut back = [0; 100];
    armci.get(&mut back, global.at(target, 1))?;
    expect_eq!(back, CONSTANT, "constant data");
    Ok(armci.free(global)?)
}

fn small_lengths(armci: &Armci) -> Verdict {
    let target = (armci.rank() + 1) % armci.size();
    let global = armci.malloc::<u8>(256)?;
    let data: Vec<u8> = (1..=64).collect();
    for len in 0..=64 {
        armci.put(&[0xee; 80], global.at(target, 64))?;
        armci.put(&data[..len], global.at(target, 72))?;
        let mut got = [0; 80];
        armci.get(&mut got, global.at(target, 64))?;
        expect_eq!(got[..8], [0xee; 8], "before {len} bytes");
        expect_eq!(got[8..8 + len], data[..len], "{len} bytes");
        expect_eq!(got[8 + len..].iter().all(|&byte| byte == 0xee), true, "after {len} bytes");
    }
    Ok(armci.free(global)?)
}

fn nothing(armci: &Armci) -> Verdict {
    let global = armci.malloc::<u64>(0)?;
    for rank in 0..armci.size() {
        armci.put(&[], global.at(rank, 0))?;
        armci.get(&mut [], global.at(rank, 0))?;
        armci.nonblocking(|nb| {
            let put = nb.put(&[], global.at(rank, 0))?;
            nb.wait(put)
        })?;
    }
    Ok(armci.free(global)?)
}

fn a_megabyte(armci: &Armci) -> Verdict {
    const WORDS: usize = 1 << 17;
    let (rank, size) = (armci.rank(), armci.size());
    let global = armci.malloc::<u64>(WORDS)?;
    let mut data: Vec<u64> = (0..WORDS).map(|i| (i * 3 + rank) as u64).collect();
    armci.put(&data, global.at((rank + 1) % size, 0))?;
    data.fill(0);
    armci.barrier()?;
    armci.get(&mut data, global.at((rank + 2) % size, 0))?;
    let from = (rank + 1) % size;
    let wrong = (0..WORDS).find(|&i| data[i] != (i * 3 + from) as u64);
    expect_eq!(wrong, None, "first wrong word");
    Ok(armci.free(global)?)
}

fn to_oneself(armci: &Armci) -> Verdict {
    let rank = armci.rank();
    let global = armci.malloc::<u64>(100)?;
    let data: Vec<u64> = (0..50).collect();
    armci.put(&data, global.at(rank, 10))?;
    let mut got = vec![0; 50];
    armci.get(&mut got, global.at(rank, 10))?;
    expect_eq!(got, data, "put to oneself");
    Ok(armci.free(global)?)
}

fn past_the_end(armci: &Armci) -> Verdict {
    let global = armci.malloc::<u64>(10)?;
    let refused = Some(Error::OutOfBounds { rank: 0, len: 6, room: 5 });
    expect_eq!(armci.put(&[0; 6], global.at(0, 5)).err(), refused, "put");
    expect_eq!(armci.get(&mut [0; 6], global.at(0, 5)).err(), refused, "get");
    armci.put(&[0; 5], global.at(0, 5))?;
    Ok(armci.free(global)?)
}

/// Ranks put and get at random, each in its own stripe of every part; all know what all others do.
fn against_a_model(armci: &Armci) -> Verdict {
    const STRIPE: usize = 3000;
    let (rank, size) = (armci.rank(), armci.size());
    let global = armci.malloc::<u8>(STRIPE * size)?;
    // What the stripes of this rank's own part must hold, by origin.
    let mut model = vec![0u8; STRIPE * size];
    for origin in 0..size {
        let mut random = Random(origin as u64 + 1);
        // What origin has put on each target, to check its gets.
        let mut stripes = vec![vec![0u8; STRIPE]; size];
        for _ in 0..300 {
            let target = random.below(size);
            let start = random.below(STRIPE);
            let most = 1 << random.below(12);
            let len = random.below((STRIPE - start).min(most) + 1);
            if random.below(3) == 0 {
                if origin == rank {
                    let mut got = vec![0; len];
                    armci.get(&mut got, global.at(target, STRIPE * origin + start))?;
                    expect_eq!(
                        got,
                        &stripes[target][start..start + len],
                        "{len} bytes at {start} of rank {target}"
                    );
                }
            } else {
                let bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
                if origin == rank {
                    armci.put(&bytes, global.at(target, STRIPE * origin + start))?;
                }
                stripes[target][start..start + len].copy_from_slice(&bytes);
            }
        }
        model[STRIPE * origin..][..STRIPE].copy_from_slice(&stripes[rank]);
    }
    armci.barrier()?;
    let mut own = vec![0; STRIPE * size];
    global.read(0, &mut own)?;
    expect_eq!(own.iter().zip(&model).position(|(a, b)| a != b), None, "first byte that differs");
    Ok(armci.free(global)?)
}

//! Random updates of a distributed table, after the HPC Challenge's RandomAccess.
//!
//! `randomaccess [--log2-table 12] [--updates-per-word 4] [--fetch-add]`: each rank makes its share
//! of the updates, anywhere in the table, in batches of non-blocking operations. Where HPC
//! Challenge combines by exclusive or, and allows for lost updates, this adds (wrapping), which
//! ARMCI does atomically. Afterwards each rank replays all updates of all ranks on its own part of
//! the table: every word must be right. With `--fetch-add` the updates are read-modify-writes, one
//! after the other, instead of accumulates.

#![cfg_attr(xenolith_guest, no_std, no_main)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod layout;
mod sequence;

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use guest_kernel::armci::{Armci, Error, Global, ReduceOp};
use guest_kernel::{Exit, clock, println};

use layout::Layout;
use sequence::Sequence;

/// Updates made before any of them need be seen: HPC Challenge allows as many to be under way on
/// each rank.
const BATCH: usize = 1024;

guest_kernel::main!(run);

fn run() -> Exit {
    let armci = guest_kernel::armci();
    let options = match Options::parse(guest_kernel::args()) {
        Ok(options) => options,
        Err(reason) => {
            if armci.rank() == 0 {
                println!("randomaccess: {reason}");
            }
            return Exit::from(2);
        }
    };
    match benchmark(armci, &options) {
        Ok(0) => Exit::SUCCESS,
        Ok(_) => Exit::FAILURE,
        Err(error) => {
            println!("randomaccess: rank {}: {error}", armci.rank());
            Exit::FAILURE
        }
    }
}

/// What the user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Options {
    log2_words: u32,
    updates_per_word: u64,
    fetch_add: bool,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Options { log2_words: 12, updates_per_word: 4, fetch_add: false };
        let mut args = args.iter();
        while let Some(option) = args.next() {
            match option.as_str() {
                "--fetch-add" => options.fetch_add = true,
                "--log2-table" => options.log2_words = number(option, args.next(), 1..=32)? as u32,
                "--updates-per-word" => {
                    options.updates_per_word = number(option, args.next(), 1..=1024)?
                }
                _ => {
                    return Err(
                        "usage: randomaccess [--log2-table N] [--updates-per-word N] [--fetch-add]"
                            .to_string(),
                    );
                }
            }
        }
        Ok(options)
    }
}

fn number(
    option: &str,
    value: Option<&String>,
    range: core::ops::RangeInclusive<u64>,
) -> Result<u64, String> {
    let bad = || format!("{option} needs a number from {} to {}", range.start(), range.end());
    value
        .and_then(|value| value.parse().ok())
        .filter(|number| range.contains(number))
        .ok_or_else(bad)
}

/// Makes the updates and returns how many words of the whole table are wrong.
fn benchmark(armci: &Armci, options: &Options) -> Result<u64, Error> {
    let rank = armci.rank();
    let layout = Layout::new(options.log2_words, armci.size());
    let updates = layout.words() * options.updates_per_word;
    if rank == 0 {
        println!("HPC Challenge: RandomAccess by addition, on ARMCI");
        println!("  words       {}", layout.words());
        println!(
            "  updates     {updates}, by {}",
            if options.fetch_add { "fetch-and-add" } else { "accumulate" }
        );
        println!("  ranks       {}", armci.size());
    }

    let part = layout.part(rank);
    let table = armci.malloc::<i64>((part.end - part.start) as usize)?;
    fill(&table, part.clone())?;
    armci.barrier()?;

    let started = clock::now();
    let share = layout.share(rank, updates);
    if options.fetch_add {
        update_by_fetch_add(armci, &table, &layout, share)?;
    } else {
        update_by_accumulate(armci, &table, &layout, share)?;
    }
    armci.barrier()?;
    let elapsed = clock::now().saturating_sub(started);

    let mut errors = [wrong_words(&table, part, &layout, updates)?];
    armci.reduce(ReduceOp::Sum, &mut errors)?;
    armci.free(table)?;
    if rank == 0 {
        let seconds = elapsed.as_secs_f64();
        println!("  errors      {} in {} words", errors[0], layout.words());
        println!("VERIFICATION {}", if errors[0] == 0 { "SUCCESSFUL" } else { "FAILED" });
        println!("  time        {seconds:.3} s");
        println!(
            "  GUPS        {:.9} (means nothing under emulation)",
            updates as f64 / seconds / 1e9
        );
    }
    Ok(errors[0])
}

/// At the start every word holds its own number.
fn fill(table: &Global<i64>, part: Range<u64>) -> Result<(), Error> {
    let mut words = part.map(|word| word as i64);
    let mut start = 0;
    loop {
        let chunk: Vec<i64> = words.by_ref().take(BATCH).collect();
        if chunk.is_empty() {
            return Ok(());
        }
        table.write(start, &chunk)?;
        start += chunk.len();
    }
}

fn update_by_fetch_add(
    armci: &Armci,
    table: &Global<i64>,
    layout: &Layout,
    share: Range<u64>,
) -> Result<(), Error> {
    for number in numbers(share) {
        let (rank, index) = layout.place(layout.word(number));
        armci.fetch_add(table.at(rank, index), number as i64)?;
    }
    Ok(())
}

fn update_by_accumulate(
    armci: &Armci,
    table: &Global<i64>,
    layout: &Layout,
    share: Range<u64>,
) -> Result<(), Error> {
    // Non-blocking operations want their data in memory that the proxy can reach, as collective
    // memory is.
    let staging = armci.malloc::<i64>(BATCH)?;
    {
        // SAFETY: no pointer to this rank's part is ever given away, so that no operation but those
        // below touches it.
        let batch = unsafe { staging.as_mut_slice() };
        let mut numbers = numbers(share);
        loop {
            let mut len = 0;
            for (slot, number) in batch.iter_mut().zip(&mut numbers) {
                *slot = number as i64;
                len += 1;
            }
            if len == 0 {
                break;
            }
            let batch = &batch[..len];
            armci.nonblocking(|nb| {
                for number in batch.chunks_exact(1) {
                    let (rank, index) = layout.place(layout.word(number[0] as u64));
                    // The end of the scope waits for all.
                    let _ = nb.accumulate(1, number, table.at(rank, index))?;
                }
                Ok(())
            })?;
        }
    }
    armci.free(staging)
}

/// The random numbers of a share of the updates.
fn numbers(share: Range<u64>) -> impl Iterator<Item = u64> {
    let count = (share.end - share.start) as usize;
    Sequence::after(share.start).take(count)
}

/// Replays all updates on this rank's part and counts the words that differ.
fn wrong_words(
    table: &Global<i64>,
    part: Range<u64>,
    layout: &Layout,
    updates: u64,
) -> Result<u64, Error> {
    let mut expected: Vec<i64> = part.clone().map(|word| word as i64).collect();
    for number in numbers(0..updates) {
        let word = layout.word(number);
        if part.contains(&word) {
            let expected = &mut expected[(word - part.start) as usize];
            *expected = expected.wrapping_add(number as i64);
        }
    }
    let mut wrong = 0;
    let mut found = vec![0; BATCH];
    for (index, expected) in expected.chunks(BATCH).enumerate() {
        let found = &mut found[..expected.len()];
        table.read(index * BATCH, found)?;
        wrong +=
            expected.iter().zip(found).filter(|(expected, found)| **expected != **found).count()
                as u64;
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        Options::parse(&text.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_or_refused() {
        assert_eq!(
            parse(""),
            Ok(Options { log2_words: 12, updates_per_word: 4, fetch_add: false })
        );
        assert_eq!(
            parse("--updates-per-word 2 --log2-table 7 --fetch-add"),
            Ok(Options { log2_words: 7, updates_per_word: 2, fetch_add: true })
        );
        for bad in [
            "--log2-table",
            "--log2-table 0",
            "--log2-table 33",
            "--updates-per-word x",
            "--size 3",
            "12",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn both_ways_to_update_leave_no_error_on_one_rank() {
        let armci = Armci::alone();
        for fetch_add in [false, true] {
            let options = Options { log2_words: 10, updates_per_word: 4, fetch_add };
            assert_eq!(benchmark(&armci, &options), Ok(0));
        }
    }

    #[test]
    fn one_lost_update_is_noticed() {
        let armci = Armci::alone();
        let layout = Layout::new(8, 1);
        let table = armci.malloc::<i64>(256).expect("a small table");
        fill(&table, 0..256).expect("the table can be written");
        update_by_fetch_add(&armci, &table, &layout, 0..1023).expect("updates work");
        assert_eq!(wrong_words(&table, 0..256, &layout, 1024), Ok(1));
        assert_eq!(wrong_words(&table, 0..256, &layout, 1023), Ok(0));
    }
}

//! Fetch-and-add and swap, alone and under contention.

use alloc::vec;
use core::hint::black_box;

use guest_kernel::armci::{Armci, ReduceOp};

use crate::{Case, Verdict, expect_eq};

pub const CASES: &[Case] = &[
    ("rmw of 32 and 64 bits returns what was there", returns_old),
    ("rmw of 32 bits leaves the neighbour alone", leaves_neighbour),
    ("rmw tickets from all ranks are all different", tickets),
    ("rmw swap passes a token through all hands", token),
    ("rmw on a rank that only computes", passive_target),
];

fn returns_old(armci: &Armci) -> Verdict {
    let (words, longs) = (armci.malloc::<i32>(1)?, armci.malloc::<i64>(1)?);
    if armci.rank() == 0 {
        for target in 0..armci.size() {
            expect_eq!(armci.fetch_add(words.at(target, 0), 5)?, 0, "first add");
            expect_eq!(armci.fetch_add(words.at(target, 0), -7)?, 5, "second add");
            expect_eq!(armci.swap(words.at(target, 0), 9)?, -2, "swap");
            expect_eq!(armci.swap(words.at(target, 0), 0)?, 9, "second swap");
            expect_eq!(armci.fetch_add(longs.at(target, 0), 1 << 40)?, 0, "first long add");
            expect_eq!(armci.fetch_add(longs.at(target, 0), -1)?, 1 << 40, "second long add");
            expect_eq!(armci.swap(longs.at(target, 0), -3)?, (1 << 40) - 1, "long swap");
            expect_eq!(armci.fetch_add(longs.at(target, 0), i64::MIN)?, -3, "add past the least");
        }
    }
    armci.free(words)?;
    Ok(armci.free(longs)?)
}

fn leaves_neighbour(armci: &Armci) -> Verdict {
    let words = armci.malloc::<u32>(4)?;
    let target = (armci.rank() + 1) % armci.size();
    armci.put(&[1, u32::MAX, 3, 4], words.at(target, 0))?;
    expect_eq!(armci.fetch_add(words.at(target, 1), 1)?, u32::MAX, "word before it wraps");
    let mut all = [9; 4];
    armci.get(&mut all, words.at(target, 0))?;
    expect_eq!(all, [1, 0, 3, 4], "words after");
    Ok(armci.free(words)?)
}

fn tickets(armci: &Armci) -> Verdict {
    const EACH: usize = 300;
    let size = armci.size();
    let counter = armci.malloc::<u64>(1)?;
    let mut taken = vec![0u32; EACH * size];
    for _ in 0..EACH {
        let ticket = armci.fetch_add(counter.at(size - 1, 0), 1)? as usize;
        expect_eq!(ticket < taken.len(), true, "ticket {ticket} in range");
        taken[ticket] += 1;
    }
    armci.reduce(ReduceOp::Sum, &mut taken)?;
    expect_eq!(taken.iter().position(|&times| times != 1), None, "first ticket not taken once");
    Ok(armci.free(counter)?)
}

fn token(armci: &Armci) -> Verdict {
    const ROUNDS: usize = 100;
    // Whoever swaps the token out of the cell puts it back one higher; the token is never lost or
    // doubled.
    let cell = armci.malloc::<u64>(1)?;
    if armci.rank() == 0 {
        armci.put(&[1], cell.at(0, 0))?;
    }
    armci.barrier()?;
    let mut held = 0;
    while held < ROUNDS {
        let token = armci.swap(cell.at(0, 0), 0)?;
        if token != 0 {
            held += 1;
            let empty = armci.swap(cell.at(0, 0), token + 1)?;
            expect_eq!(empty, 0, "cell while the token is held");
        }
    }
    armci.barrier()?;
    let mut token = [0];
    armci.get(&mut token, cell.at(0, 0))?;
    expect_eq!(token, [1 + (ROUNDS * armci.size()) as u64], "token at the end");
    Ok(armci.free(cell)?)
}

/// The last rank computes and calls nothing until the others, who need it, are done.
fn passive_target(armci: &Armci) -> Verdict {
    let last = armci.size() - 1;
    let words = armci.malloc::<u64>(2)?;
    if last > 0 {
        if armci.rank() == last {
            let mut x = 1.0f64;
            while words.load(1)? < last as u64 {
                for _ in 0..1000 {
                    x = black_box(x * 1.000_001);
                }
            }
        } else {
            for _ in 0..50 {
                armci.fetch_add(words.at(last, 0), 1)?;
            }
            armci.fetch_add(words.at(last, 1), 1)?;
        }
    }
    armci.barrier()?;
    let mut counts = [0; 2];
    armci.get(&mut counts, words.at(last, 0))?;
    expect_eq!(counts, [50 * last as u64, last as u64], "counts");
    Ok(armci.free(words)?)
}

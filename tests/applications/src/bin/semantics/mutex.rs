//! Mutexes.

use alloc::vec;

use guest_kernel::armci::{Armci, Error, Mutexes};

use crate::{Case, Verdict, expect_eq};

pub const CASES: &[Case] = &[
    ("mutexes let one rank in at a time, who sees what was put before", one_at_a_time),
    ("mutexes are fair", fair),
    ("mutexes can be held by the dozen", by_the_dozen),
    ("mutexes can be tried", tried),
    ("mutexes that do not exist or are not held are refused", refused),
];

/// A counter that is not changed atomically, and a row that is put, under a mutex on another rank
/// than they are.
fn one_at_a_time(armci: &Armci) -> Verdict {
    const ROUNDS: u64 = 40;
    let size = armci.size();
    let mutexes = Mutexes::create(armci, 2)?;
    let data = armci.malloc::<u64>(100)?;
    let last = data.at(size - 1, 0);
    for _ in 0..ROUNDS {
        mutexes.lock(armci, 1, 0)?;
        let mut row = vec![0; 100];
        armci.get(&mut row, last)?;
        expect_eq!(row, vec![row[0]; 100], "a row that somebody was still putting");
        armci.put(&vec![row[0] + 1; 100], last)?;
        mutexes.unlock(armci, 1, 0)?;
    }
    armci.barrier()?;
    expect_eq!(armci.get_value(last)?, ROUNDS * size as u64, "every round counts");
    armci.free(data)?;
    Ok(mutexes.destroy(armci)?)
}

/// Ranks queue up one after the other while rank 0 holds the mutex, and get it in that order.
fn fair(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let mutexes = Mutexes::create(armci, usize::from(rank == 0))?;
    // Whose turn it is to queue up; how many have had the mutex, and who, in order.
    let (turns, order) = (armci.malloc::<u64>(1)?, armci.malloc::<u64>(size)?);
    if rank == 0 {
        mutexes.lock(armci, 0, 0)?;
    }
    armci.barrier()?;
    if rank == 0 {
        for other in (1..size).rev() {
            armci.set_flag(turns.at(other, 0), 1)?;
            while mutexes.last_in_queue(armci, 0, 0)? != Some(other) {}
        }
        mutexes.unlock(armci, 0, 0)?;
    } else {
        armci.wait_flag(&turns, 0, |turn| turn != 0)?;
        mutexes.lock(armci, 0, 0)?;
        let before = armci.fetch_add(order.at(0, 0), 1)?;
        armci.put_value(rank as u64, order.at(0, 1 + before as usize))?;
        mutexes.unlock(armci, 0, 0)?;
    }
    armci.barrier()?;
    if rank == 0 {
        let mut got = vec![0; size];
        order.read(0, &mut got)?;
        let expected: alloc::vec::Vec<u64> = (1..size as u64).rev().collect();
        expect_eq!(got[1..], expected, "the order in which they had it");
    }
    armci.free(turns)?;
    armci.free(order)?;
    Ok(mutexes.destroy(armci)?)
}

fn by_the_dozen(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let mutexes = Mutexes::create(armci, 3 + rank)?;
    let counters = armci.malloc::<u64>(3 + rank)?;
    for target in 0..size {
        expect_eq!(mutexes.count(target)?, 3 + target, "mutexes on {target}");
    }
    // All lock all in the same order, and give them back in another.
    for target in 0..size {
        for mutex in 0..3 + target {
            mutexes.lock(armci, mutex, target)?;
            let value = armci.get_value(counters.at(target, mutex))?;
            armci.put_value(value + 1, counters.at(target, mutex))?;
        }
    }
    for target in 0..size {
        for mutex in 0..3 + target {
            mutexes.unlock(armci, mutex, target)?;
        }
    }
    armci.barrier()?;
    for mutex in 0..3 + rank {
        expect_eq!(counters.load(mutex)?, size as u64, "mutex {mutex}");
    }
    armci.free(counters)?;
    Ok(mutexes.destroy(armci)?)
}

fn tried(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let mutexes = Mutexes::create(armci, 1)?;
    for holder in 0..size {
        if rank == holder {
            expect_eq!(mutexes.try_lock(armci, 0, 0)?, true, "a free mutex");
        }
        armci.barrier()?;
        if rank != holder {
            expect_eq!(mutexes.try_lock(armci, 0, 0)?, false, "a mutex that {holder} holds");
        }
        armci.barrier()?;
        if rank == holder {
            mutexes.unlock(armci, 0, 0)?;
        }
        armci.barrier()?;
    }
    Ok(mutexes.destroy(armci)?)
}

fn refused(armci: &Armci) -> Verdict {
    let mutexes = Mutexes::create(armci, 1)?;
    let own = armci.rank();
    let wrong = |result: Result<(), Error>| matches!(result, Err(Error::Mutex { .. }));
    expect_eq!(wrong(mutexes.lock(armci, 1, own)), true, "mutex 1 of 1");
    expect_eq!(wrong(mutexes.lock(armci, 0, armci.size())), true, "a rank too many");
    expect_eq!(wrong(mutexes.unlock(armci, 0, own)), true, "not held");
    mutexes.lock(armci, 0, own)?;
    expect_eq!(wrong(mutexes.lock(armci, 0, own)), true, "held already");
    mutexes.unlock(armci, 0, own)?;
    Ok(mutexes.destroy(armci)?)
}

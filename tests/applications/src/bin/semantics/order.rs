//! Order of operations: location consistency, fences, flags, non-blocking operations.

use alloc::vec;
use alloc::vec::Vec;

use guest_kernel::armci::Armci;

use crate::{Case, Verdict, expect_eq};

pub const CASES: &[Case] = &[
    ("order of put, accumulate and get on one target without a fence", location_consistency),
    ("order of non-blocking operations on one target", nonblocking_order),
    ("order of data and flag", data_and_flag),
    ("order by fence and flag between three ranks", fence_then_flag),
    ("non-blocking operations by the thousand", by_the_thousand),
    ("non-blocking handles can be tested and waited for in any order", handles),
];

fn location_consistency(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let global = armci.malloc::<i64>(size)?;
    let target = (rank + 1) % size;
    for round in 0..100 {
        armci.put(&[round], global.at(target, rank))?;
        armci.accumulate(3, &[round], global.at(target, rank))?;
        let mut got = [0];
        armci.get(&mut got, global.at(target, rank))?;
        expect_eq!(got, [4 * round], "round {round}");
        expect_eq!(armci.fetch_add(global.at(target, rank), 1)?, 4 * round, "round {round}, rmw");
    }
    Ok(armci.free(global)?)
}

fn nonblocking_order(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let global = armci.malloc::<i64>(100 * size)?;
    let target = (rank + 1) % size;
    let values: Vec<Vec<i64>> = (0..50).map(|round| vec![round; 100]).collect();
    let mut got = vec![0; 100];
    armci.nonblocking(|nb| {
        for value in &values {
            let _ = nb.put(value, global.at(target, 100 * rank))?;
        }
        let _ = nb.accumulate(2, &values[1], global.at(target, 100 * rank))?;
        let get = nb.get(&mut got, global.at(target, 100 * rank))?;
        nb.wait(get)
    })?;
    expect_eq!(got, vec![51; 100], "what the last operation found");
    Ok(armci.free(global)?)
}

fn data_and_flag(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let (next, previous) = ((rank + 1) % size, (rank + size - 1) % size);
    for len in [1, 2, 3, 100, 5000] {
        let (data, flags) = (armci.malloc::<u64>(len)?, armci.malloc::<u64>(2)?);
        for round in 1..=20 {
            let value = 1000 * round + rank as u64;
            armci.put_flag(&vec![value; len], data.at(next, 0), flags.at(next, 0), round)?;
            armci.wait_flag(&flags, 0, |flag| flag >= round)?;
            let mut got = vec![0; len];
            data.read(0, &mut got)?;
            expect_eq!(
                got,
                vec![1000 * round + previous as u64; len],
                "round {round}, {len} words"
            );
            // Tell the previous rank that its data have been read.
            armci.put_flag(&[], data.at(previous, 0), flags.at(previous, 1), round)?;
            armci.wait_flag(&flags, 1, |flag| flag >= round)?;
        }
        armci.free(data)?;
        armci.free(flags)?;
    }
    Ok(())
}

/// Rank 0 puts to the last rank, fences, and tells rank 1 only; which must then find the data.
fn fence_then_flag(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let (data, flags) = (armci.malloc::<u64>(1000)?, armci.malloc::<u64>(2)?);
    if size >= 3 {
        for round in 1..=20u64 {
            if rank == 0 {
                armci.put(&[round; 1000], data.at(size - 1, 0))?;
                armci.fence(size - 1)?;
                armci.put_flag(&[], data.at(1, 0), flags.at(1, 0), round)?;
                armci.wait_flag(&flags, 1, |flag| flag >= round)?;
            } else if rank == 1 {
                armci.wait_flag(&flags, 0, |flag| flag >= round)?;
                let mut got = [0; 1000];
                armci.get(&mut got, data.at(size - 1, 0))?;
                expect_eq!(got, [round; 1000], "data of round {round}");
                armci.put_flag(&[], data.at(0, 0), flags.at(0, 1), round)?;
            }
        }
    }
    armci.free(data)?;
    Ok(armci.free(flags)?)
}

fn by_the_thousand(armci: &Armci) -> Verdict {
    const MANY: usize = 3000;
    let (rank, size) = (armci.rank(), armci.size());
    let global = armci.malloc::<u32>(MANY * size)?;
    let values: Vec<u32> = (0..MANY as u32).map(|i| i * 7 + rank as u32).collect();
    armci.nonblocking(|nb| {
        for (i, value) in values.iter().enumerate() {
            let _ = nb
                .put(core::slice::from_ref(value), global.at((rank + i) % size, MANY * rank + i))?;
        }
        nb.wait_all()
    })?;
    armci.barrier()?;
    let mut own = vec![0; MANY * size];
    global.read(0, &mut own)?;
    for origin in 0..size {
        for i in 0..MANY {
            let mine = (origin + i) % size == rank;
            let expected = if mine { (i * 7 + origin) as u32 } else { 0 };
            expect_eq!(own[MANY * origin + i], expected, "word {i} of rank {origin}");
        }
    }
    Ok(armci.free(global)?)
}

fn handles(armci: &Armci) -> Verdict {
    let target = (armci.rank() + 1) % armci.size();
    let global = armci.malloc::<u64>(3000)?;
    let (a, b) = ([1u64; 1000], [2u64; 1000]);
    let mut c = vec![7u64; 1000];
    armci.nonblocking(|nb| {
        let first = nb.put(&a, global.at(target, 0))?;
        let second = nb.put(&b, global.at(target, 1000))?;
        let third = nb.get(&mut c, global.at(target, 2000))?;
        nb.wait(third)?;
        while !nb.test(&first)? {}
        nb.wait(second)?;
        nb.wait(first)?;
        nb.wait(first)
    })?;
    expect_eq!(c, vec![0; 1000], "untouched part");
    armci.get(&mut c, global.at(target, 500))?;
    expect_eq!((c[0], c[499], c[500], c[999]), (1, 1, 2, 2), "both parts");
    Ok(armci.free(global)?)
}

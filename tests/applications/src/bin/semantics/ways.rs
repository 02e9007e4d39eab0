//! One rank that reaches the same memory now directly and now by the proxy.

use alloc::vec;

use guest_kernel::armci::Armci;

use crate::random::Random;
use crate::{Case, Verdict, expect_eq};

pub const CASES: &[Case] = &[
    ("ways in turn keep the order of operations on one target", order),
    ("ways in turn keep the order of non-blocking operations", nonblocking_order),
    ("ways in turn lose no accumulate and no fetch-and-add", atomicity),
];

fn order(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let mut random = Random(rank as u64);
    let global = armci.malloc::<i64>(size)?;
    let place = global.at((rank + 1) % size, rank);
    for round in 0..200 {
        let mut way = || armci.reach_directly(random.below(2) == 0);
        way();
        armci.put(&[round], place)?;
        way();
        armci.accumulate(3, &[round], place)?;
        way();
        expect_eq!(armci.get_value(place)?, 4 * round, "round {round}");
        way();
        expect_eq!(armci.fetch_add(place, 1)?, 4 * round, "round {round}, rmw");
    }
    Ok(armci.free(global)?)
}

fn nonblocking_order(armci: &Armci) -> Verdict {
    const LEN: usize = 300;
    let (rank, size) = (armci.rank(), armci.size());
    let mut random = Random(rank as u64);
    let global = armci.malloc::<i64>(LEN * size)?;
    let values: alloc::vec::Vec<_> = (0..40).map(|round| vec![round; LEN]).collect();
    let mut got = vec![0; LEN];
    armci.nonblocking(|nb| {
        for value in &values {
            armci.reach_directly(random.below(2) == 0);
            let _ = nb.put(value, global.at((rank + 1) % size, LEN * rank))?;
        }
        armci.reach_directly(random.below(2) == 0);
        let get = nb.get(&mut got, global.at((rank + 1) % size, LEN * rank))?;
        nb.wait(get)
    })?;
    expect_eq!(got, vec![39; LEN], "what the last operation found");
    Ok(armci.free(global)?)
}

fn atomicity(armci: &Armci) -> Verdict {
    const ROUNDS: i64 = 300;
    let (rank, size) = (armci.rank(), armci.size() as i64);
    let mut random = Random(rank as u64);
    let global = armci.malloc::<i64>(8)?;
    for _ in 0..ROUNDS {
        armci.reach_directly(random.below(2) == 0);
        armci.accumulate(1, &[1; 8], global.at(0, 0))?;
        armci.reach_directly(random.below(2) == 0);
        armci.fetch_add(global.at(0, 3), 10)?;
    }
    armci.barrier()?;
    let mut sums = [0; 8];
    armci.get(&mut sums, global.at(0, 0))?;
    let mut expected = [ROUNDS * size; 8];
    expected[3] *= 11;
    expect_eq!(sums, expected, "sums");
    Ok(armci.free(global)?)
}

//! Barrier, broadcast and reductions.

use alloc::vec;
use alloc::vec::Vec;

use guest_kernel::armci::{Armci, ReduceOp};

use crate::{Case, Verdict, expect_eq};

pub const CASES: &[Case] = &[
    ("barrier keeps all ranks together", barrier),
    ("broadcast from every root in every size", broadcast),
    ("reduce by every operator", operators),
    ("reduce gives the same bits everywhere", same_bits),
    ("reduce of more than a chunk", more_than_a_chunk),
    ("collectives one after the other without a barrier", one_after_the_other),
];

fn barrier(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let round_of = armci.malloc::<u64>(size)?;
    for round in 1..=30u64 {
        for target in 0..size {
            armci.put(&[round], round_of.at(target, rank))?;
        }
        armci.barrier()?;
        let mut rounds = vec![0; size];
        round_of.read(0, &mut rounds)?;
        // Nobody is behind, and nobody more than one round ahead.
        let together = rounds.iter().all(|&other| other == round || other == round + 1);
        expect_eq!(together, true, "{rounds:?} in round {round}");
    }
    Ok(armci.free(round_of)?)
}

fn broadcast(armci: &Armci) -> Verdict {
    for root in 0..armci.size() {
        for len in [0, 1, 7, 1000, 1024, 1025, 5000] {
            let expected: Vec<u64> = (0..len).map(|i| (root * 10_000 + i) as u64).collect();
            let mut data =
                if armci.rank() == root { expected.clone() } else { vec![u64::MAX; len] };
            armci.broadcast(root, &mut data)?;
            expect_eq!(data, expected, "{len} words from {root}");
        }
    }
    Ok(())
}

fn operators(armci: &Armci) -> Verdict {
    let size = armci.size() as i64;
    let own = [armci.rank() as i64 + 1, -(armci.rank() as i64) - 1];
    let reduced = |op| {
        let mut data = own;
        armci.reduce(op, &mut data).map(|()| data)
    };
    let factorial: i64 = (1..=size).product();
    let sign = if size % 2 == 0 { 1 } else { -1 };
    expect_eq!(reduced(ReduceOp::Sum)?, [size * (size + 1) / 2, -size * (size + 1) / 2], "sum");
    expect_eq!(reduced(ReduceOp::Product)?, [factorial, sign * factorial], "product");
    expect_eq!(reduced(ReduceOp::Min)?, [1, -size], "least");
    expect_eq!(reduced(ReduceOp::Max)?, [size, -1], "greatest");
    if size > 1 {
        expect_eq!(reduced(ReduceOp::AbsMin)?, [1, 1], "least absolute value");
        expect_eq!(reduced(ReduceOp::AbsMax)?, [size, size], "greatest absolute value");
    }
    Ok(())
}

fn same_bits(armci: &Armci) -> Verdict {
    // Sums whose value depends on the order of the additions.
    let mut data: Vec<f64> =
        (0..100).map(|i| 0.1 * (i * armci.size() + armci.rank()) as f64 + 1e16).collect();
    armci.reduce(ReduceOp::Sum, &mut data)?;
    let bits: Vec<u64> = data.iter().map(|x| x.to_bits()).collect();
    let (mut least, mut greatest) = (bits.clone(), bits);
    armci.reduce(ReduceOp::Min, &mut least)?;
    armci.reduce(ReduceOp::Max, &mut greatest)?;
    expect_eq!(least, greatest, "bits");
    Ok(())
}

fn more_than_a_chunk(armci: &Armci) -> Verdict {
    let mut data: Vec<i32> = (0..10_000).map(|i| i * (armci.rank() as i32 + 1)).collect();
    armci.reduce(ReduceOp::Sum, &mut data)?;
    let ranks = (1..=armci.size() as i32).sum::<i32>();
    expect_eq!((0..10_000).find(|&i| data[i as usize] != i * ranks), None, "first wrong element");
    Ok(())
}

fn one_after_the_other(armci: &Armci) -> Verdict {
    let size = armci.size();
    for round in 0..100 {
        let mut word = [if armci.rank() == round % size { round as u64 } else { 0 }];
        armci.broadcast(round % size, &mut word)?;
        expect_eq!(word, [round as u64], "broadcast {round}");
        let mut sum = [1u64];
        armci.reduce(ReduceOp::Sum, &mut sum)?;
        expect_eq!(sum, [size as u64], "sum {round}");
        if round % 7 == 0 {
            armci.barrier()?;
        }
    }
    Ok(())
}

//! Accumulates: all six types, and their atomicity.

use alloc::vec;

use guest_kernel::armci::{Accumulate, Armci, Complex};

use crate::{Case, Verdict, expect_eq};

pub const CASES: &[Case] = &[
    ("accumulate of i32, wrapping", int),
    ("accumulate of i64, wrapping", long),
    ("accumulate of f32", float),
    ("accumulate of f64", double),
    ("accumulate of complex f32", complex),
    ("accumulate of complex f64", double_complex),
    ("accumulate from all ranks at once loses nothing", from_all),
    ("accumulate over overlapping places from all ranks", overlapping),
    ("accumulate of nothing", nothing),
];

/// All ranks add `scale * source` to rank 0 one after the other, which then holds the same as a
/// plain loop.
fn one_by_one<T>(armci: &Armci, source: &[T], scale: T) -> Verdict
where
    T: Accumulate
        + Default
        + PartialEq
        + core::fmt::Debug
        + core::ops::Add<Output = T>
        + core::ops::Mul<Output = T>,
{
    let global = armci.malloc::<T>(source.len())?;
    for rank in 0..armci.size() {
        if rank == armci.rank() {
            armci.accumulate(scale, source, global.at(0, 0))?;
        }
        armci.barrier()?;
    }
    let mut sums = vec![T::default(); source.len()];
    armci.get(&mut sums, global.at(0, 0))?;
    for (i, (sum, &value)) in sums.iter().zip(source).enumerate() {
        let expected = (0..armci.size()).fold(T::default(), |sum, _| sum + scale * value);
        expect_eq!(*sum, expected, "element {i}");
    }
    Ok(armci.free(global)?)
}

fn int(armci: &Armci) -> Verdict {
    one_by_one(armci, &[1, -2, 3, 40_000], -7)?;
    let global = armci.malloc::<i32>(1)?;
    if armci.rank() == 0 {
        armci.accumulate(1, &[i32::MAX], global.at(0, 0))?;
        armci.accumulate(2, &[1], global.at(0, 0))?;
        let mut sum = [0];
        armci.get(&mut sum, global.at(0, 0))?;
        expect_eq!(sum, [i32::MIN + 1], "sum past the greatest");
    }
    Ok(armci.free(global)?)
}

fn long(armci: &Armci) -> Verdict {
    one_by_one(armci, &[1i64, -2, 1 << 40, 4], 1 << 12)
}

fn float(armci: &Armci) -> Verdict {
    one_by_one(armci, &[1.5f32, -2.25, 1e20, 4.0, 5.0], 0.5)
}

fn double(armci: &Armci) -> Verdict {
    one_by_one(armci, &[1.1, -2.2, 1e200, 4.4, 5.5, 6.6, 7.7], 0.3)
}

fn complex(armci: &Armci) -> Verdict {
    one_by_one(
        armci,
        &[Complex { re: 1.5f32, im: 2.5 }, Complex { re: -3.0, im: 0.25 }],
        Complex { re: 0.5, im: -2.0 },
    )
}

fn double_complex(armci: &Armci) -> Verdict {
    one_by_one(
        armci,
        &[Complex { re: 1.5, im: 2.5 }, Complex { re: -3.0, im: 0.25 }],
        Complex { re: 0.5, im: -2.0 },
    )
}

fn from_all(armci: &Armci) -> Verdict {
    const ROUNDS: i64 = 200;
    let global = armci.malloc::<i64>(64)?;
    let ones = [1i64; 64];
    for _ in 0..ROUNDS {
        for rank in 0..armci.size() {
            armci.accumulate(1, &ones, global.at(rank, 0))?;
        }
    }
    armci.barrier()?;
    let mut sums = [0; 64];
    global.read(0, &mut sums)?;
    expect_eq!(sums, [ROUNDS * armci.size() as i64; 64], "sums");
    Ok(armci.free(global)?)
}

fn overlapping(armci: &Armci) -> Verdict {
    const ROUNDS: usize = 50;
    const LEN: usize = 400;
    let size = armci.size();
    let global = armci.malloc::<f64>(LEN)?;
    let ones = vec![1.0; LEN];
    // Rank r adds to the elements from 10r on, by non-blocking operations on all ranks at once.
    armci.nonblocking(|nb| {
        for _ in 0..ROUNDS {
            for target in 0..size {
                let start = 10 * armci.rank();
                let _ = nb.accumulate(2.0, &ones[start..], global.at(target, start))?;
            }
        }
        Ok(())
    })?;
    armci.barrier()?;
    let mut sums = vec![0.0; LEN];
    global.read(0, &mut sums)?;
    for (i, sum) in sums.iter().enumerate() {
        let adders = size.min(i / 10 + 1);
        expect_eq!(*sum, (2 * ROUNDS * adders) as f64, "element {i}");
    }
    Ok(armci.free(global)?)
}

fn nothing(armci: &Armci) -> Verdict {
    let global = armci.malloc::<f64>(0)?;
    armci.accumulate(1.0, &[], global.at(0, 0))?;
    Ok(armci.free(global)?)
}

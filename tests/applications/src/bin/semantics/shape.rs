//! Strided sections, vectors, single values, memory of one's own.

use alloc::vec;
use alloc::vec::Vec;

use guest_kernel::armci::{Armci, Error, Strides};

use crate::random::Random;
use crate::{Case, Verdict, expect_eq};

pub const CASES: &[Case] = &[
    ("strided sections to eight levels against a model", against_a_model),
    ("strided rows of every small length", small_rows),
    ("strided accumulates over overlapping sections lose nothing", overlapping_sections),
    ("strided operations without waiting", without_waiting),
    ("strided sections of no levels and of nothing", no_levels),
    ("strided sections that do not fit are refused", does_not_fit),
    ("strided put with a flag", with_a_flag),
    ("vectors of pieces anywhere", vectors),
    ("vectors that go to two ranks are refused", two_ranks),
    ("values of every type", values),
    ("local memory", local_memory),
];

/// Each rank puts, accumulates and gets random sections of its own area of its neighbour, which
/// nobody else touches.
fn against_a_model(armci: &Armci) -> Verdict {
    const LEN: usize = 2000;
    let (rank, size) = (armci.rank(), armci.size());
    let mut random = Random(rank as u64 + 7);
    let global = armci.malloc::<i64>(LEN * size)?;
    let target = (rank + 1) % size;
    let mut model = vec![0i64; LEN];
    for round in 0..60 {
        let depth = random.below(9);
        let mut counts = vec![1 + random.below(5)];
        let (mut here, mut there) = (Vec::new(), Vec::new());
        let (mut local_extent, mut remote_extent) = (counts[0], counts[0]);
        for _ in 0..depth {
            let count = random.below(3) + usize::from(random.below(9) > 0);
            here.push(local_extent + random.below(2));
            there.push(remote_extent + random.below(2));
            local_extent = here[here.len() - 1] * count.max(1);
            remote_extent = there[there.len() - 1] * count.max(1);
            counts.push(count);
            if local_extent > LEN / 8 || remote_extent > LEN / 8 {
                break;
            }
        }
        let shape = Strides { counts: &counts, local: &here, remote: &there };
        let offset = random.below(LEN / 2);
        let mut local: Vec<i64> = (0..local_extent).map(|_| random.below(1000) as i64).collect();
        let place = global.at(target, LEN * rank + offset);
        let elements = elements(&shape);
        match round % 3 {
            0 => {
                armci.put_strided(&local, place, &shape)?;
                elements.iter().for_each(|(l, r)| model[offset + r] = local[*l]);
            }
            1 => {
                armci.accumulate_strided(-2, &local, place, &shape)?;
                elements.iter().for_each(|(l, r)| model[offset + r] -= 2 * local[*l]);
            }
            _ => {
                let mut expected = local.clone();
                elements.iter().for_each(|(l, r)| expected[*l] = model[offset + r]);
                armci.get_strided(&mut local, place, &shape)?;
                expect_eq!(local, expected, "get in round {round} of {shape:?}");
            }
        }
    }
    let mut all = vec![0; LEN];
    armci.get(&mut all, global.at(target, LEN * rank))?;
    expect_eq!(all, model, "the area at the end");
    Ok(armci.free(global)?)
}

/// The local and remote numbers of a section's elements.
fn elements(shape: &Strides<'_>) -> Vec<(usize, usize)> {
    let mut elements: Vec<_> = (0..shape.counts[0]).map(|i| (i, i)).collect();
    for (level, &count) in shape.counts[1..].iter().enumerate() {
        let (local, remote) = (shape.local[level], shape.remote[level]);
        elements = (0..count)
            .flat_map(|i| elements.iter().map(move |(l, r)| (l + i * local, r + i * remote)))
            .collect();
    }
    elements
}

fn small_rows(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let global = armci.malloc::<u8>(64 * 40)?;
    let target = (rank + 1) % size;
    for len in 1..40 {
        let source: Vec<u8> = (0..64 * 40).map(|i| (i * 7 + len + rank) as u8).collect();
        let shape = Strides { counts: &[len, 40], local: &[63], remote: &[64] };
        armci.put_strided(&source, global.at(target, 3), &shape)?;
        let mut back = vec![0; 64 * 40];
        armci.get_strided(&mut back, global.at(target, 3), &shape)?;
        for row in 0..40 {
            expect_eq!(
                back[63 * row..][..len],
                source[63 * row..][..len],
                "row {row} of {len} bytes"
            );
            expect_eq!(
                back[63 * row + len..63 * (row + 1)],
                vec![0; 63 - len],
                "behind row {row} of {len} bytes"
            );
        }
        // Before others put here.
        armci.barrier()?;
    }
    Ok(armci.free(global)?)
}

/// Every rank adds to rows and columns of a matrix on every rank, that cross.
fn overlapping_sections(armci: &Armci) -> Verdict {
    const N: usize = 24;
    const ROUNDS: usize = 12;
    let size = armci.size();
    let global = armci.malloc::<f64>(N * N)?;
    let ones = [1.0; N];
    for round in 0..ROUNDS {
        for target in 0..size {
            let line = (round + armci.rank()) % N;
            armci.accumulate_strided(
                0.5,
                &ones,
                global.at(target, line),
                &Strides { counts: &[1, N], local: &[1], remote: &[N] },
            )?;
            armci.accumulate_strided(
                0.25,
                &ones,
                global.at(target, line * N),
                &Strides { counts: &[N], local: &[], remote: &[] },
            )?;
        }
    }
    armci.barrier()?;
    let mut own = vec![0.0; N * N];
    global.read(0, &mut own)?;
    let mut expected = vec![0.0; N * N];
    for line in (0..size).flat_map(|rank| (0..ROUNDS).map(move |round| (round + rank) % N)) {
        (0..N).for_each(|i| expected[i * N + line] += 0.5);
        (0..N).for_each(|i| expected[line * N + i] += 0.25);
    }
    expect_eq!(own, expected, "sums");
    Ok(armci.free(global)?)
}

fn without_waiting(armci: &Armci) -> Verdict {
    let target = (armci.rank() + 1) % armci.size();
    let global = armci.malloc::<u64>(4000)?;
    let source: Vec<u64> = (0..2000).collect();
    let (mut got, column) =
        (vec![0; 2000], Strides { counts: &[1, 1000], local: &[2], remote: &[4] });
    armci.nonblocking(|nb| {
        let _ = nb.put_strided(&source, global.at(target, 0), &column)?;
        let handle = nb.get_strided(&mut got, global.at(target, 0), &column)?;
        while !nb.test(&handle)? {}
        nb.wait(handle)
    })?;
    let expected: Vec<u64> = (0..2000).map(|i| if i % 2 == 0 { i } else { 0 }).collect();
    expect_eq!(got, expected, "every second element");
    let twice: Vec<i64> = (0..1000).collect();
    let sums = armci.malloc::<i64>(1000)?;
    armci.nonblocking(|nb| {
        for _ in 0..2 {
            let _ = nb.accumulate_strided(
                1,
                &twice,
                sums.at(target, 0),
                &Strides { counts: &[10, 100], local: &[10], remote: &[10] },
            )?;
        }
        Ok(())
    })?;
    armci.barrier()?;
    let mut own = vec![0; 1000];
    sums.read(0, &mut own)?;
    expect_eq!(own, (0..1000).map(|i| 2 * i).collect::<Vec<_>>(), "sums");
    armci.free(sums)?;
    Ok(armci.free(global)?)
}

fn no_levels(armci: &Armci) -> Verdict {
    let target = (armci.rank() + 1) % armci.size();
    let global = armci.malloc::<u32>(10)?;
    armci.put_strided(
        &[1, 2, 3],
        global.at(target, 4),
        &Strides { counts: &[3], local: &[], remote: &[] },
    )?;
    for counts in [&[0, 5][..], &[5, 0], &[0, 0]] {
        armci.put_strided(
            &[9; 1],
            global.at(target, 0),
            &Strides { counts, local: &[7], remote: &[7] },
        )?;
        armci.get_strided(
            &mut [9u32; 1],
            global.at(target, 0),
            &Strides { counts, local: &[7], remote: &[7] },
        )?;
    }
    armci.put_strided(
        &[],
        global.at(target, 10),
        &Strides { counts: &[0], local: &[], remote: &[] },
    )?;
    armci.barrier()?;
    let mut own = [0; 10];
    global.read(0, &mut own)?;
    expect_eq!(own, [0, 0, 0, 0, 1, 2, 3, 0, 0, 0], "three elements");
    Ok(armci.free(global)?)
}

fn does_not_fit(armci: &Armci) -> Verdict {
    let target = (armci.rank() + 1) % armci.size();
    let global = armci.malloc::<u64>(100)?;
    let put = |len: usize, at: usize, counts: &[usize], local: &[usize], remote: &[usize]| {
        armci.put_strided(&vec![1; len], global.at(target, at), &Strides { counts, local, remote })
    };
    for (len, at, counts, local, remote) in [
        (10, 0, &[5, 3][..], &[5][..], &[5][..]),
        (15, 86, &[5, 3], &[5], &[5]),
        (15, 0, &[5, 3], &[5], &[usize::MAX / 2]),
        (15, 0, &[5, 3], &[5, 5], &[5, 5]),
        (15, 0, &[5, 3], &[], &[]),
        (15, 0, &[], &[], &[]),
    ] {
        let refused = matches!(
            put(len, at, counts, local, remote),
            Err(Error::Shape(_) | Error::OutOfBounds { .. })
        );
        expect_eq!(refused, true, "{counts:?} {local:?} {remote:?} of {len} at {at}");
    }
    armci.barrier()?;
    let mut own = [0; 100];
    global.read(0, &mut own)?;
    expect_eq!(own, [0; 100], "nothing was put");
    Ok(armci.free(global)?)
}

fn with_a_flag(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let (next, previous) = ((rank + 1) % size, (rank + size - 1) % size);
    let (data, flags) = (armci.malloc::<u64>(1000)?, armci.malloc::<u64>(1)?);
    let shape = Strides { counts: &[3, 100], local: &[3], remote: &[10] };
    for round in 1..20 {
        armci.put_strided_flag(
            &[100 * round + rank as u64; 300],
            data.at(next, 0),
            &shape,
            flags.at(next, 0),
            round,
        )?;
        armci.wait_flag(&flags, 0, |flag| flag >= round)?;
        let mut own = [0; 1000];
        data.read(0, &mut own)?;
        for row in own.chunks(10) {
            expect_eq!(row[..3], [100 * round + previous as u64; 3], "a row of round {round}");
        }
        armci.barrier()?;
    }
    armci.free(data)?;
    Ok(armci.free(flags)?)
}

fn vectors(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let target = (rank + 1) % size;
    let global = armci.malloc::<i64>(1000 * size)?;
    let at = |index: usize| global.at(target, 1000 * rank + index);
    let (a, b, c) = ([1i64; 5], [2i64; 100], [3i64; 1]);
    armci.put_vector(&[
        (&a[..], at(10)),
        (&b[..], at(700)),
        (&c[..], at(0)),
        (&[][..], at(999)),
    ])?;
    armci.accumulate_vector(10, &[(&a[..2], at(10)), (&c[..], at(0)), (&c[..], at(0))])?;
    let (mut x, mut y) = ([0; 7], [0; 100]);
    armci.get_vector(&mut [(&mut x[..], at(9)), (&mut y[..], at(700))])?;
    expect_eq!(x, [0, 11, 11, 1, 1, 1, 0], "first piece");
    expect_eq!(y, [2; 100], "second piece");
    expect_eq!(armci.get_value(at(0))?, 63, "the place that was hit three times");
    armci.put_vector::<i64>(&[])?;
    Ok(armci.free(global)?)
}

fn two_ranks(armci: &Armci) -> Verdict {
    let global = armci.malloc::<u64>(10)?;
    if armci.size() > 1 {
        let result = armci.put_vector(&[(&[1][..], global.at(0, 0)), (&[1][..], global.at(1, 0))]);
        expect_eq!(matches!(result, Err(Error::Shape(_))), true, "{result:?}");
    }
    let result = armci.put_vector(&[(&[1][..], global.at(0, 0)), (&[1, 2][..], global.at(0, 9))]);
    expect_eq!(matches!(result, Err(Error::OutOfBounds { .. })), true, "{result:?}");
    armci.barrier()?;
    expect_eq!(global.load(0)?, 0, "nothing was put");
    Ok(armci.free(global)?)
}

fn values(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let target = (rank + 1) % size;
    macro_rules! one {
        ($type:ty, $value:expr) => {
            let global = armci.malloc::<$type>(size)?;
            armci.put_value($value, global.at(target, rank))?;
            expect_eq!(armci.get_value(global.at(target, rank))?, $value, "{}", stringify!($type));
            armci.free(global)?;
        };
    }
    one!(u8, 200);
    one!(i16, -3);
    one!(i32, -70_000);
    one!(i64, -1 << 40);
    one!(f32, 1.5);
    one!(f64, -2.5e300);
    one!([u64; 3], [1, 2, 3]);
    Ok(())
}

fn local_memory(armci: &Armci) -> Verdict {
    let target = (armci.rank() + 1) % armci.size();
    let global = armci.malloc::<u64>(1000)?;
    let mut local = armci.malloc_local(8000)?;
    let words = local.elements::<u64>();
    expect_eq!((words.len(), words.iter().sum::<u64>()), (1000, 0), "fresh memory");
    words.fill(6);
    armci.put(words, global.at(target, 0))?;
    words.fill(0);
    armci.get(words, global.at(target, 0))?;
    expect_eq!(words.iter().sum::<u64>(), 6000, "there and back");
    let mut nothing = armci.malloc_local(0)?;
    expect_eq!(nothing.elements::<u64>().len(), 0, "nothing");
    Ok(armci.free(global)?)
}

//! Messages and notifications.

use alloc::vec;
use alloc::vec::Vec;

use guest_kernel::armci::{Armci, Error, Received, Sender};

use crate::random::Random;
use crate::{Case, Verdict, expect_eq};

pub const CASES: &[Case] = &[
    ("messages of every length round the ring", every_length),
    ("messages are told apart by their tags", tags),
    ("messages from anyone", from_anyone),
    ("messages to oneself", to_oneself),
    ("messages by the hundred, all at once, from everyone to everyone", by_the_hundred),
    ("messages that do not fit stay", too_long),
    ("notifications", notifications),
];

fn every_length(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let (next, previous) = ((rank + 1) % size, (rank + size - 1) % size);
    for len in (0..200).chain([4095, 4096, 4097, 20_000]) {
        let message: Vec<u8> = (0..len).map(|i| (i * 3 + rank + len) as u8).collect();
        armci.send(next, len as i32, &message)?;
        let mut got = vec![0; len + 1];
        let received = armci.receive(Sender::Rank(previous), Some(len as i32), &mut got)?;
        expect_eq!(
            received,
            Received { from: previous, tag: len as i32, bytes: len },
            "{len} bytes"
        );
        let expected: Vec<u8> = (0..len).map(|i| (i * 3 + previous + len) as u8).collect();
        expect_eq!(got[..len], expected, "{len} bytes");
    }
    Ok(())
}

fn tags(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let (next, previous) = ((rank + 1) % size, (rank + size - 1) % size);
    for tag in [5, -1, 7, 5, i32::MAX] {
        armci.send(next, tag, &[i64::from(tag), rank as i64])?;
    }
    armci.send(next, 5, &[500, rank as i64])?;
    for (tag, first) in
        [(i32::MAX, i64::from(i32::MAX)), (5, 5), (5, 5), (5, 500), (-1, -1), (7, 7)]
    {
        let mut got = [0i64; 2];
        armci.receive(Sender::Rank(previous), Some(tag), &mut got)?;
        expect_eq!(got, [first, previous as i64], "tag {tag}");
    }
    expect_eq!(armci.probe(Sender::Any, None)?, None, "messages left");
    // Nobody's next message may come before all have looked.
    Ok(armci.barrier()?)
}

fn from_anyone(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    if rank == 0 {
        let mut from = vec![0; size];
        for _ in 0..size - 1 {
            let mut got = [0u64];
            let received = armci.receive(Sender::Any, None, &mut got)?;
            expect_eq!(
                (received.tag, got[0]),
                (received.from as i32, 10 * received.from as u64),
                "a message"
            );
            from[received.from] += 1;
        }
        expect_eq!(from[1..], vec![1; size - 1], "one from each");
    } else {
        armci.send(0, rank as i32, &[10 * rank as u64])?;
    }
    Ok(())
}

fn to_oneself(armci: &Armci) -> Verdict {
    let (rank, long) = (armci.rank(), vec![3u32; 1000]);
    armci.send(rank, 1, &long)?;
    armci.send(rank, 2, &[4u32])?;
    let (mut short, mut got) = ([0u32], vec![0u32; 1000]);
    armci.receive(Sender::Rank(rank), Some(2), &mut short)?;
    armci.receive(Sender::Any, Some(1), &mut got)?;
    expect_eq!(short, [4], "the second");
    expect_eq!(got, long, "the first");
    if armci.size() == 1 {
        let nothing = armci.receive(Sender::Any, None, &mut short);
        expect_eq!(nothing.err(), Some(Error::NobodyElse), "nobody will ever send this");
    }
    Ok(())
}

/// More than the queues hold, so that all senders wait for room while nobody receives.
fn by_the_hundred(armci: &Armci) -> Verdict {
    const MANY: usize = 100;
    let (rank, size) = (armci.rank(), armci.size());
    let mut random = Random(rank as u64);
    for number in 0..MANY {
        for to in 0..size {
            let len = if random.below(4) == 0 { 60 } else { 2 };
            let mut message = vec![rank as u64; len];
            message[1] = number as u64;
            armci.send(to, 9, &message)?;
        }
    }
    for from in 0..size {
        for number in 0..MANY {
            let mut got = [0u64; 60];
            armci.receive(Sender::Rank(from), Some(9), &mut got)?;
            expect_eq!(got[..2], [from as u64, number as u64], "in order from {from}");
        }
    }
    Ok(armci.barrier()?)
}

fn too_long(armci: &Armci) -> Verdict {
    let rank = armci.rank();
    armci.send(rank, 3, &[1u8; 10])?;
    let short = armci.receive(Sender::Rank(rank), Some(3), &mut [0u8; 9]);
    expect_eq!(
        short.err(),
        Some(Error::MessageTooLong { from: rank, len: 10, room: 9 }),
        "nine bytes of room"
    );
    let mut got = [0u8; 10];
    armci.receive(Sender::Rank(rank), Some(3), &mut got)?;
    expect_eq!(got, [1; 10], "the message is still there");
    let nobody = armci.send(armci.size(), 0, &[1u8]);
    expect_eq!(
        nobody.err(),
        Some(Error::NoRank { rank: armci.size(), size: armci.size() }),
        "a rank too many"
    );
    Ok(())
}

fn notifications(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    let (next, previous) = ((rank + 1) % size, (rank + size - 1) % size);
    let data = armci.malloc::<u64>(100)?;
    let mut first = 0;
    for round in 0..20 {
        armci.put(&[round; 100], data.at(next, 0))?;
        let sent = armci.notify(next)?;
        let come = armci.wait_notify(previous)?;
        expect_eq!(sent, come, "all ranks have notified as often");
        if round == 0 {
            first = come;
        }
        expect_eq!(come, first + round, "one more each round");
        let mut own = [0; 100];
        data.read(0, &mut own)?;
        expect_eq!(own, [round; 100], "what was put before");
        armci.barrier()?;
    }
    expect_eq!(armci.notify(size).is_err(), true, "a rank too many");
    Ok(armci.free(data)?)
}

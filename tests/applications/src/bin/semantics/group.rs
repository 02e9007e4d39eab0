//! Groups of ranks.

use alloc::vec;
use alloc::vec::Vec;

use guest_kernel::armci::{Armci, Error, Group, ReduceOp};

use crate::{Case, Verdict, expect_eq};

pub const CASES: &[Case] = &[
    ("group of all ranks", all_ranks),
    ("groups of even and odd ranks, at the same time", even_and_odd),
    ("group of one", of_one),
    ("groups in any order of ranks", any_order),
    ("group of a group", of_a_group),
    ("groups by split and duplicate", split),
    ("group memory", memory),
    ("groups that cannot be are refused", refused),
    ("hosts of ranks", hosts),
];

/// Collectives of a group give what they should.
fn try_out(armci: &Armci, group: &Group, members: &[usize]) -> Verdict {
    expect_eq!(group.size(), members.len(), "size");
    expect_eq!(group.absolute(group.rank())?, armci.rank(), "own rank");
    for (member, &rank) in members.iter().enumerate() {
        expect_eq!(group.absolute(member)?, rank, "member {member}");
        expect_eq!(group.member(rank), Some(member), "member {member} back");
    }
    for round in 0..10 {
        let mut sum = vec![armci.rank() as i64 + round; 5];
        group.reduce(armci, ReduceOp::Sum, &mut sum)?;
        let expected: i64 = members.iter().map(|&rank| rank as i64 + round).sum();
        expect_eq!(sum, vec![expected; 5], "sum in round {round}");
        for root in 0..members.len() {
            let mut data = [group.rank() as u32, 7];
            group.broadcast(armci, root, &mut data)?;
            expect_eq!(data, [root as u32, 7], "broadcast from {root}");
        }
        group.barrier(armci)?;
    }
    Ok(())
}

fn all_ranks(armci: &Armci) -> Verdict {
    let members: Vec<_> = (0..armci.size()).collect();
    try_out(armci, armci.world(), &members)
}

fn even_and_odd(armci: &Armci) -> Verdict {
    let members: Vec<_> = (0..armci.size()).filter(|rank| rank % 2 == armci.rank() % 2).collect();
    // Only the members of each call this.
    let Some(group) = Group::create(armci, &members)? else { return Err(missing()) };
    try_out(armci, &group, &members)?;
    Ok(group.free(armci)?)
}

fn missing() -> crate::Failure {
    crate::Failure::at(line!(), "a member has no group".into())
}

fn of_one(armci: &Armci) -> Verdict {
    for rank in 0..armci.size() {
        // All call it, one is a member.
        let group = Group::create(armci, &[rank])?;
        expect_eq!(group.is_some(), rank == armci.rank(), "membership");
        if let Some(group) = group {
            try_out(armci, &group, &[rank])?;
            group.free(armci)?;
        }
    }
    Ok(())
}

fn any_order(armci: &Armci) -> Verdict {
    let size = armci.size();
    for shift in 0..3 {
        let members: Vec<_> = (0..size).map(|member| (size - 1 - member + shift) % size).collect();
        let Some(group) = Group::create(armci, &members)? else { return Err(missing()) };
        try_out(armci, &group, &members)?;
        group.free(armci)?;
    }
    Ok(())
}

fn of_a_group(armci: &Armci) -> Verdict {
    let size = armci.size();
    let backwards: Vec<_> = (0..size).rev().collect();
    let Some(parent) = Group::create(armci, &backwards)? else { return Err(missing()) };
    // The first two members of the parent, that is the last two ranks.
    let chosen: Vec<_> = (0..size.min(2)).collect();
    let child = parent.create_child(armci, &chosen)?;
    let ranks: Vec<_> = chosen.iter().map(|member| size - 1 - member).collect();
    expect_eq!(child.is_some(), ranks.contains(&armci.rank()), "membership");
    if let Some(child) = child {
        try_out(armci, &child, &ranks)?;
        child.free(armci)?;
    }
    Ok(parent.free(armci)?)
}

fn split(armci: &Armci) -> Verdict {
    let (rank, size) = (armci.rank(), armci.size());
    // By thirds, in descending order; the last rank stays out if it is not alone.
    let out = size > 1 && rank == size - 1;
    let color = if out { -1 } else { (rank % 3) as i32 };
    let group = armci.world().split(armci, color, -(rank as i32))?;
    expect_eq!(group.is_none(), out, "membership");
    let Some(group) = group else { return Ok(()) };
    let in_group = |other: &usize| other % 3 == rank % 3 && (size == 1 || *other != size - 1);
    let members: Vec<_> = (0..size).rev().filter(in_group).collect();
    try_out(armci, &group, &members)?;
    let twin = group.duplicate(armci)?;
    try_out(armci, &twin, &members)?;
    group.free(armci)?;
    Ok(twin.free(armci)?)
}

fn memory(armci: &Armci) -> Verdict {
    let rank = armci.rank();
    let members: Vec<_> = (0..armci.size()).rev().filter(|other| other % 2 == rank % 2).collect();
    let Some(group) = Group::create(armci, &members)? else { return Err(missing()) };
    let global = armci.malloc_in::<u64>(&group, 10 + rank)?;
    for &target in &members {
        expect_eq!(global.len_at(target), 10 + target, "length at {target}");
        armci.fetch_add(global.at(target, 3), 1 + rank as u64)?;
    }
    group.barrier(armci)?;
    let expected: u64 = members.iter().map(|&member| 1 + member as u64).sum();
    expect_eq!(global.load(3)?, expected, "sum");
    let stranger = (rank + 1) % armci.size();
    if stranger % 2 != rank % 2 {
        expect_eq!(
            global.place(stranger, 0).err(),
            Some(Error::NoRank { rank: stranger, size: members.len() }),
            "stranger"
        );
    }
    armci.free_in(&group, global)?;
    let none = armci.malloc_in::<u64>(&group, 0)?;
    armci.free_in(&group, none)?;
    Ok(group.free(armci)?)
}

fn refused(armci: &Armci) -> Verdict {
    let size = armci.size();
    for members in [&[0, 0][..], &[size], &[0, usize::MAX]] {
        expect_eq!(Group::create(armci, members).is_err(), true, "{members:?}");
    }
    expect_eq!(Group::create(armci, &[])?.is_none(), true, "a group of nobody");
    expect_eq!(armci.world().absolute(size).is_err(), true, "a member too many");
    expect_eq!(armci.world().member(size), None, "a rank too many");
    expect_eq!(armci.world().broadcast(armci, size, &mut [0u8]).is_err(), true, "a root too many");
    Ok(())
}

fn hosts(armci: &Armci) -> Verdict {
    for rank in 0..armci.size() {
        let host = armci.host_of(rank)?;
        expect_eq!(host <= rank, true, "the host of {rank}");
        expect_eq!(armci.host_of(host)?, host, "the first rank of a host");
    }
    expect_eq!(armci.reaches(armci.rank()), true, "oneself");
    expect_eq!(armci.host_of(armci.size()).is_err(), true, "a rank too many");
    Ok(())
}

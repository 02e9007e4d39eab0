//! Groups: some of the ranks, with collectives of their own.

use core::cell::Cell;
use core::mem::offset_of;
use core::ptr::NonNull;
use std::prelude::v1::*;

use crate::error::Error;
use crate::path::paths::Paths;
use crate::path::rows::TargetSpace;
use crate::wire::area::{Mailbox, TeamArea};

/// Some ranks of the job, in an order of their own: `ARMCI_Group`. A member's place in that order
/// is its number in the group.
///
/// Collective calls must be made by all members in the same order. Where a call takes [`Paths`] or
/// a [`World`](crate::World), an [`Armci`](crate::Armci) is one.
#[derive(Debug)]
pub struct Group {
    /// The members' ranks in the job; none: all ranks.
    members: Option<Vec<u32>>,
    /// This rank's number in the group.
    rank: u32,
    size: u32,
    areas: Areas,
    /// Barriers begun.
    barriers: Cell<u64>,
    /// Chunks that collectives have begun to move.
    chunks: Cell<u64>,
}

/// Where the members' [`TeamArea`]s are.
#[derive(Debug)]
enum Areas {
    /// In their mailboxes.
    Mailboxes,
    /// In memory that was allocated when the group was made: this rank's own, and by member the
    /// addresses of all.
    Allocated { own: NonNull<TeamArea>, addresses: Vec<u64> },
}

impl Group {
    /// All ranks.
    pub(super) fn of_all(paths: &Paths) -> Self {
        Self::new(None, paths.rank(), paths.size(), Areas::Mailboxes)
    }

    /// The ranks `members`, of which this one is number `rank`, with the members' areas at
    /// `addresses`.
    ///
    /// # Safety
    /// `own` must be valid as long as the group lives, and be reached as what it is, atomics and
    /// cells, only.
    pub(super) unsafe fn of_members(
        members: Vec<u32>,
        rank: usize,
        own: NonNull<TeamArea>,
        addresses: Vec<u64>,
    ) -> Self {
        let size = members.len();
        Self::new(Some(members), rank, size, Areas::Allocated { own, addresses })
    }

    fn new(members: Option<Vec<u32>>, rank: usize, size: usize, areas: Areas) -> Self {
        let (rank, size) = (rank as u32, size as u32);
        Self { members, rank, size, areas, barriers: Cell::new(0), chunks: Cell::new(0) }
    }

    /// Gives the group up: its own area, if that was allocated for it.
    pub(super) fn into_area(self) -> Option<NonNull<TeamArea>> {
        match self.areas {
            Areas::Mailboxes => None,
            Areas::Allocated { own, .. } => Some(own),
        }
    }

    /// This rank's number in the group.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// Members.
    pub fn size(&self) -> usize {
        self.size as usize
    }

    /// `ARMCI_Absolute_id`: the rank in the job of a member.
    ///
    /// # Errors
    /// [`Error::Group`] if there is no such member.
    pub fn absolute(&self, member: usize) -> Result<usize, Error> {
        match member < self.size() {
            true => Ok(self.world_rank(member) as usize),
            false => Err(Error::Group("the group has no such member")),
        }
    }

    /// The number in the group of a rank of the job, if it is a member.
    pub fn member(&self, rank: usize) -> Option<usize> {
        match &self.members {
            None => (rank < self.size()).then_some(rank),
            Some(members) => members.iter().position(|&member| member as usize == rank),
        }
    }

    /// Whether the members, more than two, are on one host where ranks are more than processors.
    /// All members find the same.
    #[inline]
    pub(super) fn is_crowded(&self, paths: &Paths) -> bool {
        paths.is_crowded() && self.size > 2
    }

    /// The number of the barrier that begins now, from 1.
    pub(super) fn next_barrier(&self, paths: &Paths) -> u64 {
        self.next_step(paths, &self.barriers)
    }

    /// The number of the chunk that collectives move now, from 1.
    pub(super) fn next_chunk(&self, paths: &Paths) -> u64 {
        self.next_step(paths, &self.chunks)
    }

    fn next_step(&self, paths: &Paths, of_kind: &Cell<u64>) -> u64 {
        let count = of_kind.get() + 1;
        of_kind.set(count);
        if self.members.is_none() {
            paths.show_steps(self.barriers.get() + self.chunks.get());
        }
        count
    }

    /// The rank in the job of a member that there is.
    #[inline]
    pub(crate) fn world_rank(&self, member: usize) -> u32 {
        self.members.as_ref().map_or(member as u32, |members| members[member])
    }

    /// Where the area of a member is.
    #[inline]
    pub(super) fn area_of(&self, member: usize) -> (TargetSpace, u64) {
        match &self.areas {
            Areas::Mailboxes => (TargetSpace::Mailbox, offset_of!(Mailbox, team) as u64),
            Areas::Allocated { addresses, .. } => (TargetSpace::Public, addresses[member]),
        }
    }

    /// This rank's own area.
    pub(super) fn own_area<'a>(&'a self, paths: &'a Paths) -> &'a TeamArea {
        match &self.areas {
            // SAFETY: the mailbox lives as long as the rank; all of it is atomics and cells.
            Areas::Mailboxes => unsafe { &(*paths.own_mailbox().as_ptr()).team },
            // SAFETY: by `of_members`.
            Areas::Allocated { own, .. } => unsafe { own.as_ref() },
        }
    }
}

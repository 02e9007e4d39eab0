//! Groups: some of the ranks, with collectives of their own.

use core::alloc::Layout;
use core::cell::Cell;
use core::mem::offset_of;
use core::ptr::NonNull;
use std::prelude::v1::*;

use zerocopy::IntoBytes;

use crate::api::allocation::Segment;
use crate::api::armci::{Armci, Error};
use crate::path::direct::Space;
use crate::team::message::{CREATE_GROUP, Sender};
use crate::wire::{Mailbox, TeamArea};

/// Some ranks of the job, in an order of their own: `ARMCI_Group`. A member's place in that order
/// is its number in the group.
///
/// Collective calls must be made by all members in the same order.
#[derive(Debug)]
pub struct Group {
    /// The members' ranks in the job; none: all ranks.
    members: Option<Vec<u32>>,
    /// This rank's number in the group.
    rank: u32,
    size: u32,
    areas: Areas,
    /// Barriers done.
    pub(crate) barriers: Cell<u64>,
    /// Chunks that collectives have moved.
    pub(crate) chunks: Cell<u64>,
}

/// Where the members' [`TeamArea`]s are.
#[derive(Debug)]
enum Areas {
    /// In their mailboxes.
    Mailboxes,
    /// In memory that was allocated when the group was made.
    Allocated { own: NonNull<TeamArea>, addresses: Vec<u64> },
}

impl Group {
    /// All ranks.
    pub(crate) fn world(rank: usize, size: usize) -> Self {
        Self::new(None, rank, size, Areas::Mailboxes)
    }

    fn new(members: Option<Vec<u32>>, rank: usize, size: usize, areas: Areas) -> Self {
        let (rank, size) = (rank as u32, size as u32);
        Self { members, rank, size, areas, barriers: Cell::new(0), chunks: Cell::new(0) }
    }

    /// `ARMCI_Group_create`: makes a group of the ranks that `members` names, which all must call
    /// this with the same list. Other ranks need not; those that do get `None`.
    ///
    /// # Errors
    /// [`Error::Group`] for an empty list or one that names a rank twice, [`Error::NoRank`].
    pub fn create(armci: &Armci, members: &[usize]) -> Result<Option<Self>, Error> {
        if members.is_empty() {
            return Err(Error::Group("a group must have a member"));
        }
        let mut ranks = Vec::with_capacity(members.len());
        for &member in members {
            ranks.push(armci.check_rank(member)?);
        }
        let mut sorted = ranks.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::Group("a group cannot have a member twice"));
        }
        let Some(rank) = ranks.iter().position(|&rank| rank == armci.rank) else { return Ok(None) };
        let own = armci.alloc(Layout::new::<TeamArea>()).map(NonNull::cast::<TeamArea>);
        if let Some(own) = own {
            // SAFETY: just allocated with this layout.
            unsafe { own.write(TeamArea::new()) };
        }
        // Member 0 collects the addresses and tells all of them to all. There is nothing yet but
        // messages to do it by.
        let mut addresses = vec![0u64; ranks.len()];
        addresses[rank] = own.map_or(0, |own| own.addr().get() as u64);
        let root = ranks[0] as usize;
        if rank == 0 {
            for (member, &other) in ranks.iter().enumerate().skip(1) {
                let from = Sender::Rank(other as usize);
                armci.receive_in(
                    CREATE_GROUP,
                    from,
                    None,
                    addresses[member..=member].as_mut_bytes(),
                )?;
            }
            for &other in &ranks[1..] {
                armci.send_in(CREATE_GROUP, other as usize, 0, addresses.as_bytes())?;
            }
        } else {
            armci.send_in(CREATE_GROUP, root, 0, addresses[rank..=rank].as_bytes())?;
            armci.receive_in(CREATE_GROUP, Sender::Rank(root), None, addresses.as_mut_bytes())?;
        }
        match own {
            Some(own) if !addresses.contains(&0) => Ok(Some(Self::new(
                Some(ranks),
                rank,
                members.len(),
                Areas::Allocated { own, addresses },
            ))),
            own => {
                if let Some(own) = own {
                    // SAFETY: allocated above with this layout; nobody has used it.
                    unsafe { armci.dealloc(own.cast(), Layout::new::<TeamArea>()) };
                }
                Err(Error::OutOfMemory { bytes: size_of::<TeamArea>() })
            }
        }
    }

    /// `ARMCI_Group_create_child`: the same, with the members named by their numbers in this group.
    pub fn create_child(&self, armci: &Armci, members: &[usize]) -> Result<Option<Self>, Error> {
        let mut ranks = Vec::with_capacity(members.len());
        for &member in members {
            ranks.push(self.absolute(member)?);
        }
        Self::create(armci, &ranks)
    }

    /// `ARMCI_Group_split`, collective in this group: one new group for each `color`, its members
    /// ordered by `key`, then by their numbers in this group. A negative color: no group.
    pub fn split(&self, armci: &Armci, color: i32, key: i32) -> Result<Option<Self>, Error> {
        let mut wishes = vec![[0i32; 2]; self.size()];
        wishes[self.rank()] = [color, key];
        self.gather(armci, wishes.as_mut_bytes())?;
        if color < 0 {
            return Ok(None);
        }
        let mut members: Vec<_> =
            (0..self.size()).filter(|&member| wishes[member][0] == color).collect();
        members.sort_by_key(|&member| wishes[member][1]);
        self.create_child(armci, &members)
    }

    /// `ARMCI_Group_dup`, collective in this group: another group of the same members.
    pub fn duplicate(&self, armci: &Armci) -> Result<Self, Error> {
        let members: Vec<_> = (0..self.size()).collect();
        self.create_child(armci, &members)?.ok_or(Error::Group("a group has this rank as a member"))
    }

    /// `ARMCI_Group_free`, collective in the group.
    pub fn free(self, armci: &Armci) -> Result<(), Error> {
        self.barrier(armci)?;
        if let Areas::Allocated { own, .. } = self.areas {
            // A member may still be in its last wait for one that has told it already; what it
            // tells others it has told. So nobody writes here any more. SAFETY: allocated by
            // `create` with this layout.
            unsafe { armci.dealloc(own.cast(), Layout::new::<TeamArea>()) };
        }
        Ok(())
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

    /// Whether all members are on one host, where ranks are more than processors. All members find
    /// the same.
    #[inline]
    pub(crate) fn is_crowded(&self, armci: &Armci) -> bool {
        armci.crowded && self.size > 2
    }

    /// The rank in the job of a member that there is.
    #[inline]
    pub(crate) fn world_rank(&self, member: usize) -> u32 {
        self.members.as_ref().map_or(member as u32, |members| members[member])
    }

    /// Where the area of a member is.
    #[inline]
    pub(crate) fn area_of(&self, member: usize) -> (Space, u64) {
        match &self.areas {
            Areas::Mailboxes => (Space::Mailbox, offset_of!(Mailbox, team) as u64),
            Areas::Allocated { addresses, .. } => (Space::Public, addresses[member]),
        }
    }

    /// This rank's own area.
    pub(crate) fn own_area<'a>(&'a self, armci: &'a Armci) -> &'a TeamArea {
        match &self.areas {
            // SAFETY: the mailbox lives as long as the rank; all of it is atomics and cells.
            Areas::Mailboxes => unsafe { &(*armci.own_mailbox().as_ptr()).team },
            // SAFETY: allocated by `create` and freed by `free`, which takes the group; all of it
            // is atomics and cells.
            Areas::Allocated { own, .. } => unsafe { own.as_ref() },
        }
    }
}

impl Segment {
    /// The address of this rank's own part, by which C knows it. Zero if it has no bytes.
    pub fn own_address(&self, group: &Group) -> u64 {
        self.parts[group.rank()].address
    }
}

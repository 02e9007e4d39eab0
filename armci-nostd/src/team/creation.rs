//! How groups are made, by messages between their members, and given up.

use core::alloc::Layout;
use core::ptr::NonNull;
use std::prelude::v1::*;

use zerocopy::IntoBytes;

use crate::error::Error;
use crate::path::paths::Paths;
use crate::team::group::Group;
use crate::team::message::{CREATE_GROUP, Sender};
use crate::team::world::World;
use crate::wire::area::TeamArea;

impl Group {
    /// `ARMCI_Group_create`: makes a group of the ranks that `members` names, which all must call
    /// this with the same list. Other ranks need not; those that do get `None`, as all
    /// do from an empty list.
    ///
    /// # Errors
    /// [`Error::Group`] for a list that names a rank twice, [`Error::NoRank`].
    pub fn create(world: &World, members: &[usize]) -> Result<Option<Self>, Error> {
        let mut ranks = Vec::with_capacity(members.len());
        for &member in members {
            ranks.push(world.check_rank(member)?);
        }
        let mut sorted = ranks.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::Group("a group cannot have a member twice"));
        }
        let Some(rank) = ranks.iter().position(|&rank| rank == world.rank) else { return Ok(None) };
        let own = world.alloc(Layout::new::<TeamArea>()).map(NonNull::cast::<TeamArea>);
        if let Some(own) = own {
            // SAFETY: just allocated with this layout.
            unsafe { own.write(TeamArea::new()) };
        }
        // Member 0 collects the addresses and tells all of them to all. There is nothing yet but
        // messages to do it by.
        let mut addresses = vec![0u64; ranks.len()];
        addresses[rank] = own.map_or(0, |own| own.addr().get() as u64);
        let root = ranks[0] as usize;
        let send = |rank, data: &[u8]| world.post.send(world, CREATE_GROUP, rank, 0, data);
        let receive = |rank, data: &mut [u8]| {
            world.post.receive(world, CREATE_GROUP, Sender::Rank(rank), None, data).map(drop)
        };
        if rank == 0 {
            for (member, &other) in ranks.iter().enumerate().skip(1) {
                receive(other as usize, addresses[member..=member].as_mut_bytes())?;
            }
            for &other in &ranks[1..] {
                send(other as usize, addresses.as_bytes())?;
            }
        } else {
            send(root, addresses[rank..=rank].as_bytes())?;
            receive(root, addresses.as_mut_bytes())?;
        }
        match own {
            Some(own) if !addresses.contains(&0) => {
                // SAFETY: allocated above; given back by `free`, which takes the group.
                Ok(Some(unsafe { Self::of_members(ranks, rank, own, addresses) }))
            }
            own => {
                if let Some(own) = own {
                    // SAFETY: allocated above with this layout; nobody has used it.
                    unsafe { world.dealloc(own.cast(), Layout::new::<TeamArea>()) };
                }
                Err(Error::OutOfMemory { bytes: size_of::<TeamArea>() })
            }
        }
    }

    /// `ARMCI_Group_create_child`: the same, with the members named by their numbers in this group.
    pub fn create_child(&self, world: &World, members: &[usize]) -> Result<Option<Self>, Error> {
        let mut ranks = Vec::with_capacity(members.len());
        for &member in members {
            ranks.push(self.absolute(member)?);
        }
        Self::create(world, &ranks)
    }

    /// `ARMCI_Group_split`, collective in this group: one new group for each `color`, its members
    /// ordered by `key`, then by their numbers in this group. A negative color: no group.
    pub fn split(&self, world: &World, color: i32, key: i32) -> Result<Option<Self>, Error> {
        let mut wishes = vec![[0i32; 2]; self.size()];
        wishes[self.rank()] = [color, key];
        self.gather(world, wishes.as_mut_bytes())?;
        if color < 0 {
            return Ok(None);
        }
        let mut members: Vec<_> =
            (0..self.size()).filter(|&member| wishes[member][0] == color).collect();
        members.sort_by_key(|&member| wishes[member][1]);
        self.create_child(world, &members)
    }

    /// `ARMCI_Group_dup`, collective in this group: another group of the same members.
    pub fn duplicate(&self, world: &World) -> Result<Self, Error> {
        let members: Vec<_> = (0..self.size()).collect();
        self.create_child(world, &members)?.ok_or(Error::Group("a group has this rank as a member"))
    }

    /// `ARMCI_Group_free`, collective in the group.
    pub fn free(self, paths: &Paths) -> Result<(), Error> {
        self.barrier(paths)?;
        if let Some(own) = self.into_area() {
            // A member may still be in its last wait for one that has told it already; what it
            // tells others it has told. So nobody writes here any more.
            // SAFETY: allocated by `create` with this layout.
            unsafe { paths.dealloc(own.cast(), Layout::new::<TeamArea>()) };
        }
        Ok(())
    }
}

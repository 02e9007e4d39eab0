//! Barrier, broadcast and reductions of a group, made of puts and gets on its members'
//! [`TeamArea`]s.
//!
//! All of their state is in the members' memory and none in the proxy: counters that only grow,
//! each with one writer. So they need no reset, and a rank that is saved in the middle goes on
//! where it was.
//!
//! The barrier is a dissemination barrier: in round k every member tells the one 2^k above it
//! (where members are more than processors of their one host, they meet at a counter instead).
//! Everything else goes along one binomial tree with member 0 at its root, chunk by chunk, up and
//! down again:
//!
//! ```text
//!            0             child k of member r is r + 2^k, for the k below the lowest set bit of r
//!          / | \           (any k for member 0)
//!         1  2  4
//!            |  | \
//!            3  5  6 - 7
//! ```
//!
//! A rank that has its chunk ready lays it out in its outbox and tells its parent (`up`), which
//! gets it; a rank that knows the result lays that out and tells its children (`down`). A rank
//! changes its outbox only when the other side has shown that it is done with it: the parent by
//! `down`, the children by their next `up`.

use core::mem::offset_of;
use core::ops::Range;
use core::sync::atomic::Ordering;

use zerocopy::IntoBytes;

use crate::api::armci::{Armci, Error};
use crate::element::{Element, Reduce};
use crate::path::transfer::{Operation, Row};
use crate::team::group::Group;
use crate::wire::area::{CHUNK, Line64, ROUNDS};
use crate::wire::{RmwKind, TeamArea};

/// How [`Armci::reduce`] combines: the operators of `armci_msg_gop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceOp {
    /// `+`, wrapping for integers.
    Sum,
    /// `*`, wrapping for integers.
    Product,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The least absolute value.
    AbsMin,
    /// The greatest absolute value.
    AbsMax,
    /// Bit by bit, of the representation.
    Or,
}

impl Armci {
    /// `ARMCI_Barrier`: waits until all ranks are here and their operations complete at their
    /// targets.
    #[inline]
    pub fn barrier(&self) -> Result<(), Error> {
        self.world.barrier(self)
    }

    /// `armci_msg_brdcst`, collective: copies `data` of rank `root` to all others. All must give
    /// the same length.
    pub fn broadcast<T: Element>(&self, root: usize, data: &mut [T]) -> Result<(), Error> {
        self.world.broadcast(self, root, data)
    }

    /// `armci_msg_gop`, collective: combines the data of all ranks, element by element; all get the
    /// result, with the same bits everywhere. All must give the same length.
    pub fn reduce<T: Reduce>(&self, op: ReduceOp, data: &mut [T]) -> Result<(), Error> {
        self.world.reduce(self, op, data)
    }
}

impl Group {
    /// Collective in the group: waits until all members are here, and their operations complete at
    /// their targets.
    pub fn barrier(&self, armci: &Armci) -> Result<(), Error> {
        armci.all_fence()?;
        if self.size() == 1 {
            return Ok(());
        }
        let own = self.own_area(armci);
        let count = self.barriers.get() + 1;
        self.barriers.set(count);
        if self.is_crowded(armci) {
            return self.gather_at_one_place(armci, own, count);
        }
        for (round, reached) in own.barrier.iter().enumerate() {
            let distance = 1 << round;
            if distance >= self.size() {
                break;
            }
            let peer = (self.rank() + distance) % self.size();
            self.tell(
                armci,
                peer,
                offset_of!(TeamArea, barrier) + size_of::<Line64>() * round,
                count,
            )?;
            wait_for(armci, reached, count)?;
        }
        Ok(())
    }

    /// The barrier for members that have to take turns on few processors: each arrives at a counter
    /// of member 0, and the last one tells all others. So each has to run once, and not once a
    /// round.
    fn gather_at_one_place(&self, armci: &Armci, own: &TeamArea, count: u64) -> Result<(), Error> {
        let (space, area) = self.area_of(0);
        let arrived = area + offset_of!(TeamArea, arrived) as u64;
        let before = armci.read_modify_write_in(
            space,
            RmwKind::FetchAdd64,
            self.world_rank(0),
            arrived,
            [1, 0],
        )?;
        if before + 1 != count * self.size() as u64 {
            return wait_for(armci, &own.released, count);
        }
        // From the one behind, so that nobody is always the first.
        let others = (1..self.size()).map(|distance| (self.rank() + distance) % self.size());
        for member in others {
            self.tell(armci, member, offset_of!(TeamArea, released), count)?;
        }
        Ok(())
    }

    /// Collective in the group: copies `data` of member `root` to all others. All must give the
    /// same length.
    ///
    /// # Errors
    /// [`Error::Group`] if there is no such member.
    pub fn broadcast<T: Element>(
        &self,
        armci: &Armci,
        root: usize,
        data: &mut [T],
    ) -> Result<(), Error> {
        if root >= self.size() {
            return Err(Error::Group("a broadcast must start from a member of the group"));
        }
        // Up goes only what leads from `root` to member 0.
        let replace = |mine: &mut [u8], theirs: &[u8]| mine.copy_from_slice(theirs);
        self.tree(armci, data.as_mut_bytes(), CHUNK, |subtree| subtree.contains(&root), replace)
    }

    /// Collective in the group: combines the data of all members, element by element; all get the
    /// result, with the same bits everywhere. All must give the same length.
    pub fn reduce<T: Reduce>(
        &self,
        armci: &Armci,
        op: ReduceOp,
        data: &mut [T],
    ) -> Result<(), Error> {
        self.reduce_by(armci, data.as_mut_bytes(), size_of::<T>(), |mine, theirs| {
            if let (Ok(a), Ok(b)) = (T::read_from_bytes(mine), T::read_from_bytes(theirs)) {
                mine.copy_from_slice(T::combine(op, a, b).as_bytes());
            }
        })
    }

    /// Collective in the group: the same for records of `record` bytes and any way to combine two,
    /// the second into the first.
    ///
    /// # Errors
    /// [`Error::Shape`] for records of no bytes or of more than 8192.
    pub fn reduce_by(
        &self,
        armci: &Armci,
        data: &mut [u8],
        record: usize,
        combine: impl Fn(&mut [u8], &[u8]),
    ) -> Result<(), Error> {
        if !(1..=CHUNK).contains(&record) {
            return Err(Error::Shape("a reduction's records must have 1 to 8192 bytes"));
        }
        let combine_all = |mine: &mut [u8], theirs: &[u8]| {
            mine.chunks_exact_mut(record)
                .zip(theirs.chunks_exact(record))
                .for_each(|(mine, theirs)| combine(mine, theirs));
        };
        self.tree(armci, data, CHUNK / record * record, |_| true, combine_all)
    }

    /// Collective in the group: combines bytes of which each member has set its own and left the
    /// others zero.
    pub(crate) fn gather(&self, armci: &Armci, data: &mut [u8]) -> Result<(), Error> {
        let or = |mine: &mut [u8], theirs: &[u8]| {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine |= theirs)
        };
        self.tree(armci, data, CHUNK, |_| true, or)
    }

    /// Moves `data` up the tree and down again, `step` bytes at a time. Of the subtrees below this
    /// member those that `contributes` says (a range of members) are combined into `data` on the
    /// way up; on the way down all get what member 0 has.
    fn tree(
        &self,
        armci: &Armci,
        data: &mut [u8],
        step: usize,
        contributes: impl Fn(Range<usize>) -> bool,
        combine: impl Fn(&mut [u8], &[u8]),
    ) -> Result<(), Error> {
        if self.size() == 1 {
            return Ok(());
        }
        let own = self.own_area(armci);
        let (rank, size) = (self.rank(), self.size());
        let children = || {
            (0..rank_bits(rank))
                .map(|k| (k, rank + (1 << k)))
                .take_while(|&(_, child)| child < size)
        };
        let parent = rank & rank.wrapping_sub(1);
        for chunk in data.chunks_mut(step) {
            let count = self.chunks.get() + 1;
            self.chunks.set(count);
            for (k, child) in children() {
                wait_for(armci, &own.up[k], count)?;
                if contributes(child..child + (1 << k)) {
                    self.get_outbox(armci, child, own.inbox.get().cast(), chunk.len())?;
                    // SAFETY: the get has ended; nobody else writes the inbox until the next one.
                    let theirs = unsafe {
                        core::slice::from_raw_parts(own.inbox.get().cast::<u8>(), chunk.len())
                    };
                    combine(chunk, theirs);
                }
            }
            if rank != 0 {
                // SAFETY: parent and children are done with the outbox; it is long enough.
                unsafe { fill(own, chunk) };
                let place =
                    offset_of!(TeamArea, up) + size_of::<Line64>() * rank.trailing_zeros() as usize;
                self.tell(armci, parent, place, count)?;
                wait_for(armci, &own.down, count)?;
                self.get_outbox(armci, parent, own.outbox.get().cast(), chunk.len())?;
                // SAFETY: the get has ended; only this rank writes its outbox.
                let result = unsafe {
                    core::slice::from_raw_parts(own.outbox.get().cast::<u8>(), chunk.len())
                };
                chunk.copy_from_slice(result);
            } else {
                // SAFETY: the children are done with the outbox, as their `up` shows; it is long
                // enough.
                unsafe { fill(own, chunk) };
            }
            for (_, child) in children() {
                self.tell(armci, child, offset_of!(TeamArea, down), count)?;
            }
        }
        Ok(())
    }

    /// Writes `count` to a counter in the area of a member and wakes it.
    fn tell(&self, armci: &Armci, member: usize, offset: usize, count: u64) -> Result<(), Error> {
        let (space, area) = self.area_of(member);
        armci.tell(space, self.world_rank(member), area + offset as u64, count)
    }

    /// Gets the outbox of a member.
    fn get_outbox(
        &self,
        armci: &Armci,
        member: usize,
        destination: *mut u8,
        len: usize,
    ) -> Result<(), Error> {
        let (space, area) = self.area_of(member);
        let row =
            Row { local: destination, remote: area + offset_of!(TeamArea, outbox) as u64, len };
        // SAFETY: the destination is this rank's own inbox or outbox, and long enough.
        let pending = unsafe {
            armci.transfer_in(
                space,
                Operation::Get,
                self.world_rank(member),
                core::iter::once(row),
            )?
        };
        armci.wait(pending)
    }
}

/// Children that a member may have.
fn rank_bits(rank: usize) -> usize {
    match rank {
        0 => ROUNDS,
        rank => rank.trailing_zeros() as usize,
    }
}

/// Lays `chunk` out in the outbox.
///
/// # Safety
/// No rank may be getting from the outbox, and `chunk` must fit into it.
unsafe fn fill(area: &TeamArea, chunk: &[u8]) {
    // SAFETY: by the caller.
    unsafe {
        core::ptr::copy_nonoverlapping(chunk.as_ptr(), area.outbox.get().cast(), chunk.len())
    };
}

#[inline]
fn wait_for(armci: &Armci, counter: &Line64, count: u64) -> Result<(), Error> {
    armci.wait_for_rank(|| counter.0.load(Ordering::Acquire) >= count)
}

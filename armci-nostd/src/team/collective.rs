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

use crate::element::{Element, Reduce, ReduceOp};
use crate::error::Error;
use crate::path::paths::Paths;
use crate::path::rows::{Operation, Row};
use crate::team::group::Group;
use crate::wire::area::{CHUNK, ROUNDS, TeamArea, Word64};
use crate::wire::request::RmwKind;

impl Group {
    /// Collective in the group: waits until all members are here, and their operations complete at
    /// their targets.
    pub fn barrier(&self, paths: &Paths) -> Result<(), Error> {
        paths.all_fence()?;
        if self.size() == 1 {
            return Ok(());
        }
        let own = self.own_area(paths);
        let count = self.next_barrier(paths);
        if self.is_crowded(paths) {
            return self.gather_at_one_place(paths, own, count);
        }
        for (round, reached) in own.barrier.iter().enumerate() {
            let distance = 1 << round;
            if distance >= self.size() {
                break;
            }
            let peer = (self.rank() + distance) % self.size();
            self.tell(
                paths,
                peer,
                offset_of!(TeamArea, barrier) + size_of::<Word64>() * round,
                count,
            )?;
            wait_for(paths, reached, count)?;
        }
        Ok(())
    }

    /// The barrier for members that have to take turns on few processors: each arrives at a counter
    /// of member 0, and the last one tells all others. So each has to run once, and not once a
    /// round.
    fn gather_at_one_place(&self, paths: &Paths, own: &TeamArea, count: u64) -> Result<(), Error> {
        let (space, area) = self.area_of(0);
        let arrived = area + offset_of!(TeamArea, arrived) as u64;
        let before = paths.read_modify_write_in(
            space,
            RmwKind::FetchAdd64,
            self.world_rank(0),
            arrived,
            [1, 0],
        )?;
        if before + 1 != count * self.size() as u64 {
            return wait_for(paths, &own.released, count);
        }
        // From the one behind, so that nobody is always the first.
        let others = (1..self.size()).map(|distance| (self.rank() + distance) % self.size());
        for member in others {
            self.tell(paths, member, offset_of!(TeamArea, released), count)?;
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
        paths: &Paths,
        root: usize,
        data: &mut [T],
    ) -> Result<(), Error> {
        if root >= self.size() {
            return Err(Error::Group("a broadcast must start from a member of the group"));
        }
        // Up goes only what leads from `root` to member 0.
        let replace = |mine: &mut [u8], theirs: &[u8]| mine.copy_from_slice(theirs);
        self.tree(paths, data.as_mut_bytes(), CHUNK, |subtree| subtree.contains(&root), replace)
    }

    /// Collective in the group: combines the data of all members, element by element; all get the
    /// result, with the same bits everywhere. All must give the same length.
    pub fn reduce<T: Reduce>(
        &self,
        paths: &Paths,
        op: ReduceOp,
        data: &mut [T],
    ) -> Result<(), Error> {
        self.reduce_by(paths, data.as_mut_bytes(), size_of::<T>(), |mine, theirs| {
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
        paths: &Paths,
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
        self.tree(paths, data, CHUNK / record * record, |_| true, combine_all)
    }

    /// Collective in the group: combines bytes of which each member has set its own and left the
    /// others zero.
    pub(crate) fn gather(&self, paths: &Paths, data: &mut [u8]) -> Result<(), Error> {
        let or = |mine: &mut [u8], theirs: &[u8]| {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine |= theirs)
        };
        self.tree(paths, data, CHUNK, |_| true, or)
    }

    /// Moves `data` up the tree and down again, `step` bytes at a time. On the way up the subtrees
    /// below this member, each a range of members, are combined into `data` where `contributes`
    /// says so; on the way down all get what member 0 has.
    fn tree(
        &self,
        paths: &Paths,
        data: &mut [u8],
        step: usize,
        contributes: impl Fn(Range<usize>) -> bool,
        combine: impl Fn(&mut [u8], &[u8]),
    ) -> Result<(), Error> {
        if self.size() == 1 {
            return Ok(());
        }
        let own = self.own_area(paths);
        let (rank, size) = (self.rank(), self.size());
        let children = || {
            (0..rank_bits(rank))
                .map(|k| (k, rank + (1 << k)))
                .take_while(|&(_, child)| child < size)
        };
        let parent = rank & rank.wrapping_sub(1);
        for chunk in data.chunks_mut(step) {
            let count = self.next_chunk(paths);
            for (k, child) in children() {
                wait_for(paths, &own.up[k], count)?;
                if contributes(child..child + (1 << k)) {
                    self.get_outbox(paths, child, own.inbox.get().cast(), chunk.len())?;
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
                    offset_of!(TeamArea, up) + size_of::<Word64>() * rank.trailing_zeros() as usize;
                self.tell(paths, parent, place, count)?;
                wait_for(paths, &own.down, count)?;
                self.get_outbox(paths, parent, own.outbox.get().cast(), chunk.len())?;
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
                self.tell(paths, child, offset_of!(TeamArea, down), count)?;
            }
        }
        Ok(())
    }

    /// Writes `count` to a counter in the area of a member and wakes it.
    fn tell(&self, paths: &Paths, member: usize, offset: usize, count: u64) -> Result<(), Error> {
        let (space, area) = self.area_of(member);
        paths.tell(space, self.world_rank(member), area + offset as u64, count)
    }

    /// Gets the outbox of a member.
    fn get_outbox(
        &self,
        paths: &Paths,
        member: usize,
        destination: *mut u8,
        len: usize,
    ) -> Result<(), Error> {
        let (space, area) = self.area_of(member);
        let row =
            Row { local: destination, remote: area + offset_of!(TeamArea, outbox) as u64, len };
        // SAFETY: the destination is this rank's own inbox or outbox, and long enough.
        let pending = unsafe {
            paths.transfer_in(
                space,
                Operation::Get,
                self.world_rank(member),
                core::iter::once(row),
            )?
        };
        paths.wait(pending)
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
fn wait_for(paths: &Paths, counter: &Word64, count: u64) -> Result<(), Error> {
    paths.wait_for_rank(|| counter.0.load(Ordering::Acquire) >= count)
}

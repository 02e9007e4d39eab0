//! Barrier, broadcast and reductions, made of puts and gets on the ranks' mailboxes.
//!
//! All of their state is in the ranks' memory and none in the proxy: counters that only grow, each with one
//! writer. So they need no reset, and a rank that is saved in the middle goes on where it was.
//!
//! The barrier is a dissemination barrier: in round k every rank tells the one 2^k above it. Everything else goes along one binomial tree
//! with rank 0 at its root, chunk by chunk, up and down again:
//!
//! ```text
//!            0             child k of rank r is r + 2^k, for the k below the lowest set bit of r
//!          / | \           (any k for rank 0)
//!         1  2  4
//!            |  | \
//!            3  5  6 - 7
//! ```
//!
//! A rank that has its chunk ready lays it out in its outbox and tells its parent (`up`), which gets it; a rank that knows
//! the result lays that out and tells its children (`down`). A rank changes its outbox only when the other
//! side has shown that it is done with it: the parent by `down`, the children by their next `up`.

use core::mem::offset_of;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use zerocopy::IntoBytes;

use crate::armci::{Armci, Error, Way};
use crate::element::{Element, Reduce};
use crate::link::Link;
use crate::wire::area::{CHUNK, ROUNDS};
use crate::wire::{Flags, Mailbox, Opcode, Request};

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
}

impl Armci {
    /// `ARMCI_Barrier`: waits until all ranks are here and their operations complete at their targets.
    pub fn barrier(&self) -> Result<(), Error> {
        self.all_fence()?;
        let Way::Proxy(link) = &self.way else { return Ok(()) };
        let count = self.barriers.get() + 1;
        self.barriers.set(count);
        for (round, reached) in link.area().mailbox.barrier.iter().enumerate() {
            let distance = 1 << round;
            if distance >= self.size() {
                break;
            }
            let peer = (self.rank() + distance) % self.size();
            self.tell(peer, offset_of!(Mailbox, barrier) + 8 * round, count)?;
            wait_for(link, reached, count)?;
        }
        Ok(())
    }

    /// `armci_msg_brdcst`, collective: copies `data` of rank `root` to all others. All must give the same length.
    pub fn broadcast<T: Element>(&self, root: usize, data: &mut [T]) -> Result<(), Error> {
        assert!(root < self.size(), "no rank {root} in a job of {}", self.size());
        // Up goes only what leads from `root` to rank 0.
        self.tree(data.as_mut_bytes(), |subtree| subtree.contains(&root), |mine, theirs| mine.copy_from_slice(theirs))
    }

    /// `armci_msg_gop`, collective: combines the data of all ranks, element by element; all get the result, with
    /// the same bits everywhere. All must give the same length.
    pub fn reduce<T: Reduce>(&self, op: ReduceOp, data: &mut [T]) -> Result<(), Error> {
        self.tree(
            data.as_mut_bytes(),
            |_| true,
            |mine, theirs| {
                for (mine, theirs) in mine.chunks_exact_mut(size_of::<T>()).zip(theirs.chunks_exact(size_of::<T>())) {
                    if let (Ok(a), Ok(b)) = (T::read_from_bytes(mine), T::read_from_bytes(theirs)) {
                        mine.copy_from_slice(T::combine(op, a, b).as_bytes());
                    }
                }
            },
        )
    }

    /// Collective: combines bytes of which each rank has set its own and left the others zero.
    pub(crate) fn gather(&self, data: &mut [u8]) -> Result<(), Error> {
        self.tree(data, |_| true, |mine, theirs| mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine |= theirs))
    }

    /// Moves `data` up the tree and down again. Of the subtrees below this rank those that `contributes` says (a range of ranks)
    /// are combined into `data` on the way up; on the way down all get what rank 0 has.
    fn tree(
        &self,
        data: &mut [u8],
        contributes: impl Fn(Range<usize>) -> bool,
        combine: impl Fn(&mut [u8], &[u8]),
    ) -> Result<(), Error> {
        let Way::Proxy(link) = &self.way else { return Ok(()) };
        let mailbox = &link.area().mailbox;
        let (rank, size) = (self.rank(), self.size());
        let children =
            || (0..ROUNDS.min(rank_bits(rank))).map(|k| (k, rank + (1 << k))).take_while(|&(_, child)| child < size);
        let parent = rank & rank.wrapping_sub(1);
        let step = CHUNK;
        for chunk in data.chunks_mut(step) {
            let count = self.chunks.get() + 1;
            self.chunks.set(count);
            for (k, child) in children() {
                wait_for(link, &mailbox.up[k], count)?;
                if contributes(child..child + (1 << k)) {
                    self.get_outbox(child, mailbox.inbox.get().cast(), chunk.len())?;
                    // SAFETY: the get has ended; nobody else writes the inbox until the next one.
                    let theirs = unsafe { core::slice::from_raw_parts(mailbox.inbox.get().cast::<u8>(), chunk.len()) };
                    combine(chunk, theirs);
                }
            }
            if rank != 0 {
                // SAFETY: parent and children are done with the outbox; it is long enough.
                unsafe { fill(mailbox, chunk) };
                self.tell(parent, offset_of!(Mailbox, up) + 8 * rank.trailing_zeros() as usize, count)?;
                wait_for(link, &mailbox.down, count)?;
                self.get_outbox(parent, mailbox.outbox.get().cast(), chunk.len())?;
                // SAFETY: the get has ended; only this rank writes its outbox.
                let result = unsafe { core::slice::from_raw_parts(mailbox.outbox.get().cast::<u8>(), chunk.len()) };
                chunk.copy_from_slice(result);
            } else {
                // SAFETY: the children are done with the outbox, as their `up` shows; it is long enough.
                unsafe { fill(mailbox, chunk) };
            }
            for (_, child) in children() {
                self.tell(child, offset_of!(Mailbox, down), count)?;
            }
        }
        Ok(())
    }

    /// Writes `count` to a counter in the mailbox of `rank` and wakes it.
    fn tell(&self, rank: usize, offset: usize, count: u64) -> Result<(), Error> {
        // Not waited for: the answer comes by the mailbox, and the tag is free when it has ended.
        self.start_word(rank as u32, offset as u64, count, Flags::MAILBOX | Flags::NOTIFY).map(drop)
    }

    /// Gets the outbox of `rank` into this rank's own mailbox.
    fn get_outbox(&self, rank: usize, destination: *mut u8, len: usize) -> Result<(), Error> {
        let started = self.start(Request {
            opcode: Opcode::Get as u8,
            flags: Flags::MAILBOX.bits(),
            rank: rank as u32,
            remote: offset_of!(Mailbox, outbox) as u64,
            local: destination.expose_provenance() as u64,
            len: len as u64,
            ..Request::default()
        })?;
        self.finish(started).map(drop)
    }
}

/// Children that a rank may have.
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
unsafe fn fill(mailbox: &Mailbox, chunk: &[u8]) {
    // SAFETY: by the caller.
    unsafe { core::ptr::copy_nonoverlapping(chunk.as_ptr(), mailbox.outbox.get().cast(), chunk.len()) };
}

fn wait_for(link: &Link, counter: &AtomicU64, count: u64) -> Result<(), Error> {
    link.wait_until(|| counter.load(Ordering::Acquire) >= count)
}

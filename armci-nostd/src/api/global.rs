//! Memory that all ranks can reach.

use core::marker::PhantomData;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use std::prelude::v1::*;

use crate::api::segment::{Segment, SegmentPart};
use crate::element::Element;
use crate::error::Error;

/// A collective allocation: each rank holds a part, and all can reach every part. Made by
/// [`Armci::malloc`](crate::Armci::malloc), given back by [`Armci::free`](crate::Armci::free).
///
/// Dropping it without `free` leaves the memory allocated, since other ranks may still use it.
#[derive(Debug)]
pub struct Global<T> {
    pub(crate) segment: Segment,
    pub(crate) rank: u32,
    pub(crate) element: PhantomData<T>,
}

impl<T: Element> Global<T> {
    /// Elements in this rank's own part.
    pub fn len(&self) -> usize {
        self.len_at(self.rank as usize)
    }

    /// Whether this rank's own part has no elements, which is legal.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements in the part of `rank`.
    ///
    /// # Panics
    /// If there is no such rank.
    pub fn len_at(&self, rank: usize) -> usize {
        self.part_of(rank).len as usize / size_of::<T>()
    }

    /// Address of the part of `rank`, in that rank's own space.
    ///
    /// # Panics
    /// If there is no such rank.
    pub fn address_at(&self, rank: usize) -> u64 {
        self.part_of(rank).address
    }

    /// The part of a rank, if it has one: the group in which this was allocated may not have all
    /// ranks.
    pub(crate) fn part(&self, rank: usize) -> Option<SegmentPart> {
        let parts = &self.segment.parts;
        // In most groups member n is rank n.
        let quick = parts.get(rank).filter(|part| part.rank as usize == rank);
        quick.or_else(|| parts.iter().find(|part| part.rank as usize == rank)).copied()
    }

    fn part_of(&self, rank: usize) -> SegmentPart {
        match self.part(rank) {
            Some(part) => part,
            None => core::panic!("rank {rank} has no part of this allocation"),
        }
    }

    /// Where element `index` of the part of `rank` lies.
    ///
    /// # Panics
    /// If there is no such rank, or `index` is past the end of its part.
    pub fn at(&self, rank: usize, index: usize) -> GlobalPtr<'_, T> {
        let part = self.part_of(rank);
        let len = part.len as usize / size_of::<T>();
        assert!(index <= len, "index {index} is past the {len} elements of rank {rank}");
        GlobalPtr {
            rank: rank as u32,
            address: part.address + (index * size_of::<T>()) as u64,
            room: len - index,
            global: PhantomData,
        }
    }

    /// The part of `rank` from element `index` on; an error instead of the panic of
    /// [`at`](Global::at).
    pub fn place(&self, rank: usize, index: usize) -> Result<GlobalPtr<'_, T>, Error> {
        let part = self.part(rank).ok_or(Error::NoRank { rank, size: self.segment.parts.len() })?;
        let room = part.len as usize / size_of::<T>();
        if index > room {
            return Err(Error::OutOfBounds { rank: rank as u32, len: index, room });
        }
        Ok(self.at(rank, index))
    }

    /// Copies elements of this rank's own part, from `start` on, into `destination`.
    pub fn read(&self, start: usize, destination: &mut [T]) -> Result<(), Error> {
        let source = self.own(start..start.saturating_add(destination.len()))?;
        // SAFETY: in bounds by `own`. Another rank may be writing, which is why no reference is
        // made to it; any bits are a `T`.
        unsafe { core::ptr::copy(source, destination.as_mut_ptr(), destination.len()) };
        Ok(())
    }

    /// Copies `source` into this rank's own part, from `start` on.
    pub fn write(&self, start: usize, source: &[T]) -> Result<(), Error> {
        let destination = self.own(start..start.saturating_add(source.len()))?;
        // SAFETY: as in `read`.
        unsafe { core::ptr::copy(source.as_ptr(), destination, source.len()) };
        Ok(())
    }

    /// This rank's own part, in place.
    ///
    /// # Safety
    /// As long as the slice lives no rank may touch the part in any other way: no put, accumulate
    /// or read-modify-write to it, no other slice of it.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn as_mut_slice(&self) -> &mut [T] {
        // SAFETY: aligned and valid for the part's length by its allocation, exclusive by the
        // caller.
        unsafe { core::slice::from_raw_parts_mut(self.segment.local.as_ptr().cast(), self.len()) }
    }

    /// A pointer to the elements `range` of this rank's own part.
    pub(crate) fn own(&self, range: Range<usize>) -> Result<*mut T, Error> {
        if range.end > self.len() {
            return Err(Error::OutOfBounds {
                rank: self.rank,
                len: range.end - range.start,
                room: self.len().saturating_sub(range.start),
            });
        }
        // SAFETY: within the part.
        Ok(unsafe { self.segment.local.as_ptr().cast::<T>().add(range.start) })
    }
}

/// A place in a [`Global`]: a rank, an address there, and how many elements follow.
#[derive(Debug)]
pub struct GlobalPtr<'g, T> {
    pub(crate) rank: u32,
    pub(crate) address: u64,
    pub(crate) room: usize,
    pub(crate) global: PhantomData<&'g Global<T>>,
}

impl<T> Clone for GlobalPtr<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for GlobalPtr<'_, T> {}

impl Global<u64> {
    /// Element `index` of this rank's own part, read atomically: who finds the value of a flag
    /// finds the data that were put before it.
    pub fn load(&self, index: usize) -> Result<u64, Error> {
        let word = self.own(index..index.saturating_add(1))?;
        // SAFETY: in bounds and aligned; other ranks write it by operations that are atomic for
        // words.
        Ok(unsafe { AtomicU64::from_ptr(word) }.load(Ordering::Acquire))
    }
}

impl<T: Element> GlobalPtr<'_, T> {
    /// The rank that holds it.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// Checks that `len` elements fit between here and the end of the part.
    pub(crate) fn check(&self, len: usize) -> Result<(), Error> {
        match len <= self.room {
            true => Ok(()),
            false => Err(Error::OutOfBounds { rank: self.rank, len, room: self.room }),
        }
    }
}

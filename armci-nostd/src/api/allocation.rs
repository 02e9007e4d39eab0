//! Allocation, of memory that ranks share and of memory of one rank.

use core::alloc::Layout;
use core::marker::PhantomData;
use core::num::NonZero;
use core::ptr::NonNull;
use std::prelude::v1::*;

use zerocopy::IntoBytes;

use crate::api::armci::Armci;
use crate::api::global::Global;
use crate::api::segment::{Segment, SegmentPart};
use crate::element::Element;
use crate::error::Error;
use crate::team::group::Group;

/// What a member tells of its part: address, bytes, and what neighbours need to map it, plus one;
/// `u64::MAX` bytes if it has no memory for it.
type ToldOfPart = [u64; 3];

impl Armci {
    /// `ARMCI_Malloc`, collective: zeroed memory for `len` elements on this rank, reachable by all.
    /// Ranks may ask for different lengths, zero included.
    ///
    /// # Errors
    /// If any rank has not enough memory, all get [`Error::OutOfMemory`] and nothing stays
    /// allocated.
    pub fn malloc<T: Element>(&self, len: usize) -> Result<Global<T>, Error> {
        self.malloc_in(self.world(), len)
    }

    /// `ARMCI_Malloc_group`, collective in `group`: the same, reachable by its members, who are
    /// meant by their ranks in the job.
    pub fn malloc_in<T: Element>(&self, group: &Group, len: usize) -> Result<Global<T>, Error> {
        const { assert!(size_of::<T>() > 0, "elements must have a size") };
        let bytes = len.checked_mul(size_of::<T>());
        let segment = self.malloc_aligned(group, bytes.unwrap_or(usize::MAX), align_of::<T>())?;
        let segment =
            segment.ok_or(Error::OutOfMemory { bytes: len.saturating_mul(size_of::<T>()) })?;
        Ok(Global { segment, rank: self.rank, element: PhantomData })
    }

    /// `ARMCI_Free`, collective among those who allocated it.
    pub fn free<T>(&self, global: Global<T>) -> Result<(), Error> {
        self.free_in(self.world(), global)
    }

    /// `ARMCI_Free_group`, collective in the group in which it was allocated.
    pub fn free_in<T>(&self, group: &Group, global: Global<T>) -> Result<(), Error> {
        self.free_bytes(group, global.segment)
    }

    /// Collective in `group`: `bytes` zeroed bytes on this rank, at a multiple of 64.
    ///
    /// # Errors
    /// As for [`malloc`](Self::malloc).
    pub fn malloc_bytes(&self, group: &Group, bytes: usize) -> Result<Segment, Error> {
        self.malloc_aligned(group, bytes, 64)?.ok_or(Error::OutOfMemory { bytes })
    }

    /// None if a member has not enough memory.
    fn malloc_aligned(
        &self,
        group: &Group,
        bytes: usize,
        align: usize,
    ) -> Result<Option<Segment>, Error> {
        let own = self.allocate_part(bytes, align);
        let token = own.and_then(|(local, layout)| match layout.size() {
            0 => None,
            len => self.share(local, len),
        });
        let own_part: ToldOfPart = match own {
            Some((_, layout)) if layout.size() == 0 => [0, 0, 0],
            Some((local, _)) => {
                [local.addr().get() as u64, bytes as u64, token.map_or(0, |token| token + 1)]
            }
            None => [0, u64::MAX, 0],
        };
        let mut told: Vec<ToldOfPart> = vec![Default::default(); group.size()];
        told[group.rank()] = own_part;
        let gathered = group.gather(self, told.as_mut_bytes());
        // Others may say of their parts what they like, but not of this rank's.
        told[group.rank()] = own_part;
        let failed = gathered.is_err() || told.iter().any(|part| part[1] == u64::MAX);
        let Some((local, layout)) = own.filter(|_| !failed) else {
            if let Some((local, layout)) = own {
                self.give_back(local, layout, token);
            }
            return gathered.map(|()| None);
        };
        let mut parts = Vec::with_capacity(told.len());
        for (member, [address, len, token]) in told.into_iter().enumerate() {
            let rank = group.world_rank(member);
            if let Some(token) = token.checked_sub(1)
                && rank != self.rank
            {
                self.note_offer(rank, address, len, token);
            }
            parts.push(SegmentPart { rank, address, len });
        }
        Ok(Some(Segment { local, layout, token, parts }))
    }

    /// This rank's part, if there is memory for it.
    fn allocate_part(&self, bytes: usize, align: usize) -> Option<(NonNull<u8>, Layout)> {
        // A cache line of its own, so that flags of different allocations do not share one; whole
        // pages where they are shared.
        let align = align.max(64).max(self.shared_page().unwrap_or(1));
        // `pad_to_align` cannot overflow: the largest layout of an alignment is a multiple of it.
        let layout = Layout::from_size_align(bytes, align).ok()?.pad_to_align();
        match layout.size() {
            // Dangling, and aligned for any element.
            0 => Some((NonNull::without_provenance(NonZero::new(layout.align())?), layout)),
            _ => Some((self.alloc(layout)?, layout)),
        }
    }

    /// Collective in the group in which it was allocated.
    pub fn free_bytes(&self, group: &Group, segment: Segment) -> Result<(), Error> {
        group.barrier(self)?;
        if self.shared_page().is_some() {
            for part in &segment.parts {
                if part.rank != self.rank && part.len != 0 {
                    self.unmap(part.rank, part.address);
                }
            }
            group.barrier(self)?;
        }
        self.give_back(segment.local, segment.layout, segment.token);
        Ok(())
    }

    /// Memory that no rank uses any more.
    fn give_back(&self, local: NonNull<u8>, layout: Layout, token: Option<u64>) {
        if let Some(token) = token
            && !self.unshare(local, layout.size(), token)
        {
            // Somebody could still write there: rather lose it.
            return;
        }
        // SAFETY: allocated with this layout by `malloc_aligned`; all ranks have given up their
        // pointers to it, which borrow their `Global`, and their operations are complete.
        unsafe { self.dealloc(local, layout) };
    }

    /// `ARMCI_Malloc_local`: memory of this rank alone, to and from which the proxy moves data
    /// without a copy in between.
    pub fn malloc_local(&self, bytes: usize) -> Result<Local<'_>, Error> {
        let layout =
            Layout::from_size_align(bytes.max(1), 64).map_err(|_| Error::OutOfMemory { bytes })?;
        let memory = self.alloc(layout).ok_or(Error::OutOfMemory { bytes })?;
        Ok(Local { armci: self, memory, layout, bytes })
    }
}

/// Memory of one rank, see [`Armci::malloc_local`]. Freed when dropped.
#[derive(Debug)]
pub struct Local<'a> {
    armci: &'a Armci,
    memory: NonNull<u8>,
    layout: Layout,
    bytes: usize,
}

impl Local<'_> {
    /// The bytes as elements, at a multiple of 64; a rest that is not a whole one is left out.
    pub fn elements<T: Element>(&mut self) -> &mut [T] {
        const {
            assert!(
                size_of::<T>() > 0 && align_of::<T>() <= 64,
                "elements must have a size and fit the alignment"
            )
        };
        // SAFETY: valid for that many elements, aligned, initialized; any bits are a `T`; exclusive
        // by `&mut self`.
        unsafe {
            core::slice::from_raw_parts_mut(
                self.memory.as_ptr().cast(),
                self.bytes / size_of::<T>(),
            )
        }
    }

    /// Gives the memory to the caller, who must give it back by [`Armci::free_local`].
    pub fn into_raw(self) -> NonNull<u8> {
        let memory = self.memory;
        core::mem::forget(self);
        memory
    }
}

impl Drop for Local<'_> {
    fn drop(&mut self) {
        // SAFETY: allocated by `malloc_local` with this layout; nobody else has it.
        unsafe { self.armci.dealloc(self.memory, self.layout) };
    }
}

impl Armci {
    /// `ARMCI_Free_local`.
    ///
    /// # Safety
    /// `memory` must come from [`Local::into_raw`] of a `malloc_local` of `bytes` bytes, and not be
    /// used afterwards.
    pub unsafe fn free_local(&self, memory: NonNull<u8>, bytes: usize) {
        if let Ok(layout) = Layout::from_size_align(bytes.max(1), 64) {
            // SAFETY: by the caller; the layout of `malloc_local`.
            unsafe { self.dealloc(memory, layout) };
        }
    }
}

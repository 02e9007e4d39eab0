//! Memory that ranks allocate together.

use core::alloc::Layout;
use core::marker::PhantomData;
use core::num::NonZero;
use core::ptr::NonNull;
use std::prelude::v1::*;

use zerocopy::IntoBytes;

use crate::api::armci::{Armci, Error};
use crate::api::global::Global;
use crate::element::Element;
use crate::team::group::Group;

/// A collective allocation of bytes: `ARMCI_Malloc`'s. Each member of a group holds a part.
///
/// Dropping it leaves the memory allocated, since other ranks may still use it: see
/// [`Armci::free_bytes`].
#[derive(Debug)]
pub struct Segment {
    /// This rank's part. Dangling if it has no bytes.
    pub(crate) local: NonNull<u8>,
    layout: Layout,
    /// What neighbours need to map this part, where sharing is piece by piece.
    token: Option<u64>,
    /// By member.
    pub(crate) parts: Vec<Part>,
}

/// One member's part of a [`Segment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The rank.
    pub rank: u32,
    /// Address in that rank's space. Zero if there are no bytes.
    pub address: u64,
    /// Bytes.
    pub len: u64,
}

impl Segment {
    /// The parts, in the order of the group's members.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// This rank's own part. Dangling if it has no bytes.
    pub fn local(&self) -> NonNull<u8> {
        self.local
    }
}

impl Armci {
    /// `ARMCI_Malloc`, collective: zeroed memory for `len` elements on this rank, reachable by all.
    /// Ranks may ask for different lengths, zero included.
    ///
    /// # Errors
    /// If any rank has not enough memory, all get [`Error::OutOfMemory`] and nothing stays
    /// allocated.
    pub fn malloc<T: Element>(&self, len: usize) -> Result<Global<T>, Error> {
        self.malloc_in(&self.world, len)
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
        self.free_in(&self.world, global)
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
        // A cache line of its own, so that flags of different allocations do not share one; whole
        // pages where they are shared.
        let page = self.port().and_then(|port| port.page());
        let own = Layout::from_size_align(bytes, align.max(64).max(page.unwrap_or(1)))
            .ok()
            .and_then(|layout| {
                // `pad_to_align` may not overflow: the largest layout of this alignment is a
                // multiple of it.
                let layout = layout.pad_to_align();
                if layout.size() == 0 {
                    // Dangling, and aligned for any element.
                    return Some((
                        NonNull::without_provenance(NonZero::new(layout.align())?),
                        layout,
                    ));
                }
                Some((self.alloc(layout)?, layout))
            });
        let share = |(local, layout): (NonNull<u8>, Layout)| {
            let port = self.port().filter(|_| page.is_some() && layout.size() != 0)?;
            port.share(local, layout.size())
        };
        let token = own.and_then(share);
        let mut parts = vec![[0u64; 3]; group.size()];
        parts[group.rank()] = match own {
            Some((_, layout)) if layout.size() == 0 => [0, 0, 0],
            Some((local, _)) => {
                [local.addr().get() as u64, bytes as u64, token.map_or(0, |token| token + 1)]
            }
            None => [0, u64::MAX, 0],
        };
        let gathered = group.gather(self, parts.as_mut_bytes());
        let failed = gathered.is_err() || parts.iter().any(|part| part[1] == u64::MAX);
        let Some((local, layout)) = own.filter(|_| !failed) else {
            if let Some((local, layout)) = own {
                self.give_back(local, layout, token);
            }
            return gathered.map(|()| None);
        };
        if page.is_some() {
            self.offer_parts(group, &parts);
        }
        let part = |(member, &[address, len, _]): (usize, &[u64; 3])| Part {
            rank: group.world_rank(member),
            address,
            len,
        };
        let parts = parts.iter().enumerate().map(part).collect();
        Ok(Some(Segment { local, layout, token, parts }))
    }

    /// Notes what neighbours share, to be mapped when it is first used.
    fn offer_parts(&self, group: &Group, parts: &[[u64; 3]]) {
        for (member, &[address, len, token]) in parts.iter().enumerate() {
            let rank = group.world_rank(member);
            let neighbour = self.neighbours.get(rank as usize).and_then(Option::as_ref);
            if let (Some(neighbour), Some(token), true) =
                (neighbour, token.checked_sub(1), rank != self.rank)
            {
                neighbour.offer(address..address + len, token);
            }
        }
    }

    /// Collective in the group in which it was allocated.
    pub fn free_bytes(&self, group: &Group, segment: Segment) -> Result<(), Error> {
        group.barrier(self)?;
        if let Some(port) = self.port().filter(|port| port.page().is_some()) {
            for part in segment.parts.iter().filter(|part| part.rank != self.rank && part.len != 0)
            {
                let neighbour = self.neighbours.get(part.rank as usize).and_then(Option::as_ref);
                if let Some(here) = neighbour.and_then(|neighbour| neighbour.remove(part.address)) {
                    // SAFETY: mapped on demand with this rank and length; no region leads there any
                    // more.
                    unsafe {
                        port.unmap(part.rank as usize, here, whole_pages(port.page(), part.len))
                    };
                }
            }
            group.barrier(self)?;
        }
        self.give_back(segment.local, segment.layout, segment.token);
        Ok(())
    }

    /// Memory that no rank uses any more.
    fn give_back(&self, local: NonNull<u8>, layout: Layout, token: Option<u64>) {
        if let (Some(port), Some(token)) = (self.port(), token)
            && !port.unshare(local, layout.size(), token)
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

fn whole_pages(page: Option<usize>, len: u64) -> usize {
    (len as usize).next_multiple_of(page.unwrap_or(1))
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

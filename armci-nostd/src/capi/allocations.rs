//! What C has allocated, with other ranks and of this rank alone.

use core::cell::RefCell;
use core::ffi::{c_int, c_void};
use core::ops::Range;
use core::ptr::NonNull;
use std::collections::BTreeMap;
use std::prelude::v1::*;

use crate::api::armci::Armci;
use crate::api::segment::{Segment, SegmentPart};
use crate::capi::known_memory::KnownMemory;
use crate::capi::refusal::Refusal;
use crate::team::group::Group;

/// What was allocated.
#[derive(Default)]
pub(super) struct Allocations {
    known: KnownMemory,
    /// In the order of their allocation, which is the same at all members of a group.
    segments: RefCell<Vec<Allocated>>,
    /// Of this rank alone: bytes by address.
    local: RefCell<BTreeMap<usize, usize>>,
}

/// A segment of a group.
struct Allocated {
    segment: Segment,
    group: c_int,
    /// This rank's part; zero if it has no bytes.
    own: u64,
    /// Whether C has freed this rank's part.
    freed: bool,
}

/// Who may touch the memory that a remote address leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// All ranks, by operations.
    Shared,
    /// This rank alone: its stack, its heap.
    Private,
}

impl Allocations {
    /// Checks that this rank may touch bytes of a rank.
    pub fn sharing(
        &self,
        armci: &Armci,
        rank: usize,
        bytes: Range<u64>,
    ) -> Result<Sharing, Refusal> {
        if bytes.start == 0 {
            return Err(Refusal::Remote);
        }
        if self.known.contains(rank, &bytes) {
            return Ok(Sharing::Shared);
        }
        if rank != armci.rank() {
            return Err(Refusal::Remote);
        }
        let len = (bytes.end - bytes.start) as usize;
        match armci.check_public(rank as u32, bytes.start, len) {
            Ok(()) => Ok(Sharing::Shared),
            Err(_) => Ok(Sharing::Private),
        }
    }

    /// There are bytes of a rank, by its own word, that this rank may touch.
    pub fn know(&self, rank: usize, address: u64, len: u64) {
        self.known.add(rank, address, len);
    }

    /// Collective in the group: allocates memory, and tells of each member's part.
    pub fn allocate(
        &self,
        armci: &Armci,
        id: c_int,
        group: &Group,
        bytes: usize,
        mut tell: impl FnMut(usize, &SegmentPart),
    ) -> Result<(), Refusal> {
        self.reclaim(armci, id, group)?;
        let segment = armci.malloc_bytes(group, bytes)?;
        for (member, part) in segment.parts().iter().enumerate() {
            self.known.add(part.rank as usize, part.address, part.len);
            tell(member, part);
        }
        let own = segment.own_address(group);
        if own != 0 {
            segment.local().expose_provenance();
        }
        self.segments.borrow_mut().push(Allocated { segment, group: id, own, freed: false });
        Ok(())
    }

    /// Marks this rank's part as freed, of any group or of the one that is named. Others may be
    /// about to read it, or to free theirs, and a rank that has no part may not even know: so it is
    /// given back at the group's next allocation, when all have freed theirs.
    pub fn free(&self, ptr: *mut c_void, group: Option<c_int>) -> Result<(), Refusal> {
        if ptr.is_null() {
            return Ok(());
        }
        let mut segments = self.segments.borrow_mut();
        let segment = segments.iter_mut().find(|one| {
            !one.freed
                && one.own == ptr.addr() as u64
                && group.is_none_or(|group| group == one.group)
        });
        segment.ok_or(Refusal::Local)?.freed = true;
        Ok(())
    }

    /// Collective in the group: gives back what all of its members have freed.
    pub fn reclaim(&self, armci: &Armci, id: c_int, group: &Group) -> Result<(), Refusal> {
        let of_group = |one: &Allocated| one.group == id;
        let in_use = |one: &Allocated| u8::from(one.own != 0 && !one.freed);
        let mut used: Vec<u8> =
            self.segments.borrow().iter().filter(|one| of_group(one)).map(in_use).collect();
        if used.is_empty() {
            return Ok(());
        }
        group.gather(armci, &mut used)?;
        let mut used = used.into_iter();
        let (unused, kept): (Vec<_>, Vec<_>) = self
            .segments
            .take()
            .into_iter()
            .partition(|one| of_group(one) && used.next() == Some(0));
        self.segments.replace(kept);
        for Allocated { segment, .. } in unused {
            for part in segment.parts() {
                self.known.remove(part.rank as usize, part.address);
            }
            armci.free_bytes(group, segment)?;
        }
        Ok(())
    }

    /// Allocates memory of this rank alone.
    pub fn allocate_local(&self, armci: &Armci, bytes: usize) -> Result<NonNull<u8>, Refusal> {
        let memory = armci.malloc_local(bytes)?.into_raw();
        self.local.borrow_mut().insert(memory.as_ptr().expose_provenance(), bytes);
        Ok(memory)
    }

    /// Frees it.
    pub fn free_local(&self, armci: &Armci, ptr: *mut c_void) -> Result<(), Refusal> {
        let Some(memory) = NonNull::new(ptr.cast::<u8>()) else { return Ok(()) };
        let bytes = self.local.borrow_mut().remove(&ptr.addr()).ok_or(Refusal::Local)?;
        // SAFETY: from `malloc_local` with that many bytes, and freed once, since it is in the list
        // no more.
        unsafe { armci.free_local(memory, bytes) };
        Ok(())
    }
}

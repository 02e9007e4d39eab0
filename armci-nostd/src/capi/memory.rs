//! Allocation, and what is known of the memory of all ranks.

use core::cell::{Cell, RefCell};
use core::ffi::{c_char, c_int, c_long, c_void};
use core::ops::Range;
use core::ptr::{NonNull, null_mut};
use std::collections::BTreeMap;
use std::prelude::v1::*;

use super::{Refusal, Runtime, code, length, or_die, weak_aliases};
use crate::api::segment::Segment;
use crate::team::group::Group;

/// What was allocated.
#[derive(Default)]
pub(super) struct Memory {
    known: Known,
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

/// Where other ranks have memory that may be touched.
#[derive(Default)]
struct Known {
    /// The end by rank and start.
    ends: RefCell<BTreeMap<(usize, u64), u64>>,
    /// What was found last, where the next use probably is.
    last: Cell<(usize, u64, u64)>,
}

impl Known {
    fn add(&self, rank: usize, address: u64, len: u64) {
        if len == 0 {
            return;
        }
        let Some(end) = address.checked_add(len) else { return };
        self.last.take();
        let mut ends = self.ends.borrow_mut();
        // What lies there was freed, or this could not.
        while let Some((&(of, start), _)) = ends.range(..(rank, end)).next_back()
            && of == rank
            && ends.get(&(rank, start)).is_some_and(|&known_end| known_end > address)
        {
            ends.remove(&(rank, start));
        }
        ends.insert((rank, address), end);
    }

    fn remove(&self, rank: usize, address: u64) {
        self.last.take();
        self.ends.borrow_mut().remove(&(rank, address));
    }

    fn contains(&self, rank: usize, place: &Range<u64>) -> bool {
        let (of, start, end) = self.last.get();
        if of == rank && place.start >= start && place.end <= end {
            return true;
        }
        let ends = self.ends.borrow();
        let Some((&(of, start), &end)) = ends.range(..=(rank, place.start)).next_back() else {
            return false;
        };
        let found = of == rank && place.start >= start && place.end <= end;
        if found {
            self.last.set((rank, start, end));
        }
        found
    }
}

/// Where a remote address leads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// To memory that [`Armci`](crate::Armci) reaches.
    Shared,
    /// To memory of this rank that is nobody else's business: its stack, its heap.
    Private,
}

impl Runtime {
    /// Checks that bytes of a rank may be touched.
    pub(super) fn place(&self, rank: usize, bytes: Range<u64>) -> Result<Place, Refusal> {
        if bytes.start == 0 {
            return Err(Refusal::Remote);
        }
        if self.memory.known.contains(rank, &bytes) {
            return Ok(Place::Shared);
        }
        if rank != self.armci.rank() {
            return Err(Refusal::Remote);
        }
        let len = (bytes.end - bytes.start) as usize;
        match self.armci.check_public(rank as u32, bytes.start, len) {
            Ok(()) => Ok(Place::Shared),
            Err(_) => Ok(Place::Private),
        }
    }

    /// `ARMCI_Malloc_group`. `parts` gets the addresses, by member.
    ///
    /// # Safety
    /// `parts` must be null or valid for as many pointers as the group has members.
    unsafe fn malloc(
        &self,
        parts: *mut *mut c_void,
        bytes: c_long,
        id: c_int,
    ) -> Result<(), Refusal> {
        let group = self.group(id)?;
        if parts.is_null() {
            return Err(Refusal::Local);
        }
        self.reclaim(id, &group)?;
        // Whoever asks for what cannot be gets it refused with all others.
        let bytes = length(bytes).unwrap_or(usize::MAX);
        let segment = self.armci.malloc_bytes(&group, bytes)?;
        for (member, part) in segment.parts().iter().enumerate() {
            self.memory.known.add(part.rank as usize, part.address, part.len);
            // SAFETY: by the caller.
            unsafe {
                parts
                    .add(member)
                    .write(core::ptr::with_exposed_provenance_mut(part.address as usize))
            };
        }
        let own = segment.own_address(&group);
        if own != 0 {
            segment.local().expose_provenance();
        }
        self.memory.segments.borrow_mut().push(Allocated { segment, group: id, own, freed: false });
        Ok(())
    }

    /// Marks this rank's part as freed. Others may be about to read it, or to free theirs, and who
    /// has no part may not even know: so it is given back at the group's next allocation, when all
    /// have freed theirs.
    fn free(&self, ptr: *mut c_void, group: Option<c_int>) -> Result<(), Refusal> {
        if ptr.is_null() {
            return Ok(());
        }
        let mut segments = self.memory.segments.borrow_mut();
        let segment = segments.iter_mut().find(|one| {
            !one.freed
                && one.own == ptr.addr() as u64
                && group.is_none_or(|group| group == one.group)
        });
        segment.ok_or(Refusal::Local)?.freed = true;
        Ok(())
    }

    /// Collective in the group: gives back what all of its members have freed.
    pub(super) fn reclaim(&self, id: c_int, group: &Group) -> Result<(), Refusal> {
        let of_group = |one: &Allocated| one.group == id;
        let in_use = |one: &Allocated| u8::from(one.own != 0 && !one.freed);
        let mut used: Vec<u8> =
            self.memory.segments.borrow().iter().filter(|one| of_group(one)).map(in_use).collect();
        if used.is_empty() {
            return Ok(());
        }
        group.gather(self.armci, &mut used)?;
        let mut used = used.into_iter();
        let mut unused = Vec::new();
        let segments = self.memory.segments.take();
        let (gone, kept): (Vec<_>, Vec<_>) =
            segments.into_iter().partition(|one| of_group(one) && used.next() == Some(0));
        self.memory.segments.replace(kept);
        unused.extend(gone.into_iter().map(|one| one.segment));
        for segment in unused {
            for part in segment.parts() {
                self.memory.known.remove(part.rank as usize, part.address);
            }
            self.armci.free_bytes(group, segment)?;
        }
        Ok(())
    }

    fn malloc_local(&self, bytes: usize) -> Result<NonNull<u8>, Refusal> {
        let memory = self.armci.malloc_local(bytes)?.into_raw();
        self.memory.local.borrow_mut().insert(memory.as_ptr().expose_provenance(), bytes);
        Ok(memory)
    }

    fn free_local(&self, ptr: *mut c_void) -> Result<(), Refusal> {
        let Some(memory) = NonNull::new(ptr.cast::<u8>()) else { return Ok(()) };
        let bytes = self.memory.local.borrow_mut().remove(&ptr.addr()).ok_or(Refusal::Local)?;
        // SAFETY: from `malloc_local` with so many bytes, and freed once, since it is in the list
        // no more.
        unsafe { self.armci.free_local(memory, bytes) };
        Ok(())
    }
}

/// `ARMCI_Malloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Malloc(ptr_arr: *mut *mut c_void, bytes: c_long) -> c_int {
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe { runtime.malloc(ptr_arr, bytes, 0) }))
}

/// `ARMCI_Malloc_memdev`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Malloc_memdev(
    ptr_arr: *mut *mut c_void,
    bytes: c_long,
    _device: *const c_char,
) -> c_int {
    // SAFETY: by the caller.
    unsafe { PARMCI_Malloc(ptr_arr, bytes) }
}

/// `ARMCI_Malloc_group`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Malloc_group(
    ptr_arr: *mut *mut c_void,
    bytes: c_long,
    group: *mut c_int,
) -> c_int {
    let malloc = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        unsafe { runtime.malloc(ptr_arr, bytes, super::group::id(group)?) }
    };
    code(malloc())
}

/// `ARMCI_Malloc_group_memdev`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Malloc_group_memdev(
    ptr_arr: *mut *mut c_void,
    bytes: c_long,
    group: *mut c_int,
    _device: *const c_char,
) -> c_int {
    // SAFETY: by the caller.
    unsafe { PARMCI_Malloc_group(ptr_arr, bytes, group) }
}

/// `ARMCI_Free`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Free(ptr: *mut c_void) -> c_int {
    code(Runtime::ready().and_then(|runtime| runtime.free(ptr, None)))
}

/// `ARMCI_Free_memdev`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Free_memdev(ptr: *mut c_void) -> c_int {
    PARMCI_Free(ptr)
}

/// `ARMCI_Free_group`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Free_group(ptr: *mut c_void, group: *mut c_int) -> c_int {
    let free = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        let id = unsafe { super::group::id(group)? };
        runtime.group(id)?;
        runtime.free(ptr, Some(id))
    };
    code(free())
}

/// `ARMCI_Malloc_local`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Malloc_local(bytes: c_long) -> *mut c_void {
    let memory = Runtime::ready().and_then(|runtime| runtime.malloc_local(length(bytes)?));
    memory.map_or(null_mut(), |memory| memory.as_ptr().cast())
}

/// `ARMCI_Free_local`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Free_local(ptr: *mut c_void) -> c_int {
    code(Runtime::ready().and_then(|runtime| runtime.free_local(ptr)))
}

/// `armci_meminfo_t`.
#[derive(Debug)]
#[repr(C)]
pub struct MemoryInfo {
    armci_addr: *mut c_char,
    addr: *mut c_char,
    size: usize,
    cpid: c_int,
    idlist: [c_long; 128],
}

/// `ARMCI_Memget`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Memget(bytes: usize, meminfo: *mut MemoryInfo, memflg: c_int) {
    let get = || {
        let runtime = Runtime::ready()?;
        if meminfo.is_null() {
            return Err(Refusal::Local);
        }
        if bytes == 0 || memflg != 0 {
            return Err(Refusal::Length);
        }
        let addr = runtime.malloc_local(bytes)?.as_ptr().cast();
        let cpid = runtime.armci.rank() as c_int;
        // SAFETY: by the caller.
        unsafe {
            meminfo.write(MemoryInfo {
                armci_addr: addr,
                addr,
                size: bytes,
                cpid,
                idlist: [0; 128],
            })
        };
        Ok(())
    };
    or_die("ARMCI_Memget", get());
}

/// `ARMCI_Memat`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Memat(meminfo: *mut MemoryInfo, offset: c_long) -> *mut c_void {
    let attach = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        let info = unsafe { meminfo.as_ref() }.ok_or(Refusal::Local)?;
        let rank = runtime.rank(info.cpid)?;
        let offset = length(offset)?;
        if info.armci_addr.is_null() || offset > info.size {
            return Err(Refusal::Remote);
        }
        if rank != runtime.armci.rank() {
            runtime.memory.known.add(rank, info.armci_addr.addr() as u64, info.size as u64);
        }
        Ok(info.armci_addr.wrapping_add(offset).cast())
    };
    attach().unwrap_or(null_mut())
}

/// `ARMCI_Memdt`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Memdt(_meminfo: *mut MemoryInfo, _offset: c_long) {}

/// `ARMCI_Memctl`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Memctl(meminfo: *mut MemoryInfo) {
    let free = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        let info = unsafe { meminfo.as_ref() }.ok_or(Refusal::Local)?;
        if info.cpid != runtime.armci.rank() as c_int {
            return Ok(());
        }
        runtime.free_local(info.addr.cast())
    };
    or_die("ARMCI_Memctl", free());
}

/// `ARMCI_Access_begin`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Access_begin(_ptr: *mut c_void) {}

/// `ARMCI_Access_end`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Access_end(_ptr: *mut c_void) {}

weak_aliases! {
    ARMCI_Malloc => PARMCI_Malloc;
    ARMCI_Malloc_memdev => PARMCI_Malloc_memdev;
    ARMCI_Malloc_group => PARMCI_Malloc_group;
    ARMCI_Malloc_group_memdev => PARMCI_Malloc_group_memdev;
    ARMCI_Free => PARMCI_Free;
    ARMCI_Free_memdev => PARMCI_Free_memdev;
    ARMCI_Free_group => PARMCI_Free_group;
    ARMCI_Malloc_local => PARMCI_Malloc_local;
    ARMCI_Free_local => PARMCI_Free_local;
    ARMCI_Memget => PARMCI_Memget;
    ARMCI_Memat => PARMCI_Memat;
    ARMCI_Memdt => PARMCI_Memdt;
    ARMCI_Memctl => PARMCI_Memctl;
    ARMCI_Access_begin => PARMCI_Access_begin;
    ARMCI_Access_end => PARMCI_Access_end;
}

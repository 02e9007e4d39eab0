//! A rank's own window: a memfd, mapped as long as the process lives.

use core::alloc::Layout;
use core::cell::RefCell;
use core::ops::Range;
use core::ptr::NonNull;
use std::os::fd::{AsFd, OwnedFd};
use std::prelude::v1::*;
use std::ptr;

use linked_list_allocator::Heap;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap};

use crate::hosted::error::{HostedError, system};
use crate::wire::area::RuntimeArea;
use crate::wire::attach::WindowLayout;

const PAGE: usize = 4096;

/// The memory that this rank shares: the runtime area, and behind it the public part, from which it
/// allocates.
pub(super) struct OwnWindow {
    area: &'static RuntimeArea,
    addresses: Range<usize>,
    heap: RefCell<Heap>,
}

impl OwnWindow {
    /// A window of `len` bytes at least, and the memfd by which others map it.
    pub fn create(len: usize) -> Result<(Self, OwnedFd), HostedError> {
        let len = len.max(2 * size_of::<RuntimeArea>()).next_multiple_of(PAGE);
        let memory =
            memfd_create("xenolith-window", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
                .map_err(system("create the rank's window"))?;
        ftruncate(&memory, len as u64).map_err(system("size the rank's window"))?;
        fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(system("seal the rank's window"))?;
        let start = map_forever(&memory, len).map_err(system("map the rank's window"))?.as_ptr();
        // SAFETY: the start of the mapping is page-aligned, long enough and ours; it is never
        // unmapped.
        let area: &'static RuntimeArea = unsafe {
            start.cast::<RuntimeArea>().write(RuntimeArea::new());
            &*start.cast::<RuntimeArea>()
        };
        let public = size_of::<RuntimeArea>();
        // SAFETY: the rest of the mapping is ours and stays; other ranks change only what was
        // allocated from it.
        let heap = RefCell::new(unsafe { Heap::new(start.add(public), len - public) });
        let first = start.expose_provenance();
        Ok((Self { area, addresses: first..first + len, heap }, memory))
    }

    /// Where it is, by its own addresses.
    pub fn layout(&self) -> WindowLayout {
        let public = self.public();
        WindowLayout {
            window: self.addresses.start as u64,
            len: self.addresses.len() as u64,
            runtime: self.addresses.start as u64,
            public_start: public.start,
            public_end: public.end,
        }
    }

    pub fn area(&self) -> &'static RuntimeArea {
        self.area
    }

    pub fn contains(&self, address: usize, len: usize) -> bool {
        address >= self.addresses.start
            && address.checked_add(len).is_some_and(|end| end <= self.addresses.end)
    }

    pub fn public(&self) -> Range<u64> {
        (self.addresses.start + size_of::<RuntimeArea>()) as u64..self.addresses.end as u64
    }

    /// Zeroed memory in the public part.
    pub fn alloc(&self, layout: Layout) -> Option<NonNull<u8>> {
        let memory = self.heap.borrow_mut().allocate_first_fit(layout).ok()?;
        // SAFETY: just allocated with this size.
        unsafe { zero(memory, layout.size()) };
        Some(memory)
    }

    /// # Safety
    /// `memory` must come from `alloc` with the same layout, and not be used afterwards.
    pub unsafe fn dealloc(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: by the caller.
        unsafe { self.heap.borrow_mut().deallocate(memory, layout) };
    }
}

/// Maps the first `len` bytes of a window, for as long as the process lives.
pub(super) fn map_forever(window: impl AsFd, len: usize) -> Result<NonNull<u8>, Errno> {
    // SAFETY: a new mapping at an address of the kernel's choice; it is reached by raw pointers
    // only, or as what is written there first.
    let start = unsafe {
        mmap(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, window, 0)?
    };
    NonNull::new(start.cast()).ok_or(Errno::NOMEM)
}

/// Writes zeros. Whole pages of much memory are given back to the system instead, which has zeros
/// for whoever comes back to them: so memory that nobody uses costs nothing.
///
/// # Safety
/// The memory must be valid for writes, lie in a mapping of a memfd, and be nobody else's.
unsafe fn zero(memory: NonNull<u8>, len: usize) {
    const MUCH: usize = 1 << 20;
    let start = memory.as_ptr();
    if len >= MUCH {
        let head = start.addr().next_multiple_of(PAGE) - start.addr();
        let pages = (len - head) / PAGE * PAGE;
        // SAFETY: whole pages within the memory; what they held is lost, as is wanted.
        unsafe {
            if madvise(start.add(head).cast(), pages, Advice::LinuxRemove).is_ok() {
                start.write_bytes(0, head);
                return start.add(head + pages).write_bytes(0, len - head - pages);
            }
        }
    }
    // SAFETY: by the caller.
    unsafe { start.write_bytes(0, len) };
}

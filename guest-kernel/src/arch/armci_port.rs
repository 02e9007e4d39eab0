//! What ARMCI needs of the kernel.

use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::ptr::NonNull;

use armci_nostd::wire::RuntimeArea;
use armci_nostd::{Awaited, Port, ProxyGone};

use super::{memory, paging};
use crate::guest;

/// The attachment to a proxy in domain 0.
pub(crate) struct GuestPort;

// SAFETY: the area is always the same one, and memory comes from the global allocator.
unsafe impl Port for GuestPort {
    fn area(&self) -> &'static RuntimeArea {
        memory::runtime_area()
    }

    fn notify(&self) {
        guest::ring_proxy();
    }

    fn wait(&self) -> Result<(), ProxyGone> {
        guest::wait_for_doorbell();
        Ok(())
    }

    fn pause(&self, looks: u32, _awaited: Awaited) -> bool {
        // Not for long: a domain has a processor of its own only if the host has that many.
        core::hint::spin_loop();
        looks < 256
    }

    fn contains(&self, address: usize, len: usize) -> bool {
        let ram = paging::plan().map_or(0, |plan| plan.ram.end);
        (address as u64).checked_add(len as u64).is_some_and(|end| end <= ram)
    }

    fn public(&self) -> core::ops::Range<u64> {
        let heap = super::heap::span();
        heap.start..heap.end
    }

    fn alloc(&self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.size() == 0 {
            return None;
        }
        // SAFETY: the size is not zero.
        NonNull::new(unsafe { alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: by the caller, from `alloc` with this layout.
        unsafe { dealloc(memory.as_ptr(), layout) }
    }
}

//! What ARMCI needs of the kernel.

use alloc::alloc::{alloc_zeroed, dealloc};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;

use armci_nostd::wire::RuntimeArea;
use armci_nostd::{Awaited, Platform, ProxyGone};

use xen_hypercall::{PAGE_SIZE, sched_op};

use super::{doorbell, neighbours};
use crate::arch::{heap, hypercall_page, paging, runtime_area};
use crate::xen::{console, hold};

/// The attachment to a proxy in domain 0.
pub(crate) struct Guest;

// SAFETY: the area is always the same one, and memory comes from the global allocator.
unsafe impl Platform for Guest {
    fn area(&self) -> &'static RuntimeArea {
        runtime_area::get()
    }

    fn notify(&self) {
        doorbell::ring();
    }

    fn wait(&self, _awaited: Awaited) -> Result<(), ProxyGone> {
        doorbell::wait();
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
        let heap = heap::span();
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

    fn identity(&self) -> u64 {
        neighbours::own_domain().unwrap_or(neighbours::NO_DOMAIN).into()
    }

    fn meet(&self, identities: &[Option<u64>]) {
        let number = |identity: &Option<u64>| {
            let domain = identity.and_then(|identity| u32::try_from(identity).ok());
            domain.unwrap_or(neighbours::NO_DOMAIN)
        };
        let domains: Vec<u32> = identities.iter().map(number).collect();
        if let Err(error) = neighbours::set_neighbours(&domains) {
            console::say(format_args!(
                "neighbours cannot be let in, the proxy will do it all: {error}"
            ));
        }
    }

    fn page(&self) -> Option<usize> {
        Some(PAGE_SIZE)
    }

    fn share(&self, memory: NonNull<u8>, len: usize) -> Option<u64> {
        // Without it the proxy does it all.
        neighbours::share(memory, len).ok()
    }

    fn unshare(&self, memory: NonNull<u8>, len: usize, token: u64) -> bool {
        let result = neighbours::unshare(memory, len, token);
        if let Err(error) = &result {
            console::say(format_args!("{len} bytes are lost: {error}"));
        }
        result.is_ok()
    }

    fn map(&self, rank: usize, len: usize, token: u64) -> Option<NonNull<u8>> {
        neighbours::map(u32::try_from(rank).ok()?, token, len).ok()
    }

    unsafe fn unmap(&self, _rank: usize, mapped: NonNull<u8>, len: usize) {
        match neighbours::unmap(mapped, len) {
            // A suspension has taken it away before.
            Ok(()) | Err(neighbours::MapError::NotMapped) => {}
            Err(error) => {
                console::say(format_args!("memory of a neighbour could not be unmapped: {error}"))
            }
        }
    }

    fn generation(&self) -> u64 {
        neighbours::generation()
    }

    fn yield_now(&self) {
        sched_op::yield_now(&hypercall_page::xen());
    }

    fn left(&self) {
        hold::go_on();
    }
}

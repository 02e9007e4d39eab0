//! The heap: all RAM above the image, which is also what other ranks of a job may touch.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering};

use linked_list_allocator::Heap;

use super::lock::IrqLock;
use super::{holes, paging};
use crate::logic::memory_map::Span;

struct KernelHeap(IrqLock<Heap>);

#[global_allocator]
static HEAP: KernelHeap = KernelHeap(IrqLock::new(Heap::empty()));

/// Whether holes look as the proxy expects.
static HOLES_ARE_AS_EXPECTED: AtomicBool = AtomicBool::new(false);

/// How much of the heap is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) used: usize,
    pub(crate) size: usize,
}

/// Makes the planned memory the heap. For the boot, once.
pub(crate) fn set_up() {
    let span = span();
    HEAP.0.with(|heap| {
        assert!(heap.size() == 0, "the heap is set up twice");
        // SAFETY: the plan gives this memory to the heap alone; it is mapped, writable, and stays
        // so.
        unsafe { heap.init(span.start as *mut u8, span.len() as usize) }
        HOLES_ARE_AS_EXPECTED.store(holes::are_as_expected(heap), Ordering::Relaxed);
    });
}

/// The address of the heap's first hole, for whoever saves this memory; 0 if that is not known.
pub(crate) fn first_hole() -> u64 {
    if HOLES_ARE_AS_EXPECTED.load(Ordering::Relaxed) { HEAP.0.with(holes::first) } else { 0 }
}

/// The addresses of the heap.
pub(crate) fn span() -> Span {
    paging::plan().map_or(Span { start: 0, end: 0 }, |plan| plan.heap)
}

/// How full the heap is.
pub(crate) fn usage() -> Usage {
    HEAP.0.with(|heap| Usage { used: heap.used(), size: heap.size() })
}

// SAFETY: linked_list_allocator's promise; its lock turns interrupts off, so the upcall may
// allocate as well.
unsafe impl GlobalAlloc for KernelHeap {
    // Both are called everywhere: a copy at each place would make images 7 % larger.
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.with(|heap| heap.allocate_first_fit(layout)).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline(never)]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if let Some(memory) = NonNull::new(memory) {
            // SAFETY: the caller got it from `alloc` with this layout.
            self.0.with(|heap| unsafe { heap.deallocate(memory, layout) });
        }
    }
}

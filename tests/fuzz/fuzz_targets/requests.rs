//! Any sequence of ring entries from two ranks: nothing outside of their windows is touched,
//! nothing panics.

#![no_main]

use std::alloc::{Layout as Allocation, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use armci_nostd::serve::{Checked, Own, Window, apply, check};
use armci_nostd::wire::attach::WindowLayout;
use armci_nostd::wire::{Request, RuntimeArea};
use libfuzzer_sys::fuzz_target;
use zerocopy::FromBytes;

const PAGE: usize = 4096;
const LEN: usize = size_of::<RuntimeArea>() + 2 * PAGE;

/// Memory that the address sanitizer watches the edges of.
struct Memory(NonNull<u8>);

impl Memory {
    fn allocation() -> Allocation {
        Allocation::from_size_align(LEN, PAGE).expect("a page is an alignment")
    }

    fn new() -> Self {
        // SAFETY: the size is not zero.
        Self(NonNull::new(unsafe { alloc_zeroed(Self::allocation()) }).expect("memory"))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.0.as_ptr(), Self::allocation()) };
    }
}

fuzz_target!(|data: &[u8]| {
    let memories = [Memory::new(), Memory::new()];
    let windows = [0x10_000u64, 0x70_000_000].map(|window| WindowLayout {
        window,
        len: LEN as u64,
        runtime: window,
        public_start: window + size_of::<RuntimeArea>() as u64,
        public_end: window + (LEN - PAGE) as u64,
    });
    let windows: Vec<_> = memories
        .iter()
        .zip(&windows)
        // SAFETY: valid for LEN bytes until the memories are dropped, after the windows.
        .map(|(memory, layout)| unsafe { Window::new(memory.0, layout) }.expect("a good layout"))
        .collect();
    let bounds: Vec<_> = windows.iter().map(|window| window.bounds().clone()).collect();
    for entry in data.chunks_exact(size_of::<Request>()) {
        let request = Request::read_from_bytes(entry).expect("of the right size");
        // The first byte's top bit says who asks.
        let origin = usize::from(entry[0] >> 7);
        let request = Request { opcode: request.opcode & 0x7f, ..request };
        if let Ok(Checked::Work(work)) = check(&request, &bounds[origin], &bounds) {
            let _ = apply(&work, Own::Window(&windows[origin]), &windows[work.target() as usize]);
        }
    }
});

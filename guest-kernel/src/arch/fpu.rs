//! Floating point and vector state.
//!
//! Whatever the application was compiled for (SSE, AVX, AVX-512), the event upcall saves all of it
//! before it runs any Rust and puts it back afterwards.

use core::arch::x86_64::__cpuid_count;

use x86_64::registers::control::{Cr4, Cr4Flags};
use xen_hypercall::PAGE_SIZE;

use super::paging;

/// Where the upcall saves the state; used by the assembly in `trap`.
pub(super) static mut SAVE_AREA: u64 = 0;
/// Whether it saves by XSAVE (1) or FXSAVE (0).
pub(super) static mut USE_XSAVE: u8 = 0;
/// How many bytes the state takes; for system calls, which save it on the stack.
#[cfg(feature = "c")]
pub(super) static mut SAVE_SIZE: u64 = 0;

/// Finds room for saving the state that the entry code has turned on.
pub(super) fn set_up() {
    let has_xsave = Cr4::read().contains(Cr4Flags::OSXSAVE);
    // The size for what is turned on now; FXSAVE always takes 512 bytes.
    let size = if has_xsave { __cpuid_count(0xd, 0).ebx as usize } else { 512 };
    // A frame is zero, as XRSTOR wants the reserved parts of the header, and aligned by more than
    // 64.
    let area = paging::take_frames(size.div_ceil(PAGE_SIZE));
    // SAFETY: interrupts are off, and nothing reads these yet.
    unsafe {
        SAVE_AREA = area;
        USE_XSAVE = u8::from(has_xsave);
        #[cfg(feature = "c")]
        (SAVE_SIZE = size as u64);
    }
}

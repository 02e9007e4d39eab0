//! Floating point and vector state.
//!
//! Whatever the application was compiled for (SSE, AVX, AVX-512), the event upcall and a system
//! call save all of it before they run any Rust, and put it back afterwards.

use core::arch::x86_64::__cpuid_count;
use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::registers::control::{Cr4, Cr4Flags};
use x86_64::registers::xcontrol::XCr0;
use xen_hypercall::PAGE_SIZE;

use super::paging;
use super::register_state::USE_XSAVE;

/// Where the upcall saves the state; used by the assembly in `trap`.
pub(super) static mut SAVE_AREA: u64 = 0;
/// How many bytes the state takes; for system calls, which save it on the stack.
#[cfg(feature = "c")]
pub(super) static mut SAVE_SIZE: u64 = 0;
/// The sets of registers that are on (XCR0); 0 without XSAVE.
static REGISTERS: AtomicU64 = AtomicU64::new(0);

/// Finds room for saving the state that the entry code has turned on.
pub(super) fn set_up() {
    let has_xsave = Cr4::read().contains(Cr4Flags::OSXSAVE);
    // The size for what is turned on now; FXSAVE always takes 512 bytes.
    let size = if has_xsave { __cpuid_count(0xd, 0).ebx as usize } else { 512 };
    let area = paging::take_frames(size.div_ceil(PAGE_SIZE));
    if has_xsave {
        REGISTERS.store(XCr0::read_raw(), Ordering::Relaxed);
    }
    // SAFETY: interrupts are off, and nothing reads these yet.
    unsafe {
        SAVE_AREA = area;
        USE_XSAVE = u8::from(has_xsave);
        #[cfg(feature = "c")]
        (SAVE_SIZE = size as u64);
    }
}

/// Turns on the sets of registers that were on at boot, and no others, since there is no room to
/// save more. For a processor that has them all.
pub(crate) fn turn_on_as_at_boot() {
    let registers = REGISTERS.load(Ordering::Relaxed);
    if registers != 0 && XCr0::read_raw() != registers {
        // SAFETY: a value that the processor of the boot took, and this one has the same sets. What
        // else is on, nobody uses.
        unsafe { XCr0::write_raw(registers) }
    }
}

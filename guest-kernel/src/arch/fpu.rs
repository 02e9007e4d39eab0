//! Floating point and vector state.
//!
//! Whatever the application was compiled for (SSE, AVX, AVX-512), the event upcall saves all of it before it runs any
//! Rust and puts it back afterwards.

use core::arch::x86_64::{__cpuid, __cpuid_count};

use x86_64::registers::control::{Cr4, Cr4Flags};
use x86_64::registers::xcontrol::{XCr0, XCr0Flags};
use xen_hypercall::PAGE_SIZE;

use super::paging;

/// Where the upcall saves the state; used by the assembly in `trap`.
pub(super) static mut SAVE_AREA: u64 = 0;
/// Whether it saves by XSAVE (1) or FXSAVE (0).
pub(super) static mut USE_XSAVE: u8 = 0;

/// Turns on all state that the processor has, and finds room for saving it.
pub(super) fn set_up() {
    let has_xsave = __cpuid(1).ecx & (1 << 26) != 0;
    let size = if has_xsave { enable_xsave() } else { 512 };
    // A frame is zero, as XRSTOR wants the reserved parts of the header, and aligned by more than 64.
    let pages = size.div_ceil(PAGE_SIZE);
    let area = paging::take_frames(pages);
    // SAFETY: interrupts are off, and nothing reads these yet.
    unsafe {
        SAVE_AREA = area;
        USE_XSAVE = u8::from(has_xsave);
    }
}

/// Turns XSAVE on for all that it can save and we may use; returns the size of the state.
fn enable_xsave() -> usize {
    let supported = __cpuid_count(0xd, 0);
    let supported = u64::from(supported.edx) << 32 | u64::from(supported.eax);
    let avx = XCr0Flags::X87 | XCr0Flags::SSE | XCr0Flags::AVX;
    let avx512 = avx | XCr0Flags::OPMASK | XCr0Flags::ZMM_HI256 | XCr0Flags::HI16_ZMM;
    let sse = XCr0Flags::X87 | XCr0Flags::SSE;
    let wanted = [avx512, avx, sse].into_iter().find(|flags| supported & flags.bits() == flags.bits()).unwrap_or(sse);
    // SAFETY: the processor has XSAVE and these components; enabling them changes nothing for code that does not use
    // them.
    unsafe {
        Cr4::update(|flags| flags.insert(Cr4Flags::OSXSAVE));
        XCr0::write(wanted);
    }
    // The size for what is enabled now.
    __cpuid_count(0xd, 0).ebx as usize
}

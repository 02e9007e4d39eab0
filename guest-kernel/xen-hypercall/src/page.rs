//! Calling Xen through its hypercall page.
//!
//! Xen fills a page of the guest's with one 32-byte stub per hypercall, right for the processor at
//! hand, when the page's address is written to the MSR that CPUID leaf base + 2 names in EBX
//! (`arch-x86/cpuid.h`). The page must be filled anew after the domain has been restored: it may be
//! another processor.

use core::arch::asm;

use crate::{Hypercall, Number, PAGE_SIZE};

/// A page for Xen's stubs; place it in memory that the guest may execute.
#[repr(C, align(4096))]
pub struct StubPage(pub [u8; PAGE_SIZE]);

/// The hypercall page, ready for use.
#[derive(Clone, Copy, Debug)]
pub struct HypercallPage {
    address: usize,
}

/// Bytes from one stub to the next.
pub const STUB: usize = 32;

impl HypercallPage {
    /// Calls through the page at `address`.
    ///
    /// # Safety
    /// By the first call Xen must have filled that page, and it must stay mapped and executable.
    pub const unsafe fn new(address: usize) -> Self {
        HypercallPage { address }
    }
}

// SAFETY: Xen's stubs change only registers and what the hypercall is defined to change.
unsafe impl Hypercall for HypercallPage {
    unsafe fn call(&self, number: Number, arguments: [u64; 5]) -> i64 {
        let stub = self.address + number as usize * STUB;
        let result: i64;
        // SAFETY: the stub is Xen's, by the promise of `new`; argument registers may come back
        // changed, so all are outputs (a debug build of Xen poisons them). No `nostack`: the call
        // pushes.
        unsafe {
            asm!(
                "call {stub}",
                stub = in(reg) stub,
                out("rax") result,
                inlateout("rdi") arguments[0] => _,
                inlateout("rsi") arguments[1] => _,
                inlateout("rdx") arguments[2] => _,
                inlateout("r10") arguments[3] => _,
                inlateout("r8") arguments[4] => _,
                out("rcx") _,
                out("r11") _,
            );
        }
        result
    }
}

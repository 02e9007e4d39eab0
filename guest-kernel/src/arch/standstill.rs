//! Standing still with all of the processor's state in memory.
//!
//! An upcall has saved the registers of what it interrupts, and a wait is a function call, before
//! which compiled code saves what it needs but for the registers that belong to the caller and the
//! modes of its arithmetic. So what is left is little, and it is put where whoever copies the
//! memory finds it.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::registers::control::{Cr4, Cr4Flags};
use x86_64::registers::model_specific::{Efer, FsBase, GsBase, LStar, SFMask, Star};
use x86_64::registers::xcontrol::XCr0;

use super::register_state;

/// What is nowhere else in memory. It holds while the rank stands still, and the program that the
/// domain was booted with knows its place.
struct Kept {
    /// Where [`register_state::keep`] has put the caller's registers; 0 while the rank does not
    /// stand still.
    stack_pointer: AtomicU64,
    /// Where a C program finds its thread's own data.
    fs_base: AtomicU64,
    gs_base: AtomicU64,
    /// How system calls are entered: EFER, STAR, LSTAR, SFMASK.
    system_calls: [AtomicU64; 4],
    /// The sets of registers that are on; 0 without XSAVE.
    xcr0: AtomicU64,
}

static KEPT: Kept = Kept {
    stack_pointer: AtomicU64::new(0),
    fs_base: AtomicU64::new(0),
    gs_base: AtomicU64::new(0),
    system_calls: [const { AtomicU64::new(0) }; 4],
    xcr0: AtomicU64::new(0),
};

/// Puts the processor's state in memory, and stays in `wait`; then goes on as if nothing had been.
/// With interrupts off.
pub(crate) fn stand_still(wait: extern "C" fn()) {
    let has_xsave = Cr4::read().contains(Cr4Flags::OSXSAVE);
    let (high, low) = Star::read_raw();
    let system_calls = [
        Efer::read_raw(),
        u64::from(high) << 48 | u64::from(low) << 32,
        LStar::read().as_u64(),
        SFMask::read().bits(),
    ];
    for (word, value) in KEPT.system_calls.iter().zip(system_calls) {
        word.store(value, Ordering::Relaxed);
    }
    KEPT.fs_base.store(FsBase::read().as_u64(), Ordering::Relaxed);
    KEPT.gs_base.store(GsBase::read().as_u64(), Ordering::Relaxed);
    KEPT.xcr0.store(if has_xsave { XCr0::read_raw() } else { 0 }, Ordering::Relaxed);
    // SAFETY: the word is a static's, which only this code writes; with interrupts off nothing else
    // runs meanwhile.
    unsafe { register_state::keep(wait, KEPT.stack_pointer.as_ptr()) };
    KEPT.stack_pointer.store(0, Ordering::Relaxed);
}

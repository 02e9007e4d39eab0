//! Standing still with all of the processor's state in memory.
//!
//! An upcall has saved the registers of what it interrupts, and a wait is a function call, before
//! which compiled code saves what it needs but for the registers that belong to the caller and the
//! modes of its arithmetic. So what is left is little, and it is put where whoever copies the
//! memory finds it.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::VirtAddr;
use x86_64::registers::control::{Cr3, EferFlags};
use x86_64::registers::model_specific::{Efer, FsBase, GsBase, LStar, SFMask, Star};
use x86_64::registers::rflags::RFlags;

use super::lock::Once;
use super::register_state;

/// What is nowhere else in memory. It holds while the rank stands still, and a domain that boots
/// the same image knows its place. (Which sets of registers are on, `fpu` knows since the boot.)
#[repr(C)]
pub(super) struct Kept {
    /// Where [`register_state::keep`] has put the caller's registers; 0 while the rank does not
    /// stand still.
    pub(super) stack_pointer: AtomicU64,
    /// The root of the page tables.
    pub(super) page_tables: AtomicU64,
    /// Where a C program finds its thread's own data.
    fs_base: AtomicU64,
    gs_base: AtomicU64,
    /// How system calls are entered: EFER, STAR, LSTAR, SFMASK.
    system_calls: [AtomicU64; 4],
}

pub(super) static KEPT: Kept = Kept {
    stack_pointer: AtomicU64::new(0),
    page_tables: AtomicU64::new(0),
    fs_base: AtomicU64::new(0),
    gs_base: AtomicU64::new(0),
    system_calls: [const { AtomicU64::new(0) }; 4],
};

/// What is done first when the rank has landed in a new domain.
static ARRIVE: Once<fn()> = Once::new();

/// Sets what is done first, with interrupts off, when a rank that stands still has landed in a new
/// domain: it must set up all that faces Xen. At boot, once.
pub(crate) fn set_arrival(arrive: fn()) {
    ARRIVE.set(arrive);
}

/// Puts the processor's state in memory, and stays in `wait`; then goes on as if nothing had been.
/// With interrupts off.
///
/// Whoever copies the memory meanwhile can have it go on from there in another domain, by
/// [`landing`](super::landing): it has come back from `wait`, and from what [`set_arrival`] says.
pub(crate) fn stand_still(wait: extern "C" fn()) {
    let (high, low) = Star::read_raw();
    let system_calls = [
        Efer::read_raw(),
        u64::from(high) << 16 | u64::from(low),
        LStar::read().as_u64(),
        SFMask::read().bits(),
    ];
    for (word, value) in KEPT.system_calls.iter().zip(system_calls) {
        word.store(value, Ordering::Relaxed);
    }
    KEPT.fs_base.store(FsBase::read().as_u64(), Ordering::Relaxed);
    KEPT.gs_base.store(GsBase::read().as_u64(), Ordering::Relaxed);
    KEPT.page_tables.store(Cr3::read().0.start_address().as_u64(), Ordering::Relaxed);
    // SAFETY: the word is a static's, which only this code writes; with interrupts off nothing else
    // runs meanwhile.
    unsafe { register_state::keep(wait, KEPT.stack_pointer.as_ptr()) };
    KEPT.stack_pointer.store(0, Ordering::Relaxed);
}

/// Gives the processor what [`stand_still`] has kept of another one, and has the rank arrive. For
/// the landing, on the page tables and the stack of the rank that has landed.
pub(super) extern "C" fn take_up() {
    let [efer, star, lstar, sfmask] =
        KEPT.system_calls.each_ref().map(|word| word.load(Ordering::Relaxed));
    // SAFETY: the values that the same kernel had in these registers, which lead to its own code
    // and data: all of its memory is here, at the same addresses.
    unsafe {
        Efer::write(EferFlags::from_bits_retain(efer));
        Star::write_raw((star >> 16) as u16, star as u16);
        LStar::write(VirtAddr::new_truncate(lstar));
        SFMask::write(RFlags::from_bits_truncate(sfmask));
    }
    FsBase::write(VirtAddr::new_truncate(KEPT.fs_base.load(Ordering::Relaxed)));
    GsBase::write(VirtAddr::new_truncate(KEPT.gs_base.load(Ordering::Relaxed)));
    if let Some(arrive) = ARRIVE.get() {
        arrive();
    }
}

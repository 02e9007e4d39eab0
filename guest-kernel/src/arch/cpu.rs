//! Instructions.

use x86_64::instructions::{interrupts, port::Port};

/// Runs with interrupts off, then as before.
pub(crate) fn without_interrupts<R>(run: impl FnOnce() -> R) -> R {
    interrupts::without_interrupts(run)
}

/// Whether interrupts, which is to say events, are let through.
pub(crate) fn interrupts_enabled() -> bool {
    interrupts::are_enabled()
}

/// Lets events through.
pub(crate) fn enable_interrupts() {
    interrupts::enable();
}

/// Keeps events waiting.
pub(crate) fn disable_interrupts() {
    interrupts::disable();
}

/// The time-stamp counter. Not `rdtscp`, which a nested hypervisor may not have.
pub(crate) fn time_stamp_counter() -> u64 {
    // SAFETY: reads a counter that every x86-64 processor has, and that Xen lets a guest read.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Writes a byte to Xen's own log, which Xen takes from I/O port 0xe9.
pub(crate) fn write_to_xens_log(byte: u8) {
    // SAFETY: Xen catches all port accesses of a PVH guest; this one prints.
    unsafe { Port::new(0xe9).write(byte) }
}

/// Stops for good.
pub(crate) fn stop() -> ! {
    loop {
        interrupts::disable();
        x86_64::instructions::hlt();
    }
}

//! Holding suspensions off for a moment.
//!
//! A suspension takes away what is bound to the domain, such as mappings of other domains' memory.
//! Code that relies on it for some instructions holds suspensions off meanwhile.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering, compiler_fence};

use super::events;

/// How often suspensions are held off.
static HELD: AtomicU32 = AtomicU32::new(0);

/// Whether one waits.
static WAITING: AtomicBool = AtomicBool::new(false);

/// Holds suspensions off until [`release`] has been called as often as this. Only for moments: the
/// toolstack waits. It costs a load and a store.
pub fn hold() {
    // Not atomic, and need not be: an upcall in between leaves the count as it is.
    HELD.store(HELD.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
}

/// Lets go of what [`hold`] held; a suspension that waits is served now.
pub fn release() {
    compiler_fence(Ordering::SeqCst);
    let left = HELD.load(Ordering::Relaxed).saturating_sub(1);
    HELD.store(left, Ordering::Relaxed);
    if left == 0 {
        go_on();
    }
}

/// Holds suspensions off while it lives.
pub(crate) struct Hold(());

impl Hold {
    pub(crate) fn new() -> Self {
        hold();
        Hold(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        release();
    }
}

/// Whether suspensions are held off.
pub(crate) fn is_held() -> bool {
    HELD.load(Ordering::Relaxed) > 0
}

/// Takes note that a suspension waits. What it waits for calls [`release`] or [`go_on`] at its end.
pub(crate) fn wait() {
    WAITING.store(true, Ordering::Relaxed);
}

/// Has a suspension that waits served now.
pub(crate) fn go_on() {
    if WAITING.swap(false, Ordering::Relaxed) {
        events::deliver_now();
    }
}

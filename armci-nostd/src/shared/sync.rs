//! The atomics of the ring: the processor's, or loom's where the ring is model-checked.

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicU32, Ordering, fence};
#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU32, Ordering, fence};

/// Between a `SeqCst` exchange and a `SeqCst` load of another word: nothing, for they have their
/// places in one order. But loom takes only fences for `SeqCst`.
#[inline]
pub fn in_one_order() {
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

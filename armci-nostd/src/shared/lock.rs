//! The lock that makes accumulates and read-modify-writes on one rank's memory atomic, whoever does
//! them: a neighbour or a proxy.
//!
//! It is held for a few microseconds at most, never while waiting for anything, and inside the
//! [`Gate`](crate::shared::gate::Gate) only. A rank of the same job can hold it forever by malice;
//! so nobody but a rank of that job ever waits for it: the proxy tries, and comes back later.

use crate::shared::sync::{AtomicU32, Ordering};

/// What the proxy writes into the lock that it holds.
pub const PROXY: u32 = u32::MAX;

/// A lock in shared memory: zero when free, else who holds it (a rank's number plus one, or
/// [`PROXY`]), for finding out who never lets it go.
#[derive(Clone, Copy, Debug)]
pub struct TargetLock<'a>(pub &'a AtomicU32);

/// The lock is held, until this is dropped.
#[derive(Debug)]
pub struct Held<'a>(&'a AtomicU32);

impl<'a> TargetLock<'a> {
    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self, holder: u32) -> Option<Held<'a>> {
        // A look first: an exchange that fails would take the cache line from the holder.
        (self.0.load(Ordering::Relaxed) == 0
            && self.0.compare_exchange(0, holder, Ordering::Acquire, Ordering::Relaxed).is_ok())
        .then(|| Held(self.0))
    }

    /// Who holds it now, by its own account: zero for nobody.
    pub fn holder(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    #[test]
    fn one_at_a_time() {
        loom::model(|| {
            let shared = Arc::new((AtomicU32::new(0), UnsafeCell::new(0)));
            let add = |shared: &(AtomicU32, UnsafeCell<i32>), holder| {
                if let Some(_held) = TargetLock(&shared.0).try_lock(holder) {
                    // SAFETY: loom reports it if two of these can meet.
                    shared.1.with_mut(|memory| unsafe { *memory += 1 });
                }
            };
            let other = loom::thread::spawn({
                let shared = shared.clone();
                move || (0..2).for_each(|_| add(&shared, 1))
            });
            add(&shared, 2);
            other.join().unwrap();
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn says_who_holds_it() {
        let word = AtomicU32::new(0);
        let held = TargetLock(&word).try_lock(3).unwrap();
        assert_eq!(TargetLock(&word).holder(), 3);
        assert!(TargetLock(&word).try_lock(4).is_none());
        drop(held);
        assert!(TargetLock(&word).try_lock(4).is_some());
    }
}

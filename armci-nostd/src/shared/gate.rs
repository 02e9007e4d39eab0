//! The gate between a rank and the memory of its neighbours.
//!
//! A rank passes it for every piece of work on memory that is not its own. The proxy can close it:
//! then no rank is in its neighbours' memory, and none gets in, until it is opened again. So there
//! is a moment at which the memory of all ranks stands still, a *recovery line*, although no
//! operation has to ask the proxy. A rank that finds the gate closed asks the proxy instead,
//! through the ring.
//!
//! What it costs is one exchange on a word of the rank's own.

use crate::shared::sync::{AtomicU32, Ordering, in_one_order};

/// What the gate's word holds while it is closed.
pub const CLOSED: u32 = 0;

/// One rank's gate: two words that rank and proxy share.
///
/// The rank says that it is inside, then looks whether the gate is open; the proxy closes the gate,
/// then looks whether the rank is inside. One of the two sees the other.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// Written by the proxy: the epoch in which it is open, or [`CLOSED`].
    pub epoch: &'a AtomicU32,
    /// Written by the rank: not zero while it is inside.
    pub inside: &'a AtomicU32,
}

/// A rank is inside. It leaves when this is dropped.
#[derive(Debug)]
pub struct Pass<'a>(&'a AtomicU32);

impl<'a> Gate<'a> {
    /// For the rank: goes in, if the gate is open in the epoch `known`, in which the rank's
    /// mappings were made. A rank that is not let in was inside for a moment, and may have been seen
    /// there: to whoever waits for a rank to leave it has left now.
    #[inline]
    pub fn enter(&self, known: u32) -> Option<Pass<'a>> {
        self.inside.swap(1, Ordering::SeqCst);
        in_one_order();
        let pass = Pass(self.inside);
        (known != CLOSED && self.epoch.load(Ordering::SeqCst) == known).then_some(pass)
    }

    /// For the rank inside: whether the proxy wants it to leave soon.
    #[inline]
    pub fn is_closing(&self, known: u32) -> bool {
        self.epoch.load(Ordering::Relaxed) != known
    }

    /// For the proxy, or for a rank that loses its mappings: from now on nobody gets in. Who is
    /// inside may still be at work: see [`is_empty`](Self::is_empty). Whether it was open.
    pub fn close(&self) -> bool {
        self.epoch.swap(CLOSED, Ordering::SeqCst) != CLOSED
    }

    /// After [`close`](Self::close): whether the rank is out, so that all that it did is to be
    /// seen.
    pub fn is_empty(&self) -> bool {
        in_one_order();
        self.inside.load(Ordering::SeqCst) == 0
    }

    /// For the proxy: lets the rank in again. The same epoch says that its mappings are still good.
    pub fn open(&self, epoch: u32) {
        self.epoch.store(epoch, Ordering::Release);
    }
}

impl Drop for Pass<'_> {
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

    /// Whatever the order: when the proxy has found the gate closed and empty, the rank is not at
    /// work, and all its work is to be seen.
    #[test]
    fn nobody_is_at_work_behind_a_closed_gate() {
        loom::model(|| {
            let shared = Arc::new((AtomicU32::new(7), AtomicU32::new(0), UnsafeCell::new(0)));
            let rank = loom::thread::spawn({
                let shared = shared.clone();
                move || {
                    let gate = Gate { epoch: &shared.0, inside: &shared.1 };
                    for _ in 0..2 {
                        if let Some(_pass) = gate.enter(7) {
                            // SAFETY: loom reports it if this and the proxy's access can meet.
                            shared.2.with_mut(|memory| unsafe { *memory += 1 });
                        }
                    }
                }
            });
            let gate = Gate { epoch: &shared.0, inside: &shared.1 };
            gate.close();
            if gate.is_empty() {
                // SAFETY: as above.
                shared.2.with(|memory| unsafe { *memory });
                gate.open(7);
            }
            rank.join().unwrap();
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn lets_in_by_epoch_only() {
        let (epoch, inside) = (AtomicU32::new(CLOSED), AtomicU32::new(0));
        let gate = Gate { epoch: &epoch, inside: &inside };
        assert!(gate.enter(CLOSED).is_none(), "closed is not an epoch");
        gate.open(2);
        assert!(gate.enter(1).is_none(), "the mappings of an older epoch are not good");
        assert!(gate.is_empty());
        let pass = gate.enter(2).unwrap();
        assert!(!gate.is_closing(2));
        gate.close();
        assert!(gate.is_closing(2) && !gate.is_empty());
        drop(pass);
        assert!(gate.is_empty() && gate.enter(2).is_none());
    }
}

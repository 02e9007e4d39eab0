//! The gate between a rank and the memory of its neighbours.
//!
//! A rank passes it for every piece of work on memory that is not its own. The proxy can close it:
//! then no rank is in its neighbours' memory, and none gets in, until it is opened again. So there
//! is a moment at which the memory of all ranks stands still, a *recovery line*, although no
//! operation has to ask the proxy. A rank that finds the gate closed asks the proxy instead,
//! through the ring.
//!
//! The proxy lets a rank in by an *offer* of a new epoch, and the rank opens the gate by taking it,
//! which it does when its mappings of the neighbours' memory are good. So a gate is never open on
//! mappings that are gone: a rank that loses them makes an offer again of what it had taken.
//!
//! What it costs is one exchange on a word of the rank's own.

use crate::shared::sync::{AtomicU32, Ordering, in_one_order};

/// What the gate's word holds while it is closed.
pub const CLOSED: u32 = 0;

/// Set in the gate's word beside an epoch that is offered, and not taken.
pub const OFFERED: u32 = 1 << 31;

/// One rank's gate: two words that rank and proxy share.
///
/// The rank says that it is inside, then looks whether the gate is open; the proxy closes the gate,
/// then looks whether the rank is inside. One of the two sees the other.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// The epoch in which it is open, or that and [`OFFERED`], or [`CLOSED`]. The proxy writes it,
    /// and the rank exchanges an epoch for its offer and back.
    pub epoch: &'a AtomicU32,
    /// Written by the rank: not zero while it is inside.
    pub inside: &'a AtomicU32,
}

/// A rank is inside. It leaves when this is dropped.
#[derive(Debug)]
pub struct Pass<'a>(&'a AtomicU32);

impl<'a> Gate<'a> {
    /// For the rank: goes in, if the gate is open in the epoch `known`, which the rank has
    /// [taken](Self::take). A rank that is not let in was inside for a moment, and may have been
    /// seen there: to whoever waits for a rank to leave it has left now.
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

    /// For the rank, whose mappings are good: opens the gate if it is offered. The epoch in which
    /// it is open then, or was already; none if it is closed.
    pub fn take(&self) -> Option<u32> {
        let offer = self.epoch.load(Ordering::Acquire);
        let epoch = offer & !OFFERED;
        if epoch == CLOSED {
            return None;
        }
        // If the proxy closes it meanwhile it is closed.
        let taken = offer == epoch
            || self
                .epoch
                .compare_exchange(offer, epoch, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok();
        taken.then_some(epoch)
    }

    /// For the rank, which is losing its mappings: nobody gets in until it has
    /// [taken](Self::take) the offer again. Who is inside may still be at work: see
    /// [`is_empty`](Self::is_empty).
    pub fn give_back(&self) {
        let epoch = self.epoch.load(Ordering::Relaxed);
        if epoch != CLOSED {
            // If the proxy has closed it meanwhile it stays closed.
            let _ = self.epoch.compare_exchange(
                epoch,
                epoch | OFFERED,
                Ordering::SeqCst,
                Ordering::Relaxed,
            );
        }
    }

    /// For the proxy: from now on nobody gets in. Who is inside may still be at work: see
    /// [`is_empty`](Self::is_empty).
    pub fn close(&self) {
        self.epoch.swap(CLOSED, Ordering::SeqCst);
    }

    /// After [`close`](Self::close): whether the rank is out, so that all that it did is to be
    /// seen.
    pub fn is_empty(&self) -> bool {
        in_one_order();
        self.inside.load(Ordering::SeqCst) == 0
    }

    /// For the proxy: lets the rank open the gate, in an epoch that it has not been open in before:
    /// so whoever missed that it was closed learns of it. Neither [`CLOSED`] nor [`OFFERED`] is an
    /// epoch.
    pub fn offer(&self, epoch: u32) {
        self.epoch.store(epoch | OFFERED, Ordering::Release);
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
                gate.offer(8);
            }
            rank.join().unwrap();
        });
    }

    /// The same with a rank that opens the gate itself, at whatever moment the proxy closes it.
    #[test]
    fn an_offer_that_is_withdrawn_opens_nothing() {
        loom::model(|| {
            let offer = AtomicU32::new(7 | OFFERED);
            let shared = Arc::new((offer, AtomicU32::new(0), UnsafeCell::new(0)));
            let rank = loom::thread::spawn({
                let shared = shared.clone();
                move || {
                    let gate = Gate { epoch: &shared.0, inside: &shared.1 };
                    let Some(epoch) = gate.take() else { return };
                    if let Some(_pass) = gate.enter(epoch) {
                        // SAFETY: loom reports it if this and the proxy's access can meet.
                        shared.2.with_mut(|memory| unsafe { *memory += 1 });
                    }
                    gate.give_back();
                    assert!(gate.enter(epoch).is_none(), "open without mappings");
                }
            });
            let gate = Gate { epoch: &shared.0, inside: &shared.1 };
            gate.close();
            if gate.is_empty() {
                // SAFETY: as above.
                shared.2.with(|memory| unsafe { *memory });
                gate.offer(8);
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
        assert!(gate.take().is_none());
        gate.offer(2);
        assert!(gate.enter(2).is_none(), "an offer has to be taken");
        assert_eq!((gate.take(), gate.take()), (Some(2), Some(2)));
        assert!(gate.enter(1).is_none(), "the mappings of an older epoch are not good");
        assert!(gate.is_empty());
        let pass = gate.enter(2).unwrap();
        assert!(!gate.is_closing(2));
        gate.close();
        assert!(gate.is_closing(2) && !gate.is_empty());
        drop(pass);
        assert!(gate.is_empty() && gate.enter(2).is_none());
    }

    #[test]
    fn who_has_lost_mappings_takes_the_offer_again() {
        let (epoch, inside) = (AtomicU32::new(CLOSED), AtomicU32::new(0));
        let gate = Gate { epoch: &epoch, inside: &inside };
        gate.give_back();
        assert!(gate.take().is_none(), "what is closed stays closed");
        gate.offer(3);
        gate.give_back();
        assert_eq!(gate.take(), Some(3));
        let pass = gate.enter(3);
        gate.give_back();
        assert!(gate.is_closing(3) && !gate.is_empty() && gate.enter(3).is_none());
        drop(pass);
        assert_eq!(gate.take(), Some(3));
        assert!(gate.enter(3).is_some());
    }
}

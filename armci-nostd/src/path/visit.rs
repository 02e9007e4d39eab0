//! Memory of ranks on the same host, which a rank reaches by itself: no ring, no proxy.
//!
//! A [`Visit`] is a rank's time inside the [gate](crate::shared::gate): all that it reaches
//! directly, it reaches through one.

use core::cell::Ref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use crate::path::link::ProxyLink;
use crate::path::neighbour::Neighbour;
use crate::path::paths::Paths;
use crate::path::rows::TargetSpace;
use crate::shared::gate::{CLOSED, Pass};
use crate::shared::lock::{Held, TargetLock};
use crate::shared::ring::Bell;
use crate::wire::area::{Mailbox, Tally};

/// A rank's time in the memory of a neighbour. It should be short: the proxy may be waiting for its
/// end.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    own_rank: u32,
    neighbour: Ref<'a, Neighbour>,
    /// None for a rank without a proxy, which nobody stops.
    inside: Option<Entered<'a>>,
}

/// A rank inside the gate. It leaves when this is dropped, and tells if somebody waits for that.
struct Entered<'a> {
    link: &'a ProxyLink,
    /// The epoch in which the gate was open.
    epoch: u32,
    pass: Option<Pass<'static>>,
}

impl Entered<'_> {
    #[inline]
    fn is_closing(&self) -> bool {
        self.link.gate().is_closing(self.epoch)
    }
}

impl core::fmt::Debug for Entered<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "inside, in epoch {}", self.epoch)
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        self.pass = None;
        // In this order for an upcall that comes here, on this processor, and closes the gate:
        // either it finds the rank outside or the rank finds the gate closed.
        compiler_fence(Ordering::SeqCst);
        if self.is_closing() {
            self.link.platform().left();
        }
    }
}

impl Paths {
    /// Goes to the memory of `rank`, if that can be reached now: it is a neighbour, the gate is
    /// open, and nothing that the proxy was asked before is still to be done.
    #[inline]
    pub(crate) fn visit(&self, rank: u32) -> Option<Visit<'_>> {
        // Loaded once: what is known of neighbours holds in this epoch and is looked at inside.
        let epoch = self.epoch.get();
        let inside = match &self.link {
            None => None,
            Some(link) if epoch != CLOSED && link.is_quiet() => match link.gate().enter(epoch) {
                Some(pass) => Some(Entered { link, epoch, pass: Some(pass) }),
                None => {
                    self.turned_away(link);
                    return None;
                }
            },
            Some(link) => {
                self.not_now(link);
                return None;
            }
        };
        let acquaintance = self.acquaintance.try_borrow().ok()?;
        let neighbour = Ref::filter_map(acquaintance, |known| known.neighbour(rank)).ok()?;
        Some(Visit { own_rank: self.rank, neighbour, inside })
    }
}

impl Paths {
    /// A rank that the gate does not let in was inside for a moment. Whoever closed the gate just
    /// then has seen it there, and waits until it says that it has left. This operation goes to the
    /// proxy; the next may be let in.
    #[cold]
    fn turned_away(&self, link: &ProxyLink) {
        link.platform().left();
        self.open_gate(link);
    }

    /// A rank that does not try, because the proxy has to be first, or because it has no epoch.
    #[cold]
    fn not_now(&self, link: &ProxyLink) {
        if self.epoch.get() == CLOSED {
            self.open_gate(link);
        }
    }
}

impl Visit<'_> {
    /// Where `len` bytes at a place of the neighbour are. Valid as long as the visit lasts.
    #[inline]
    pub fn reach(&self, space: TargetSpace, remote: u64, len: usize) -> Option<NonNull<u8>> {
        match space {
            TargetSpace::Public if len == 0 => Some(NonNull::dangling()),
            TargetSpace::Public => self.neighbour.find(remote, len),
            TargetSpace::Mailbox => {
                let remote = usize::try_from(remote).ok()?;
                let fits = remote.checked_add(len)? <= size_of::<Mailbox>();
                let mailbox = self.neighbour.mailbox()?.cast::<u8>();
                // SAFETY: within the mailbox.
                fits.then(|| unsafe { mailbox.add(remote) })
            }
        }
    }

    /// A word of the neighbour, if it is aligned.
    #[inline]
    pub fn word(&self, space: TargetSpace, remote: u64) -> Option<&AtomicU64> {
        let place = self.reach(space, remote, 8)?.cast::<u64>();
        // SAFETY: mapped as long as the visit lasts; aligned; an atomic may be shared.
        place.is_aligned().then(|| unsafe { AtomicU64::from_ptr(place.as_ptr()) })
    }

    /// Writes a word of the neighbour whole and after all that was written before.
    #[inline]
    pub fn store(&self, space: TargetSpace, remote: u64, word: u64) -> Option<()> {
        self.word(space, remote).map(|place| place.store(word, Ordering::Release))
    }

    /// Waits for the neighbour's lock. `None` when the rank must leave first, because the proxy
    /// wants to close the gate.
    #[inline]
    pub fn lock(&self) -> Option<Held<'_>> {
        let mailbox = self.neighbour.mailbox()?.as_ptr();
        // SAFETY: mapped as long as the visit lasts; an atomic may be shared.
        let lock = TargetLock(unsafe { &(*mailbox).lock.0 });
        let holder = self.own_rank + 1;
        lock.try_lock(holder).or_else(|| {
            let inside = self.inside.as_ref()?;
            lock_slowly(lock, holder, inside.link, inside.epoch)
        })
    }

    /// Whether the rank should leave soon, because the proxy wants to close the gate.
    #[inline]
    pub fn must_end(&self) -> bool {
        self.inside.as_ref().is_some_and(Entered::is_closing)
    }

    /// Wakes the neighbour if it sleeps, after something that it may be waiting for. True if the
    /// proxy must do it.
    #[inline]
    pub fn wake(&self, rank: u32) -> bool {
        let Some(Entered { link, .. }) = &self.inside else { return false };
        let Some(mailbox) = self.neighbour.mailbox() else { return true };
        // SAFETY: mapped as long as the visit lasts; an atomic may be shared.
        let bell = Bell(unsafe { &(*mailbox.as_ptr()).asleep.0 });
        if !bell.is_armed() {
            return false;
        }
        // What this rank takes, the proxy would not find any more.
        if link.platform().rings() && bell.take() {
            link.platform().ring(rank as usize);
        }
        !link.platform().rings()
    }

    /// Counts an operation for the user's statistics.
    #[inline]
    pub fn count(&self, kind: impl Fn(&Tally) -> &[AtomicU64; 2], bytes: usize) {
        if let Some(Entered { link, .. }) = &self.inside {
            let [operations, all] = kind(&link.area().header.tally);
            // This rank is the only writer.
            operations.store(operations.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
            all.store(all.load(Ordering::Relaxed).wrapping_add(bytes as u64), Ordering::Relaxed);
        }
    }
}

/// By values, so that a visit need not be in memory for the sake of this.
#[cold]
fn lock_slowly<'a>(
    lock: TargetLock<'a>,
    holder: u32,
    link: &ProxyLink,
    epoch: u32,
) -> Option<Held<'a>> {
    let mut looks = 0;
    while !link.gate().is_closing(epoch) {
        looks = link.look_again(looks);
        if let Some(held) = lock.try_lock(holder) {
            return Some(held);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use core::hint::spin_loop;
    use core::sync::atomic::{AtomicBool, Ordering};
    use core::time::Duration;
    use real_std::thread;
    use real_std::time::Instant;
    use std::prelude::v1::*;

    use crate::double::PlainJob;

    #[test]
    fn a_rank_that_finds_the_gate_closed_says_that_it_has_left() {
        let job = PlainJob::new(1);
        let armci = job.attach(0);
        assert!(armci.visit(0).is_some());
        assert_eq!(job.rank(0).left.load(Ordering::SeqCst), 0, "nobody waits for that");
        job.rank(0).gate().close();
        // Whoever closed it may have seen the rank inside for that moment.
        assert!(armci.visit(0).is_none());
        assert_eq!(job.rank(0).left.load(Ordering::SeqCst), 1);

        job.rank(0).gate().offer(2);
        assert!(armci.visit(0).is_none(), "the next is let in");
        let visit = armci.visit(0).unwrap();
        job.rank(0).gate().close();
        drop(visit);
        assert_eq!(job.rank(0).left.load(Ordering::SeqCst), 2);
    }

    /// What a suspension does: it closes the gate at any instant, and if it finds the rank inside
    /// it waits until that says that it has left, however long it only computes afterwards.
    #[test]
    fn whoever_has_seen_the_rank_inside_hears_that_it_has_left() {
        let job = PlainJob::new(1);
        let armci = job.attach(0);
        let rank = job.rank(0);
        let mut waited = 0;
        for round in 0..100 {
            rank.gate().offer(2 + round);
            while armci.visit(0).is_none() {}
            let before = rank.left.load(Ordering::SeqCst);
            let heard = AtomicBool::new(false);
            thread::scope(|scope| {
                let closer = scope.spawn(|| {
                    // As often as can be between the rank's two steps.
                    while rank.gate().is_empty() {
                        spin_loop();
                    }
                    rank.gate().close();
                    let seen_inside = !rank.gate().is_empty();
                    let deadline = Instant::now() + Duration::from_secs(10);
                    while seen_inside && rank.left.load(Ordering::SeqCst) == before {
                        assert!(Instant::now() < deadline, "the rank has left without a word");
                        thread::yield_now();
                    }
                    heard.store(true, Ordering::SeqCst);
                    seen_inside
                });
                // Visits until it is not let in, then nothing but computing.
                while armci.visit(0).is_some() {}
                while !heard.load(Ordering::SeqCst) && !closer.is_finished() {
                    spin_loop();
                }
                waited += u32::from(closer.join().unwrap());
            });
        }
        assert!(waited > 0, "the gate was never closed while the rank was inside");
    }
}

//! Memory of ranks on the same host, which a rank reaches by itself: no ring, no proxy.
//!
//! A [`Visit`] is a rank's time inside the [gate](crate::shared::gate): all that it reaches
//! directly, it reaches through one.

use core::cell::Ref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::path::link::Link;
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
    inside: Option<Inside<'a>>,
}

/// A rank inside the gate. It leaves when this is dropped, and tells if somebody waits for that.
struct Inside<'a> {
    link: &'a Link,
    /// The epoch in which the gate was open.
    epoch: u32,
    pass: Option<Pass<'static>>,
}

impl Inside<'_> {
    #[inline]
    fn is_closing(&self) -> bool {
        self.link.gate().is_closing(self.epoch)
    }
}

impl core::fmt::Debug for Inside<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "inside, in epoch {}", self.epoch)
    }
}

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        self.pass = None;
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
            Some(link) if epoch != CLOSED && link.is_quiet() => {
                Some(Inside { link, epoch, pass: Some(link.gate().enter(epoch)?) })
            }
            Some(_) => return None,
        };
        let acquaintance = self.acquaintance.try_borrow().ok()?;
        let neighbour = Ref::filter_map(acquaintance, |known| known.neighbour(rank)).ok()?;
        Some(Visit { own_rank: self.rank, neighbour, inside })
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
                // SAFETY: within the mailbox.
                fits.then(|| unsafe { self.neighbour.mailbox().cast::<u8>().add(remote) })
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
        // SAFETY: mapped as long as the visit lasts; an atomic may be shared.
        let lock = TargetLock(unsafe { &(*self.neighbour.mailbox().as_ptr()).lock.0 });
        let holder = self.own_rank + 1;
        lock.try_lock(holder).or_else(|| {
            let inside = self.inside.as_ref()?;
            lock_slowly(lock, holder, inside.link, inside.epoch)
        })
    }

    /// Wakes the neighbour if it sleeps, after something that it may be waiting for. True if the
    /// proxy must do it.
    #[inline]
    pub fn wake(&self, rank: u32) -> bool {
        let Some(Inside { link, .. }) = &self.inside else { return false };
        // SAFETY: mapped as long as the visit lasts; an atomic may be shared.
        let bell = Bell(unsafe { &(*self.neighbour.mailbox().as_ptr()).asleep.0 });
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
        if let Some(Inside { link, .. }) = &self.inside {
            let [operations, all] = kind(&link.area().header.tally);
            // This rank is the only writer.
            operations.store(operations.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
            all.store(all.load(Ordering::Relaxed).wrapping_add(bytes as u64), Ordering::Relaxed);
        }
    }
}

/// By values, so that a visit need not be in memory for the sake of this.
#[cold]
fn lock_slowly<'a>(lock: TargetLock<'a>, holder: u32, link: &Link, epoch: u32) -> Option<Held<'a>> {
    let mut looks = 0;
    while !link.gate().is_closing(epoch) {
        looks = link.look_again(looks);
        if let Some(held) = lock.try_lock(holder) {
            return Some(held);
        }
    }
    None
}

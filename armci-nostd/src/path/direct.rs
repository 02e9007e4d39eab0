//! Memory of ranks on the same host, which a rank reaches by itself: no ring, no proxy.
//!
//! A [`Visit`] is a rank's time inside the [gate](crate::shared::gate): all that it reaches, it reaches
//! through one.

use core::cell::{Cell, RefCell};
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::prelude::v1::*;

use crate::api::armci::Armci;
use crate::path::platform::{Awaited, Port};
use crate::shared::gate::{CLOSED, Pass};
use crate::shared::lock::{Held, TargetLock};
use crate::shared::ring::Bell;
use crate::wire::Mailbox;
use crate::wire::area::Tally;

/// A rank that can be reached, which may be this rank itself.
#[derive(Debug)]
pub(crate) struct Neighbour {
    mailbox: NonNull<Mailbox>,
    regions: RefCell<Vec<Region>>,
    /// The region that was used last, where the next use probably is.
    last: Cell<usize>,
    /// What can be mapped when it is first used.
    offers: RefCell<Vec<Offer>>,
}

/// What a rank shares and is not mapped here yet.
#[derive(Clone, Debug)]
struct Offer {
    there: Range<u64>,
    token: u64,
}

/// A piece of a rank's memory that is mapped here.
#[derive(Clone, Debug)]
struct Region {
    /// Its addresses at that rank.
    there: Range<u64>,
    /// Where its first byte is here.
    here: NonNull<u8>,
}

/// Where in a rank's memory a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// In what ranks allocate for each other: an address of that rank.
    Public,
    /// In the mailbox: an offset.
    Mailbox,
}

impl Neighbour {
    /// A rank whose mailbox is mapped here, which must stay so as [`Port`](crate::Port) says.
    pub fn new(mailbox: NonNull<Mailbox>) -> Self {
        Self {
            mailbox,
            regions: RefCell::default(),
            last: Cell::new(0),
            offers: RefCell::default(),
        }
    }

    /// The rank's addresses `there` are mapped at `here`.
    pub fn add(&self, there: Range<u64>, here: NonNull<u8>) {
        if !there.is_empty() {
            let mut regions = self.regions.borrow_mut();
            let at = regions.partition_point(|region| region.there.start < there.start);
            regions.insert(at, Region { there, here });
        }
    }

    /// The rank shares its addresses `there` by `token`.
    pub fn offer(&self, there: Range<u64>, token: u64) {
        self.offers.borrow_mut().push(Offer { there, token });
    }

    /// Takes what is offered and has this address, if there is anything.
    fn accept(&self, address: u64) -> Option<Offer> {
        let mut offers = self.offers.borrow_mut();
        let at = offers.iter().position(|offer| offer.there.contains(&address))?;
        Some(offers.swap_remove(at))
    }

    /// Forgets the region that starts at `start`, and says where it was mapped, if it was.
    pub fn remove(&self, start: u64) -> Option<NonNull<u8>> {
        self.offers.borrow_mut().retain(|offer| offer.there.start != start);
        let mut regions = self.regions.borrow_mut();
        let at = regions.iter().position(|region| region.there.start == start)?;
        Some(regions.remove(at).here)
    }

    /// Where `len` bytes at `address` are mapped here, if they are in one piece.
    #[inline]
    fn find(&self, address: u64, len: usize) -> Option<NonNull<u8>> {
        let regions = self.regions.borrow();
        let inside = |region: &Region| {
            let offset = address.wrapping_sub(region.there.start);
            let room = region.there.end - region.there.start;
            // SAFETY: within the region, which is mapped whole.
            (offset <= room && len as u64 <= room - offset)
                .then(|| unsafe { region.here.add(offset as usize) })
        };
        if let Some(found) = regions.get(self.last.get()).and_then(inside) {
            return Some(found);
        }
        let at = regions.partition_point(|region| region.there.start <= address).checked_sub(1)?;
        let found = inside(&regions[at])?;
        self.last.set(at);
        Some(found)
    }
}

/// A rank inside the gate, on a visit to a neighbour. It should be short: the proxy may be waiting
/// for its end.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    armci: &'a Armci,
    neighbour: &'a Neighbour,
    /// None for a rank without a proxy, whom nobody stops.
    pass: Option<Pass<'static>>,
}

impl Drop for Visit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.pass = None;
        if let Some(link) = &self.armci.link
            && link.gate().is_closing(self.armci.epoch.get())
        {
            link.port().left();
        }
    }
}

impl Armci {
    /// Goes to the memory of `rank`, if that can be reached now: it is a neighbour, the gate is
    /// open, and nothing that the proxy was asked before is still to be done.
    #[inline]
    pub(crate) fn visit(&self, rank: u32) -> Option<Visit<'_>> {
        let neighbour = self.neighbours.get(rank as usize)?.as_ref()?;
        let pass = match &self.link {
            None => None,
            Some(link) if self.epoch.get() != CLOSED && link.is_quiet() => {
                Some(link.gate().enter(self.epoch.get())?)
            }
            Some(_) => return None,
        };
        Some(Visit { armci: self, neighbour, pass })
    }

    /// Maps what `rank` shares at `address` and nobody has used from here yet. False if there is no
    /// such thing.
    #[cold]
    pub(crate) fn map_on_demand(&self, rank: u32, address: u64) -> bool {
        let neighbour = self.neighbours.get(rank as usize).and_then(Option::as_ref);
        let (Some(neighbour), Some(port), true) =
            (neighbour, self.port(), self.epoch.get() != CLOSED)
        else {
            return false;
        };
        let Some(Offer { there, token }) = neighbour.accept(address) else { return false };
        let len = ((there.end - there.start) as usize).next_multiple_of(port.page().unwrap_or(1));
        // What cannot be mapped is reached by the proxy.
        let here = port.map(rank as usize, len, token);
        here.map(|here| neighbour.add(there, here)).is_some()
    }
}

impl<'a> Visit<'a> {
    /// Where `len` bytes at a place of the neighbour are. Valid as long as the visit lasts.
    #[inline]
    pub fn reach(&self, space: Space, remote: u64, len: usize) -> Option<NonNull<u8>> {
        match space {
            Space::Public if len == 0 => Some(NonNull::dangling()),
            Space::Public => self.neighbour.find(remote, len),
            Space::Mailbox => {
                let remote = usize::try_from(remote).ok()?;
                let fits = remote.checked_add(len)? <= size_of::<Mailbox>();
                // SAFETY: within the mailbox.
                fits.then(|| unsafe { self.neighbour.mailbox.cast::<u8>().add(remote) })
            }
        }
    }

    /// A word of the neighbour, if it is aligned.
    #[inline]
    pub fn word(&self, space: Space, remote: u64) -> Option<&AtomicU64> {
        let place = self.reach(space, remote, 8)?.cast::<u64>();
        // SAFETY: mapped as long as the visit lasts; aligned; an atomic may be shared.
        place.is_aligned().then(|| unsafe { AtomicU64::from_ptr(place.as_ptr()) })
    }

    /// Waits for the neighbour's lock. `None` when the rank must leave first, because the proxy
    /// wants to close the gate.
    #[inline]
    pub fn lock(&self) -> Option<Held<'_>> {
        // SAFETY: mapped as long as the visit lasts; an atomic may be shared.
        let lock = TargetLock(unsafe { &(*self.neighbour.mailbox.as_ptr()).lock.0 });
        match lock.try_lock(self.armci.rank + 1) {
            Some(held) => Some(held),
            None => self.lock_slowly(lock.0),
        }
    }

    #[cold]
    fn lock_slowly<'b>(&self, word: &'b AtomicU32) -> Option<Held<'b>> {
        let mut looks = 0;
        loop {
            if let Some(held) = TargetLock(word).try_lock(self.armci.rank + 1) {
                return Some(held);
            }
            let link = self.armci.link.as_ref()?;
            if link.gate().is_closing(self.armci.epoch.get()) {
                return None;
            }
            // Nobody rings when a lock is free, so this never blocks.
            looks = look_again(link.port(), looks);
        }
    }

    /// Wakes the neighbour if it sleeps, after something that it may be waiting for. True if the
    /// proxy must do it.
    #[inline]
    pub fn wake(&self, rank: u32) -> bool {
        let Some(link) = &self.armci.link else { return false };
        // SAFETY: mapped as long as the visit lasts; an atomic may be shared.
        let bell = Bell(unsafe { &(*self.neighbour.mailbox.as_ptr()).asleep.0 });
        if !bell.is_armed() {
            return false;
        }
        // What this rank takes, the proxy would not find any more.
        if link.port().rings() && bell.take() {
            link.port().ring(rank as usize);
        }
        !link.port().rings()
    }

    /// Counts an operation for the user's statistics.
    #[inline]
    pub fn count(&self, kind: impl Fn(&Tally) -> &[AtomicU64; 2], bytes: usize) {
        if let Some(link) = &self.armci.link {
            let [operations, all] = kind(&link.area().header.tally);
            // This rank is the only writer.
            operations.store(operations.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
            all.store(all.load(Ordering::Relaxed).wrapping_add(bytes as u64), Ordering::Relaxed);
        }
    }

    /// Writes a word of the neighbour whole and after all that was written before.
    #[inline]
    pub fn store(&self, space: Space, remote: u64, word: u64) -> Option<()> {
        self.word(space, remote).map(|place| place.store(word, Ordering::Release))
    }
}

/// A pause between two looks at something that nobody rings for; returns the number of the next
/// look.
pub(crate) fn look_again(port: &dyn Port, looks: u32) -> u32 {
    if port.pause(looks, Awaited::Rank) {
        return looks + 1;
    }
    // Whoever it is about may be waiting for this processor.
    port.yield_now();
    looks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_mapped_in_one_piece() {
        let mut memory = [0u8; 64];
        let base = NonNull::new(memory.as_mut_ptr()).unwrap();
        let neighbour = Neighbour::new(NonNull::dangling());
        // SAFETY: in bounds.
        let at = |offset| unsafe { base.add(offset) };
        neighbour.add(200..216, at(16));
        neighbour.add(100..116, at(0));
        neighbour.add(50..50, at(9));
        neighbour.add(u64::MAX - 4..u64::MAX, at(40));
        for _ in 0..2 {
            assert_eq!(neighbour.find(100, 16), Some(at(0)));
            assert_eq!(neighbour.find(204, 12), Some(at(20)));
            assert_eq!(neighbour.find(216, 0), Some(at(32)));
            assert_eq!(neighbour.find(204, 13), None);
            assert_eq!(neighbour.find(99, 1), None);
            assert_eq!(neighbour.find(116, 1), None);
            assert_eq!(neighbour.find(0, 1), None);
            assert_eq!(neighbour.find(u64::MAX - 2, 2), Some(at(42)));
            assert_eq!(neighbour.find(u64::MAX - 2, usize::MAX), None);
        }
        assert_eq!(neighbour.remove(200), Some(at(16)));
        assert_eq!(neighbour.find(204, 12), None);
        assert_eq!(neighbour.remove(200), None);
        assert_eq!(neighbour.find(101, 2), Some(at(1)));
    }
}

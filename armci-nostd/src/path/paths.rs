//! A rank's way to every rank: what all that reaches memory works on.

use core::alloc::Layout;
use core::cell::{Cell, OnceCell, RefCell};
use core::hint::spin_loop;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use std::alloc::{alloc_zeroed, dealloc};
use std::prelude::v1::*;

use crate::error::{Error, Fault, Side};
use crate::path::acquaintance::Acquaintance;
use crate::path::link::ProxyLink;
use crate::path::neighbour::Neighbour;
use crate::path::platform::{Awaited, Platform};
use crate::shared::gate::CLOSED;
use crate::wire::area::Mailbox;

/// How a rank reaches memory, its own and that of the others: directly where that is mapped, else
/// by the proxy.
///
/// An [`Armci`](crate::Armci) is one, by way of a [`World`](crate::World).
pub struct Paths {
    pub(crate) rank: u32,
    size: u32,
    /// The way to the proxy. None for the only rank of a job without one.
    pub(crate) link: Option<ProxyLink>,
    /// Replaced whole, never while a visit is under way, which borrows it.
    pub(crate) acquaintance: RefCell<Acquaintance>,
    /// The epoch in which the rank has opened its gate, so that it visits its neighbours, or
    /// [`CLOSED`].
    pub(crate) epoch: Cell<u32>,
    /// Whether it wants to.
    directly: Cell<bool>,
    /// Whether all ranks are on one host with fewer processors. Settled when ranks first get
    /// acquainted: it says which of a group's counters a barrier uses, and they cannot be mixed.
    crowded: OnceCell<bool>,
    /// Whether the proxy was asked to put or accumulate anything since the last fence on all ranks.
    pub(crate) unfenced: Cell<bool>,
    /// A piece of the window through which data goes that the proxy cannot reach.
    pub(crate) bounce: OnceCell<(NonNull<u8>, Layout)>,
    /// The mailbox of a rank without a proxy.
    lone_mailbox: Option<Box<Mailbox>>,
}

impl core::fmt::Debug for Paths {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "rank {} of {}", self.rank, self.size)
    }
}

impl Paths {
    /// Those of rank `rank` of `size`, by the proxy only until ranks have got acquainted.
    ///
    /// # Panics
    /// If `rank` is not below `size`.
    pub(crate) fn by_link(rank: usize, size: usize, link: ProxyLink) -> Self {
        assert!(rank < size, "rank {rank} in a job of {size}");
        Self::new(rank as u32, size as u32, Some(link), None)
    }

    /// Those of the only rank of a job without a proxy: to itself.
    pub(crate) fn alone() -> Self {
        // On the heap from the start, where it stays.
        let paths = Self::new(0, 1, None, Some(Box::new(Mailbox::new())));
        let mut own = Neighbour::in_view(paths.own_mailbox());
        // Only places that the rank has allocated itself may be asked for; nothing is checked but
        // that they are not null.
        let everything = 1..u64::MAX;
        own.add(everything.clone(), NonNull::without_provenance(core::num::NonZero::<usize>::MIN));
        paths.become_acquainted(Acquaintance {
            generation: 0,
            neighbours: vec![own],
            tokens: vec![None],
            public: vec![everything],
            hosts: vec![0],
        });
        paths
    }

    fn new(
        rank: u32,
        size: u32,
        link: Option<ProxyLink>,
        lone_mailbox: Option<Box<Mailbox>>,
    ) -> Self {
        Self {
            rank,
            size,
            link,
            acquaintance: RefCell::new(Acquaintance::none()),
            epoch: Cell::new(CLOSED),
            directly: Cell::new(true),
            crowded: OnceCell::new(),
            unfenced: Cell::new(false),
            bounce: OnceCell::new(),
            lone_mailbox,
        }
    }

    /// Replaces all that is known of the others.
    pub(crate) fn become_acquainted(&self, acquaintance: Acquaintance) {
        self.acquaintance.replace(acquaintance);
        self.epoch.set(CLOSED);
    }

    /// Says whether all ranks are on one host with fewer processors, for good: later answers do not
    /// count.
    pub(crate) fn settle_crowded(&self, crowded: bool) {
        self.crowded.get_or_init(|| crowded);
    }

    /// This rank's number, from 0.
    #[inline]
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// Ranks in the job.
    #[inline]
    pub fn size(&self) -> usize {
        self.size as usize
    }

    /// The host of a rank: the number of the first rank on it. Ranks of one host make a *domain* of
    /// ARMCI, within which memory is reached directly.
    ///
    /// # Errors
    /// [`Error::NoRank`].
    pub fn host_of(&self, rank: usize) -> Result<usize, Error> {
        self.check_rank(rank)?;
        let acquaintance = self.acquaintance.borrow();
        Ok(acquaintance.hosts.get(rank).map_or(rank, |&host| host as usize))
    }

    /// Whether the memory of `rank` is mapped here, so that it is reached without the proxy while
    /// the gate is open.
    pub fn reaches(&self, rank: usize) -> bool {
        self.check_rank(rank).is_ok_and(|rank| self.acquaintance.borrow().neighbour(rank).is_some())
    }

    /// Checks that bytes at an address of `rank` are public, as far as that is known.
    pub(crate) fn check_public(&self, rank: u32, address: u64, len: usize) -> Result<(), Fault> {
        let acquaintance = self.acquaintance.borrow();
        // Before ranks are acquainted they ask for mailboxes only.
        let Some(public) = acquaintance.public.get(rank as usize) else { return Ok(()) };
        Fault::check_range(Side::Remote, address, len as u64, public)
    }

    /// Whether all ranks are on one host with fewer processors.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded.get().is_some_and(|&crowded| crowded)
    }

    /// What this rank runs on, if it has a proxy: for programs that speak the ring themselves, to
    /// try it.
    pub fn platform(&self) -> Option<&dyn Platform> {
        self.link.as_ref().map(ProxyLink::platform)
    }

    /// Whether this rank reaches the memory of its neighbours directly, as it does from the start.
    /// Without that everything goes through the proxy, as if each rank were on a host of its own:
    /// to try and to measure that way.
    pub fn reach_directly(&self, directly: bool) {
        self.directly.set(directly);
        self.epoch.set(CLOSED);
        if let Some(link) = &self.link {
            self.open_gate(link);
        }
    }

    /// Whether it wants to.
    pub(crate) fn wants_directly(&self) -> bool {
        self.directly.get()
    }

    /// The way to the proxy.
    ///
    /// # Errors
    /// [`Error::NobodyElse`] for a rank without one: it reaches directly all that it may touch.
    pub(crate) fn link(&self) -> Result<&ProxyLink, Error> {
        self.link.as_ref().ok_or(Error::NobodyElse)
    }

    #[inline]
    pub(crate) fn check_rank(&self, rank: usize) -> Result<u32, Error> {
        match rank < self.size() {
            true => Ok(rank as u32),
            false => Err(Error::NoRank { rank, size: self.size() }),
        }
    }

    /// Zeroed memory of this rank that the proxy can reach. Not for zero bytes.
    pub(crate) fn alloc(&self, layout: Layout) -> Option<NonNull<u8>> {
        match &self.link {
            // SAFETY: callers do not ask for zero bytes.
            None => NonNull::new(unsafe { alloc_zeroed(layout) }),
            Some(link) => link.platform().alloc(layout),
        }
    }

    /// # Safety
    /// `memory` must come from `alloc` with this layout, or be dangling with a size of zero, and
    /// not be used afterwards.
    pub(crate) unsafe fn dealloc(&self, memory: NonNull<u8>, layout: Layout) {
        if layout.size() == 0 {
            return;
        }
        // SAFETY: by the caller.
        unsafe {
            match &self.link {
                None => dealloc(memory.as_ptr(), layout),
                Some(link) => link.platform().dealloc(memory, layout),
            }
        }
    }

    /// This rank's own mailbox.
    pub(crate) fn own_mailbox(&self) -> NonNull<Mailbox> {
        match (&self.link, &self.lone_mailbox) {
            (Some(link), _) => NonNull::from(&link.area().mailbox),
            (None, Some(mailbox)) => NonNull::from(&**mailbox),
            (None, None) => unreachable!("a rank has a proxy or a mailbox of its own"),
        }
    }

    /// Waits until `ready`, which another rank brings about by something that wakes this one.
    pub(crate) fn wait_for_rank(&self, mut ready: impl FnMut() -> bool) -> Result<(), Error> {
        match &self.link {
            Some(link) => link.wait_until(Awaited::Rank, ready),
            None if ready() => Ok(()),
            None => Err(Error::NobodyElse),
        }
    }

    /// Lets the proxy know how many steps of collectives of all ranks this one has begun.
    #[inline]
    pub(crate) fn show_steps(&self, steps: u64) {
        if let Some(link) = &self.link {
            link.area().header.standing.steps.store(steps as u32, Ordering::Relaxed);
        }
    }

    /// A pause between two looks at something that nobody rings for; returns the number of the next
    /// look.
    pub(crate) fn look_again(&self, looks: u32) -> Result<u32, Error> {
        let Some(link) = &self.link else {
            // Only this rank itself could change it, and it has just done what it can.
            spin_loop();
            return Ok(looks);
        };
        link.check_alive()?;
        match link.platform().let_threads_in(looks) {
            true => Ok(looks + 1),
            false => Ok(link.look_again(looks)),
        }
    }
}

impl Drop for Paths {
    fn drop(&mut self) {
        if let Some((bounce, layout)) = self.bounce.take() {
            // SAFETY: allocated with this layout; blocking operations have ended.
            unsafe { self.dealloc(bounce, layout) };
        }
    }
}

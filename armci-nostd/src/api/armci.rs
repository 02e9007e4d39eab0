//! A rank: attaching, memory of its own, fences.

use core::alloc::Layout;
use core::cell::{Cell, OnceCell, RefCell};
use core::ops::Range;
use core::ptr::NonNull;
use std::alloc::{alloc_zeroed, dealloc};
use std::prelude::v1::*;

use zerocopy::IntoBytes;

use crate::api::nonblocking::Nonblocking;
use crate::path::direct::Neighbour;
use crate::path::link::Link;
use crate::path::platform::{Awaited, Port, ProxyGone, View};
use crate::serve::memory::Fault;
use crate::shared::gate::CLOSED;
use crate::shared::ring::IndexJumped;
use crate::team::group::Group;
use crate::team::message::Post;
use crate::wire::request::ALL_RANKS;
use crate::wire::{Mailbox, Opcode, Request};

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No rank has this number.
    #[error("no rank {rank} in a job of {size}")]
    NoRank {
        /// What was asked for.
        rank: usize,
        /// Ranks in the job.
        size: usize,
    },
    /// More elements than there are from the given place to the end of the target's part.
    #[error("{len} elements do not fit into the {room} at that place of rank {rank}")]
    OutOfBounds {
        /// The target.
        rank: u32,
        /// Elements asked for.
        len: usize,
        /// Elements there.
        room: usize,
    },
    /// A shape whose counts, strides or pieces do not go together.
    #[error("{0}")]
    Shape(&'static str),
    /// A rank could not allocate its part.
    #[error(
        "no room for a collective allocation: {bytes} bytes asked for by this rank; give ranks more memory"
    )]
    OutOfMemory {
        /// What this rank asked for.
        bytes: usize,
    },
    /// The operation is not one that can be done there.
    #[error("{0}")]
    Refused(Fault),
    /// A list of ranks that is not one of a group, or a group that cannot be made now.
    #[error("{0}")]
    Group(&'static str),
    /// There is no such mutex, or it is not in the state that the call needs.
    #[error("mutex {mutex} of rank {rank} {problem}")]
    Mutex {
        /// The mutex.
        mutex: usize,
        /// The rank that has it.
        rank: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// A message is longer than the place for it. It has not been taken.
    #[error("a message of {len} bytes from rank {from} does not fit into {room} bytes")]
    MessageTooLong {
        /// The sender.
        from: usize,
        /// Its length.
        len: usize,
        /// Bytes that there is room for.
        room: usize,
    },
    /// What is waited for can only come from another rank, and there is none.
    #[error("this rank is alone: what it waits for will never come")]
    NobodyElse,
    /// The job has failed, by whatever rank; the proxy has said why to the user.
    #[error("the job has failed")]
    JobFailed,
    /// The proxy has gone away.
    #[error(transparent)]
    ProxyGone(#[from] ProxyGone),
    /// The proxy's indices make no sense.
    #[error("the proxy broke the ring: {0}")]
    Ring(#[from] IndexJumped),
    /// The proxy completed an operation that was never started.
    #[error("the proxy completed operation {0}, which was not under way")]
    StrayCompletion(u32),
}

/// A rank of a job: what `ARMCI_Init` makes.
///
/// It belongs to one thread. Collective calls (`malloc`, `free`, `barrier`, `broadcast`, `reduce`,
/// `create_mutexes`, `finalize`) must be made by all ranks in the same order.
///
/// Memory of ranks on the same host is reached directly, by copies and atomics; other memory, and
/// all memory while the proxy has closed the [gate](crate::shared::gate), by the proxy.
pub struct Armci {
    pub(crate) rank: u32,
    pub(crate) size: u32,
    /// The way to the proxy. None for the only rank of a job without one.
    pub(crate) link: Option<Link>,
    /// The epoch of this rank's mappings of its neighbours; none is good while that is [`CLOSED`].
    pub(crate) epoch: Cell<u32>,
    /// That epoch, also while the rank does not want to use them.
    mapped_in: u32,
    /// By rank: those whose memory can be reached directly, this one included.
    pub(crate) neighbours: Vec<Option<Neighbour>>,
    /// By rank: the addresses that others may touch.
    pub(crate) public: Vec<Range<u64>>,
    /// By rank: its host, numbered by the first rank on it.
    pub(crate) hosts: Vec<u32>,
    /// Whether all ranks are on one host with fewer processors.
    pub(crate) crowded: bool,
    /// All ranks.
    pub(crate) world: Group,
    pub(crate) post: Post,
    /// Whether the proxy was asked to put or accumulate anything since the last fence on all ranks.
    pub(crate) unfenced: Cell<bool>,
    /// A piece of the window through which data goes that the proxy cannot reach.
    pub(crate) bounce: OnceCell<(NonNull<u8>, Layout)>,
    /// Notifications, by their other side.
    pub(crate) notices: RefCell<Option<crate::api::flag::Notices>>,
    /// The mailbox of a rank without a proxy.
    _own_mailbox: Option<Box<Mailbox>>,
}

impl core::fmt::Debug for Armci {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "rank {} of {}", self.rank, self.size)
    }
}

impl Armci {
    /// Rank `rank` of `size`, attached through `port`. Waits until the proxy has attached the job.
    ///
    /// # Panics
    /// If `rank` is not below `size`.
    pub fn attach(rank: usize, size: usize, port: Box<dyn Port>) -> Result<Self, Error> {
        let mut armci = Self::new(rank, size, Some(Link::attach(port)?), None);
        armci.get_to_know()?;
        armci.prepare_notices()?;
        Ok(armci)
    }

    /// The only rank of a job without a proxy.
    pub fn alone() -> Self {
        // On the heap from the start, where it stays.
        let mailbox = Box::new(Mailbox::new());
        let mut armci = Self::new(0, 1, None, Some(mailbox));
        let own = Neighbour::new(armci.own_mailbox());
        // Only places that the rank has allocated itself may be asked for; nothing is checked but
        // that they are not null.
        let everything = 1..u64::MAX;
        own.add(everything.clone(), NonNull::without_provenance(core::num::NonZero::<usize>::MIN));
        armci.neighbours = vec![Some(own)];
        armci.public = vec![everything];
        armci.hosts = vec![0];
        // With enough memory for one word this cannot fail.
        let _ = armci.prepare_notices();
        armci
    }

    fn new(
        rank: usize,
        size: usize,
        link: Option<Link>,
        own_mailbox: Option<Box<Mailbox>>,
    ) -> Self {
        assert!(rank < size, "rank {rank} in a job of {size}");
        Self {
            rank: rank as u32,
            size: size as u32,
            link,
            epoch: Cell::new(CLOSED),
            mapped_in: CLOSED,
            neighbours: Vec::new(),
            public: Vec::new(),
            hosts: Vec::new(),
            crowded: false,
            world: Group::world(rank, size),
            post: Post::default(),
            unfenced: Cell::new(false),
            bounce: OnceCell::new(),
            notices: RefCell::new(None),
            _own_mailbox: own_mailbox,
        }
    }

    /// Exchanges with all ranks what each must know of the others. Up to here everything goes
    /// through the proxy.
    fn get_to_know(&mut self) -> Result<(), Error> {
        let (rank, size) = (self.rank(), self.size());
        let header = &self.link()?.area().header;
        let host = header.host.load(core::sync::atomic::Ordering::Relaxed);
        let epoch = header.gate.0.load(core::sync::atomic::Ordering::Acquire);
        let port = self.link()?.port();
        let public = port.public();
        let mut known = vec![[0u64; 5]; size];
        known[rank] =
            [public.start, public.end, host.into(), port.identity(), port.processors() as u64];
        self.world.gather(self, known.as_mut_bytes())?;

        let port = self.link()?.port();
        let same_host = |other: usize| known[other][2] == known[rank][2];
        port.meet(&known.iter().map(|known| known[3]).collect::<Vec<_>>());
        // Where no view comes of itself the mailboxes are shared piece by piece.
        let own = self.own_mailbox();
        let mut tokens = vec![0u64; size];
        if port.page().is_some() {
            tokens[rank] =
                port.share(own.cast(), size_of::<Mailbox>()).map_or(0, |token| token + 1);
            self.world.gather(self, tokens.as_mut_bytes())?;
        }
        let port = self.link()?.port();
        let neighbour = |other: usize| {
            if other == rank {
                return Some(View { mailbox: own, public: NonNull::new(public.start as *mut u8) });
            }
            let by_token = || {
                let mailbox =
                    port.map(other, size_of::<Mailbox>(), tokens[other].checked_sub(1)?)?.cast();
                Some(View { mailbox, public: None })
            };
            Some(other)
                .filter(|_| same_host(other))
                .and_then(|_| port.view(other).or_else(by_token))
        };
        let neighbours = (0..size)
            .map(|other| {
                let view = neighbour(other)?;
                let neighbour = Neighbour::new(view.mailbox);
                if let Some(here) = view.public {
                    neighbour.add(known[other][0]..known[other][1], here);
                }
                Some(neighbour)
            })
            .collect();
        self.hosts = known
            .iter()
            .map(|one| known.iter().position(|other| other[2] == one[2]).unwrap_or_default() as u32)
            .collect();
        let one_host = (0..size).all(same_host);
        let processors = known.iter().map(|known| known[4]).min().unwrap_or_default();
        self.crowded = one_host && (size as u64) > processors;
        self.public = known.iter().map(|known| known[0]..known[1]).collect();
        self.neighbours = neighbours;
        self.mapped_in = epoch;
        self.reach_directly(true);
        // Nobody goes on before everybody can be reached by everybody.
        self.barrier()
    }

    /// This rank's number, from 0.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// Ranks in the job.
    pub fn size(&self) -> usize {
        self.size as usize
    }

    /// All ranks, as a group.
    pub fn world(&self) -> &Group {
        &self.world
    }

    /// The host of a rank: the number of the first rank on it. Ranks of one host make a *domain* of
    /// ARMCI, within which memory is reached directly.
    ///
    /// # Errors
    /// [`Error::NoRank`].
    pub fn host_of(&self, rank: usize) -> Result<usize, Error> {
        self.check_rank(rank).map(|_| self.hosts[rank] as usize)
    }

    /// Whether the memory of `rank` is mapped here, so that it is reached without the proxy while
    /// the gate is open.
    pub fn reaches(&self, rank: usize) -> bool {
        self.neighbours.get(rank).is_some_and(Option::is_some)
    }

    /// The way to the proxy, if there is one: for programs that speak the ring themselves, to try
    /// it.
    pub fn port(&self) -> Option<&dyn Port> {
        self.link.as_ref().map(Link::port)
    }

    /// Whether this rank reaches the memory of its neighbours directly, as it does from the start.
    /// Without that everything goes through the proxy, as if each rank were on a host of its own:
    /// to try and to measure that way.
    pub fn reach_directly(&self, directly: bool) {
        self.epoch.set(if directly { self.mapped_in } else { CLOSED });
    }

    /// Leaves the job: waits until all ranks are here, so that none ends while others still need
    /// its memory.
    pub fn finalize(&self) -> Result<(), Error> {
        self.barrier()
    }

    /// `ARMCI_Fence`: waits until all of this rank's operations on `rank` are complete there.
    pub fn fence(&self, rank: usize) -> Result<(), Error> {
        let rank = self.check_rank(rank)?;
        if self.unfenced.get() { self.fence_by_proxy(rank) } else { Ok(()) }
    }

    /// `ARMCI_AllFence`: waits until all of this rank's operations are complete at their targets.
    #[inline]
    pub fn all_fence(&self) -> Result<(), Error> {
        if self.unfenced.get() {
            self.fence_by_proxy(ALL_RANKS)?;
            self.unfenced.set(false);
        }
        Ok(())
    }

    fn fence_by_proxy(&self, rank: u32) -> Result<(), Error> {
        let ticket = self.link()?.start(Request {
            opcode: Opcode::Fence as u8,
            rank,
            ..Request::default()
        })?;
        self.link()?.finish(ticket).map(drop)
    }

    /// Non-blocking operations: `work` starts them on the [`Nonblocking`] that it is given, and all
    /// of them are complete locally when this returns.
    ///
    /// Buffers are borrowed for the whole scope, so that the compiler knows that nobody reads or
    /// frees them while the proxy is at work.
    ///
    /// ```
    /// # let armci = armci_nostd::Armci::alone();
    /// let table = armci.malloc::<u64>(4)?;
    /// let (ones, mut back) = ([1; 2], [7; 2]);
    /// armci.nonblocking(|nb| {
    ///     nb.put(&ones, table.at(0, 0))?;
    ///     let read = nb.get(&mut back, table.at(0, 2))?;
    ///     // ... compute meanwhile ...
    ///     nb.wait(read)
    /// })?;
    /// assert_eq!(back, [0, 0]);
    /// # armci.free(table)?;
    /// # Ok::<(), armci_nostd::Error>(())
    /// ```
    pub fn nonblocking<'env, R>(
        &self,
        work: impl for<'scope> FnOnce(&'scope Nonblocking<'scope, 'env>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        Nonblocking::scope(self, work)
    }

    /// Zeroed memory of this rank that the proxy can reach. Not for zero bytes.
    pub(crate) fn alloc(&self, layout: Layout) -> Option<NonNull<u8>> {
        match &self.link {
            // SAFETY: callers do not ask for zero bytes.
            None => NonNull::new(unsafe { alloc_zeroed(layout) }),
            Some(link) => link.port().alloc(layout),
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
                Some(link) => link.port().dealloc(memory, layout),
            }
        }
    }

    /// The way to the proxy. Without one whatever needs it cannot be done: all that this rank may
    /// touch is reached directly.
    pub(crate) fn link(&self) -> Result<&Link, Error> {
        self.link.as_ref().ok_or(Error::NobodyElse)
    }

    pub(crate) fn check_rank(&self, rank: usize) -> Result<u32, Error> {
        match rank < self.size() {
            true => Ok(rank as u32),
            false => Err(Error::NoRank { rank, size: self.size() }),
        }
    }

    /// This rank's own mailbox.
    pub(crate) fn own_mailbox(&self) -> NonNull<Mailbox> {
        match (&self.link, &self._own_mailbox) {
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
}

impl Drop for Armci {
    fn drop(&mut self) {
        if let Some((bounce, layout)) = self.bounce.take() {
            // SAFETY: allocated by `bounce` with this layout; blocking operations have ended.
            unsafe { self.dealloc(bounce, layout) };
        }
    }
}

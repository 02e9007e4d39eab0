//! The operations.

use core::alloc::Layout;
use core::cell::{Cell, OnceCell};
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use std::alloc::{alloc_zeroed, dealloc};
use std::prelude::v1::*;

use zerocopy::IntoBytes;

use crate::element::{Accumulate, Element, RmwWord};
use crate::global::{Global, GlobalPtr, Part};
use crate::link::{Link, Ticket};
use crate::memory::{self, Fault, Window};
use crate::nonblocking::Nonblocking;
use crate::port::{Port, ProxyGone};
use crate::ring::IndexJumped;
use crate::wire::request::{ALL_RANKS, INLINE_BYTES};
use crate::wire::{Flags, Opcode, Request};

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
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
    /// A rank could not allocate its part.
    #[error("no room for a collective allocation: {bytes} bytes asked for by this rank; give ranks more memory")]
    OutOfMemory {
        /// What this rank asked for.
        bytes: usize,
    },
    /// Accumulate and read-modify-write need an aligned place.
    #[error("{0}")]
    Refused(Fault),
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
/// `finalize`) must be made by all ranks in the same order.
pub struct Armci {
    rank: u32,
    size: u32,
    pub(crate) way: Way,
    /// Barriers done.
    pub(crate) barriers: Cell<u64>,
    /// Chunks that collectives have moved.
    pub(crate) chunks: Cell<u64>,
    /// Whether anything was put or accumulated since the last fence on all ranks.
    unfenced: Cell<bool>,
    /// A piece of the window through which data goes that the proxy can not reach.
    bounce: OnceCell<(NonNull<u8>, Layout)>,
}

/// How operations are done.
#[expect(clippy::large_enum_variant, reason = "a program has one, and every operation goes through it")]
pub(crate) enum Way {
    /// There is one rank and no proxy: here and now, on the rank's own memory.
    Alone(Window),
    /// By the proxy.
    Proxy(Link),
}

/// An operation under way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Started {
    /// Done already, with the completion's value.
    Done(u64),
    /// With the proxy.
    UnderWay(Ticket),
}

/// Bytes that go through the bounce buffer at a time.
const BOUNCE: usize = 128 * 1024;

impl core::fmt::Debug for Armci {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "rank {} of {}", self.rank, self.size)
    }
}

impl Armci {
    /// Rank `rank` of `size`, attached through `port`. Waits until the proxy has attached the job.
    pub fn attach(rank: usize, size: usize, port: Box<dyn Port>) -> Result<Self, Error> {
        Ok(Self::new(rank, size, Way::Proxy(Link::attach(port)?)))
    }

    /// The only rank of a job without a proxy.
    pub fn alone() -> Self {
        Self::new(0, 1, Way::Alone(Window::everything()))
    }

    fn new(rank: usize, size: usize, way: Way) -> Self {
        assert!(rank < size, "rank {rank} in a job of {size}");
        Self {
            rank: rank as u32,
            size: size as u32,
            way,
            barriers: Cell::new(0),
            chunks: Cell::new(0),
            unfenced: Cell::new(false),
            bounce: OnceCell::new(),
        }
    }

    /// This rank's number, from 0.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// Ranks in the job.
    pub fn size(&self) -> usize {
        self.size as usize
    }

    /// The way to the proxy, if there is one: for programs that speak the ring themselves, to try it.
    pub fn port(&self) -> Option<&dyn Port> {
        match &self.way {
            Way::Alone(_) => None,
            Way::Proxy(link) => Some(link.port()),
        }
    }

    /// Leaves the job: waits until all ranks are here, so that none ends while others still need its memory.
    pub fn finalize(&self) -> Result<(), Error> {
        self.barrier()
    }

    /// `ARMCI_Malloc`, collective: zeroed memory for `len` elements on this rank, reachable by all. Ranks may
    /// ask for different lengths, zero included.
    ///
    /// # Errors
    /// If any rank has not enough memory, all get [`Error::OutOfMemory`] and nothing stays allocated.
    pub fn malloc<T: Element>(&self, len: usize) -> Result<Global<T>, Error> {
        let own = Layout::array::<T>(len).ok().and_then(|layout| {
            // A cache line of its own, so that flags of different allocations do not share one.
            let layout = layout.align_to(64).ok()?.pad_to_align();
            if layout.size() == 0 {
                return Some((NonNull::dangling(), layout));
            }
            Some((self.alloc(layout)?, layout))
        });
        let mut parts = vec![[0u64; 2]; self.size()];
        parts[self.rank()] = match own {
            Some((local, _)) => [local.addr().get() as u64, len as u64],
            None => [0, u64::MAX],
        };
        let gathered = self.gather(parts.as_mut_bytes());
        let failed = gathered.is_err() || parts.iter().any(|part| part[1] == u64::MAX);
        match own {
            Some((local, layout)) if !failed => Ok(Global {
                local,
                layout,
                rank: self.rank,
                parts: parts.iter().map(|&[address, len]| Part { address, len }).collect(),
                element: PhantomData,
            }),
            own => {
                if let Some((local, layout)) = own {
                    // SAFETY: just allocated with this layout, and no rank uses it.
                    unsafe { self.dealloc(local, layout) };
                }
                gathered?;
                Err(Error::OutOfMemory { bytes: len.saturating_mul(size_of::<T>()) })
            }
        }
    }

    /// `ARMCI_Free`, collective.
    pub fn free<T>(&self, global: Global<T>) -> Result<(), Error> {
        self.barrier()?;
        // SAFETY: allocated by `malloc` with this layout; all ranks have given up their pointers to it, which borrow
        // their `Global`, and their operations are complete.
        unsafe { self.dealloc(global.local, global.layout) };
        Ok(())
    }

    fn alloc(&self, layout: Layout) -> Option<NonNull<u8>> {
        match &self.way {
            // SAFETY: callers do not ask for zero bytes.
            Way::Alone(_) => NonNull::new(unsafe { alloc_zeroed(layout) }),
            Way::Proxy(link) => link.port().alloc(layout),
        }
    }

    /// # Safety
    /// `memory` must come from `alloc` with this layout, or be dangling with a size of zero, and not be used afterwards.
    unsafe fn dealloc(&self, memory: NonNull<u8>, layout: Layout) {
        if layout.size() == 0 {
            return;
        }
        // SAFETY: by the caller.
        unsafe {
            match &self.way {
                Way::Alone(_) => dealloc(memory.as_ptr(), layout),
                Way::Proxy(link) => link.port().dealloc(memory, layout),
            }
        }
    }

    /// `ARMCI_Put`: copies `source` to `target`. On return `source` may be changed; [`fence`](Self::fence)
    /// tells when the data are there.
    pub fn put<T: Element>(&self, source: &[T], target: GlobalPtr<'_, T>) -> Result<(), Error> {
        let under_way = self.put_unfinished(source, target)?;
        self.finish(under_way).map(drop)
    }

    /// Starts a put whose source must stay as it is until what is returned has ended.
    fn put_unfinished<T: Element>(&self, source: &[T], target: GlobalPtr<'_, T>) -> Result<Started, Error> {
        target.check(source.len())?;
        let bytes = source.as_bytes();
        let piece = Piece { start: bytes.as_ptr().cast_mut(), len: bytes.len() };
        if piece.len <= INLINE_BYTES {
            // The data are in the request: complete locally as soon as that is in the ring.
            self.start_put(piece, target.rank, target.address)?;
            return Ok(Started::Done(0));
        }
        if self.in_window(piece.start, piece.len) {
            return self.start_put(piece, target.rank, target.address);
        }
        self.through_window(piece.start, piece.len, Direction::Out, |offset, piece| {
            self.start_put(piece, target.rank, target.address + offset as u64)
        })?;
        Ok(Started::Done(0))
    }

    /// `ARMCI_Get`: copies from `source` into `destination`.
    pub fn get<T: Element>(&self, destination: &mut [T], source: GlobalPtr<'_, T>) -> Result<(), Error> {
        source.check(destination.len())?;
        let bytes = destination.as_mut_bytes();
        self.through_window(bytes.as_mut_ptr(), bytes.len(), Direction::In, |offset, piece| {
            self.start(Request {
                opcode: Opcode::Get as u8,
                rank: source.rank,
                remote: source.address + offset as u64,
                local: piece.address(),
                len: piece.len as u64,
                ..Request::default()
            })
        })
    }

    /// `ARMCI_Acc`: `target[i] += scale * source[i]`, atomically for each element.
    pub fn accumulate<T: Accumulate>(&self, scale: T, source: &[T], target: GlobalPtr<'_, T>) -> Result<(), Error> {
        target.check(source.len())?;
        let bytes = source.as_bytes();
        self.through_window(bytes.as_ptr().cast_mut(), bytes.len(), Direction::Out, |offset, piece| {
            self.start_accumulate(scale, piece, target.rank, target.address + offset as u64)
        })
    }

    /// `ARMCI_Rmw` with `ARMCI_FETCH_AND_ADD` or its `_LONG` form: adds `value` and returns what was there.
    pub fn fetch_add<T: RmwWord>(&self, target: GlobalPtr<'_, T>, value: T) -> Result<T, Error> {
        self.read_modify_write(T::FETCH_ADD as u8, target, value)
    }

    /// `ARMCI_Rmw` with `ARMCI_SWAP` or its `_LONG` form: writes `value` and returns what was there.
    pub fn swap<T: RmwWord>(&self, target: GlobalPtr<'_, T>, value: T) -> Result<T, Error> {
        self.read_modify_write(T::SWAP as u8, target, value)
    }

    fn read_modify_write<T: RmwWord>(&self, kind: u8, target: GlobalPtr<'_, T>, value: T) -> Result<T, Error> {
        target.check(1)?;
        let started = self.start(Request {
            opcode: Opcode::ReadModifyWrite as u8,
            kind,
            rank: target.rank,
            remote: target.address,
            len: size_of::<T>() as u64,
            operand: [value.to_wire(), 0],
            ..Request::default()
        })?;
        self.finish(started).map(T::from_wire)
    }

    /// `ARMCI_Put_flag`: puts `source` to `target`, then writes `value` to `flag` on the same rank, where
    /// [`wait_flag`](Self::wait_flag) waits for it. Who sees the flag sees the data.
    ///
    /// # Panics
    /// If `target` and `flag` are on different ranks, between which there is no order.
    pub fn put_flag<T: Element>(
        &self,
        source: &[T],
        target: GlobalPtr<'_, T>,
        flag: GlobalPtr<'_, u64>,
        value: u64,
    ) -> Result<(), Error> {
        assert_eq!(target.rank, flag.rank, "data and flag of a put_flag must be on one rank");
        flag.check(1)?;
        let under_way = self.put_unfinished(source, target)?;
        self.unfenced.set(true);
        self.start_word(flag.rank, flag.address, value, Flags::NOTIFY)?;
        self.finish(under_way).map(drop)
    }

    /// Waits until `ready` accepts element `index` of this rank's own part of `flags`, and returns it. Another rank must
    /// write it by [`put_flag`](Self::put_flag).
    pub fn wait_flag(&self, flags: &Global<u64>, index: usize, ready: impl Fn(u64) -> bool) -> Result<u64, Error> {
        let mut value = flags.load(index)?;
        // Without a proxy nobody else can change it.
        if let Way::Proxy(link) = &self.way {
            link.wait_until(|| {
                value = flags.load(index).unwrap_or(value);
                ready(value)
            })?;
        }
        Ok(value)
    }

    /// `ARMCI_Fence`: waits until all of this rank's operations on `rank` are complete there.
    pub fn fence(&self, rank: usize) -> Result<(), Error> {
        assert!(rank < self.size(), "no rank {rank} in a job of {}", self.size);
        self.fence_wire(rank as u32)
    }

    /// `ARMCI_AllFence`: waits until all of this rank's operations are complete at their targets.
    pub fn all_fence(&self) -> Result<(), Error> {
        if !self.unfenced.get() {
            return Ok(());
        }
        self.fence_wire(ALL_RANKS)?;
        self.unfenced.set(false);
        Ok(())
    }

    /// Asks the proxy, whether or not anything was put.
    fn fence_wire(&self, rank: u32) -> Result<(), Error> {
        let started = self.start(Request { opcode: Opcode::Fence as u8, rank, ..Request::default() })?;
        self.finish(started).map(drop)
    }

    /// Non-blocking operations: `work` starts them on the [`Nonblocking`] that it is given, and all of them are complete
    /// locally when this returns.
    ///
    /// Buffers are borrowed for the whole scope, so that the compiler knows that nobody reads or frees them
    /// while the proxy is at work.
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

    /// Starts `request`.
    pub(crate) fn start(&self, request: Request) -> Result<Started, Error> {
        match &self.way {
            Way::Alone(window) => memory::execute(0, &request, core::slice::from_ref(window))
                .map(|effect| Started::Done(effect.value))
                .map_err(Error::Refused),
            Way::Proxy(link) => link.start(request).map(Started::UnderWay),
        }
    }

    /// Waits for the end of what was started and returns the completion's value.
    pub(crate) fn finish(&self, started: Started) -> Result<u64, Error> {
        match (started, &self.way) {
            (Started::UnderWay(ticket), Way::Proxy(link)) => link.finish(ticket),
            (Started::Done(value), _) => Ok(value),
            (Started::UnderWay(_), Way::Alone(_)) => unreachable!("without a proxy nothing is under way"),
        }
    }

    /// Starts a put of one aligned 64-bit word, which the target sees whole and after all earlier puts.
    pub(crate) fn start_word(&self, rank: u32, remote: u64, word: u64, flags: Flags) -> Result<Started, Error> {
        self.start(Request {
            opcode: Opcode::Put as u8,
            flags: (flags | Flags::INLINE).bits(),
            rank,
            remote,
            len: 8,
            operand: [word, 0],
            ..Request::default()
        })
    }

    /// Starts a put of memory in the window, or of so little that it travels in the request.
    pub(crate) fn start_put(&self, piece: Piece, rank: u32, remote: u64) -> Result<Started, Error> {
        self.unfenced.set(true);
        let mut request =
            Request { opcode: Opcode::Put as u8, rank, remote, len: piece.len as u64, ..Request::default() };
        if piece.len <= INLINE_BYTES {
            request.flags = Flags::INLINE.bits();
            // SAFETY: the piece is readable for its length, which fits the operand.
            unsafe { ptr::copy_nonoverlapping(piece.start, request.operand.as_mut_ptr().cast(), piece.len) };
        } else {
            request.local = piece.address();
        }
        self.start(request)
    }

    /// Starts an accumulate of memory in the window.
    pub(crate) fn start_accumulate<T: Accumulate>(
        &self,
        scale: T,
        piece: Piece,
        rank: u32,
        remote: u64,
    ) -> Result<Started, Error> {
        self.unfenced.set(true);
        self.start(Request {
            opcode: Opcode::Accumulate as u8,
            kind: T::KIND as u8,
            rank,
            remote,
            local: piece.address(),
            len: piece.len as u64,
            operand: scale.to_operand(),
            ..Request::default()
        })
    }

    /// Whether the proxy can reach the bytes at `start`.
    pub(crate) fn in_window(&self, start: *const u8, len: usize) -> bool {
        match &self.way {
            Way::Alone(_) => true,
            Way::Proxy(link) => len == 0 || link.port().contains(start.addr(), len),
        }
    }

    /// Does a blocking operation on `len` bytes at `start`: at once where the proxy can reach them, else piece by piece
    /// through the bounce buffer. `start_piece` gets the offset of each piece and the piece.
    fn through_window(
        &self,
        start: *mut u8,
        len: usize,
        direction: Direction,
        start_piece: impl Fn(usize, Piece) -> Result<Started, Error>,
    ) -> Result<(), Error> {
        if self.in_window(start, len) {
            return self.finish(start_piece(0, Piece { start, len })?).map(drop);
        }
        let bounce = self.bounce()?;
        for offset in (0..len).step_by(BOUNCE) {
            let piece = Piece { start: bounce.as_ptr(), len: BOUNCE.min(len - offset) };
            // SAFETY: the bounce buffer is ours alone and long enough; `start` is valid for `len` bytes.
            unsafe {
                let here = start.add(offset);
                if direction == Direction::Out {
                    ptr::copy_nonoverlapping(here, piece.start, piece.len);
                }
                self.finish(start_piece(offset, piece)?)?;
                if direction == Direction::In {
                    ptr::copy_nonoverlapping(piece.start, here, piece.len);
                }
            }
        }
        Ok(())
    }

    fn bounce(&self) -> Result<NonNull<u8>, Error> {
        if let Some(&(bounce, _)) = self.bounce.get() {
            return Ok(bounce);
        }
        let layout = const {
            match Layout::from_size_align(BOUNCE, 4096) {
                Ok(layout) => layout,
                Err(_) => unreachable!(),
            }
        };
        let bounce = self.alloc(layout).ok_or(Error::OutOfMemory { bytes: BOUNCE })?;
        Ok(self.bounce.get_or_init(|| (bounce, layout)).0)
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

/// Which way a blocking operation's data go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// From this rank.
    Out,
    /// To this rank.
    In,
}

/// Memory of this rank that an operation works on.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    pub start: *mut u8,
    pub len: usize,
}

impl Piece {
    /// The address for a request.
    pub fn address(self) -> u64 {
        self.start.expose_provenance() as u64
    }
}

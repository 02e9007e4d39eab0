//! Moving and accumulating: every put, get and accumulate, of whatever shape, is a sequence of
//! [`Row`]s.
//!
//! Each row is done at once where the target's memory can be [reached](crate::path::direct), else by the
//! proxy. A row that must go to the proxy takes the rest of its operation with it, so rows are done
//! in their order.

use core::alloc::Layout;
use core::iter;
use core::ptr::{self, NonNull};
use std::prelude::v1::*;

use crate::api::armci::{Armci, Error};
use crate::path::direct::{Space, Visit};
use crate::path::link::Ticket;
use crate::serve::memory::{self, Fault, Side};
use crate::wire::request::INLINE_BYTES;
use crate::wire::{AccKind, Flags, Opcode, Request, RmwKind};

/// What is done with each [`Row`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Copy from the local to the remote place.
    Put,
    /// Copy from the remote to the local place.
    Get,
    /// `remote += scale * local`, element by element, atomically for each element.
    Accumulate {
        /// The elements' type.
        kind: AccKind,
        /// The scale: the bytes of one element.
        scale: [u64; 2],
    },
}

/// Consecutive bytes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// This rank's memory. It is only written by a get.
    pub local: *mut u8,
    /// Address at the target, in its own space.
    pub remote: u64,
    /// Bytes.
    pub len: usize,
}

/// What of an operation is still with the proxy: nothing, if it was done directly.
#[derive(Debug, Default)]
#[must_use = "an operation is complete when it has been waited for"]
pub struct Pending {
    tickets: Vec<Ticket>,
}

/// Bytes that go through the bounce buffer at a time.
const BOUNCE: usize = 128 * 1024;
/// Bytes that are accumulated before others may have the target's lock.
const LOCKED_BYTES: usize = 32 * 1024;

impl Pending {
    /// Whether nothing of it was ever with the proxy.
    pub fn is_complete(&self) -> bool {
        self.tickets.is_empty()
    }
}

impl Armci {
    /// Starts an operation on `rank`, row by row. What is returned must be [waited](Self::wait)
    /// for; until then the memory of puts and accumulates must not change, and that of gets not be
    /// used.
    ///
    /// # Errors
    /// [`Error::NoRank`], [`Error::Refused`] for a row that is not in the target's public memory,
    /// or not made of whole elements (what rows before it did is done). Otherwise what
    /// [`put`](Self::put) says.
    ///
    /// # Safety
    /// Every row's `local` must be valid for its length, for reads, or for writes if it is a get,
    /// until the operation is complete. Every row's `remote` must be in memory that ranks allocated
    /// for each other: what a rank has allocated otherwise may lie beside it.
    #[inline]
    pub unsafe fn transfer(
        &self,
        operation: Operation,
        rank: usize,
        rows: impl Iterator<Item = Row>,
    ) -> Result<Pending, Error> {
        let rank = self.check_rank(rank)?;
        // SAFETY: by the caller.
        unsafe { self.transfer_in(Space::Public, operation, rank, rows) }
    }

    /// The same for any place of a rank that there is.
    ///
    /// # Safety
    /// As for [`transfer`](Self::transfer).
    #[inline]
    pub(crate) unsafe fn transfer_in(
        &self,
        space: Space,
        operation: Operation,
        rank: u32,
        mut rows: impl Iterator<Item = Row>,
    ) -> Result<Pending, Error> {
        if let Some(visit) = self.visit(rank) {
            // SAFETY: by the caller.
            let Some(left) = (unsafe { directly(&visit, space, operation, &mut rows) }) else {
                return Ok(Pending::default());
            };
            drop(visit);
            let mut rows = iter::once(left).chain(rows);
            if self.map_on_demand(rank, left.remote) {
                // SAFETY: by the caller.
                return unsafe { self.transfer_rest(space, operation, rank, &mut rows) };
            }
            // SAFETY: by the caller.
            return unsafe { self.by_proxy(space, operation, rank, &mut rows) };
        }
        // SAFETY: by the caller.
        unsafe { self.by_proxy(space, operation, rank, &mut rows) }
    }

    /// Goes on after something was mapped.
    ///
    /// # Safety
    /// As for [`transfer`](Self::transfer).
    #[cold]
    unsafe fn transfer_rest(
        &self,
        space: Space,
        operation: Operation,
        rank: u32,
        rows: &mut dyn Iterator<Item = Row>,
    ) -> Result<Pending, Error> {
        // A mapping makes less to be mapped, so this ends.
        // SAFETY: by the caller.
        unsafe { self.transfer_in(space, operation, rank, rows) }
    }

    /// `ARMCI_Wait`: waits until an operation is complete locally.
    pub fn wait(&self, pending: Pending) -> Result<(), Error> {
        for ticket in pending.tickets {
            self.link()?.finish(ticket)?;
        }
        Ok(())
    }

    /// `ARMCI_Test`: whether an operation is complete locally.
    pub fn test(&self, pending: &Pending) -> Result<bool, Error> {
        for &ticket in &pending.tickets {
            if !self.link()?.test(ticket)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// [`transfer`](Self::transfer) of one row.
    ///
    /// # Errors
    /// As for [`transfer`](Self::transfer).
    ///
    /// # Safety
    /// As for [`transfer`](Self::transfer).
    #[inline]
    pub unsafe fn transfer_row(
        &self,
        operation: Operation,
        rank: usize,
        row: Row,
    ) -> Result<Pending, Error> {
        // SAFETY: by the caller.
        unsafe {
            match self.directly_done(operation, rank, row) {
                true => Ok(Pending::default()),
                false => self.transfer(operation, rank, iter::once(row)),
            }
        }
    }

    /// [`transfer`](Self::transfer) of one row, waited for.
    ///
    /// # Errors
    /// As for [`transfer`](Self::transfer).
    ///
    /// # Safety
    /// As for [`transfer`](Self::transfer).
    #[inline]
    pub unsafe fn move_row(
        &self,
        operation: Operation,
        rank: usize,
        row: Row,
    ) -> Result<(), Error> {
        // SAFETY: by the caller.
        unsafe {
            match self.directly_done(operation, rank, row) {
                true => Ok(()),
                false => self.wait(self.transfer(operation, rank, iter::once(row))?),
            }
        }
    }

    /// Does what most operations are: one row that is reached directly. False if it is not one,
    /// with nothing done.
    ///
    /// # Safety
    /// As for [`transfer`](Self::transfer).
    #[inline]
    unsafe fn directly_done(&self, operation: Operation, rank: usize, row: Row) -> bool {
        let Ok(rank) = u32::try_from(rank) else { return false };
        let Some(visit) = self.visit(rank) else { return false };
        let Some(target) = visit.reach(Space::Public, row.remote, row.len) else { return false };
        // SAFETY: the local side by the caller, the remote one as long as the visit lasts.
        unsafe {
            match operation {
                Operation::Put => {
                    memory::put(row.local, target.as_ptr(), row.len);
                    visit.count(|tally| &tally.put, row.len);
                }
                Operation::Get => {
                    memory::put(target.as_ptr(), row.local, row.len);
                    visit.count(|tally| &tally.get, row.len);
                }
                Operation::Accumulate { kind, scale } => {
                    if row.len > LOCKED_BYTES || !row.len.is_multiple_of(kind.size()) {
                        return false;
                    }
                    let Some(_held) = visit.lock() else { return false };
                    memory::accumulate(kind, &scale, row.local, target.as_ptr(), row.len);
                    visit.count(|tally| &tally.accumulate, row.len);
                }
            }
        }
        true
    }

    /// `ARMCI_Rmw` and more: changes one word of `rank` and returns what was there.
    ///
    /// # Errors
    /// [`Error::NoRank`], [`Error::Refused`] if the word is not aligned or not in the target's
    /// public memory.
    ///
    /// # Safety
    /// As for [`transfer`](Self::transfer): `remote` must be in memory that ranks allocated for
    /// each other.
    #[inline]
    pub unsafe fn read_modify_write(
        &self,
        kind: RmwKind,
        rank: usize,
        remote: u64,
        operand: [u64; 2],
    ) -> Result<u64, Error> {
        let rank = self.check_rank(rank)?;
        self.read_modify_write_in(Space::Public, kind, rank, remote, operand)
    }

    /// The same for any place of a rank that there is.
    #[inline]
    pub(crate) fn read_modify_write_in(
        &self,
        space: Space,
        kind: RmwKind,
        rank: u32,
        remote: u64,
        operand: [u64; 2],
    ) -> Result<u64, Error> {
        if let Some(visit) = self.visit(rank)
            && let Some(word) = visit.reach(space, remote, kind.size())
            && word.addr().get().is_multiple_of(kind.size())
            && let Some(_held) = visit.lock()
        {
            if space == Space::Public {
                visit.count(|tally| &tally.rmw, kind.size());
            }
            // SAFETY: mapped during the visit, aligned, and the lock is held.
            return Ok(unsafe { memory::read_modify_write(kind, word.as_ptr(), operand) });
        }
        if space == Space::Public && self.map_on_demand(rank, remote) {
            return self.read_modify_write_in(space, kind, rank, remote, operand);
        }
        if !remote.is_multiple_of(kind.size() as u64) {
            return Err(Error::Refused(Fault::Misaligned { address: remote, align: kind.size() }));
        }
        self.check_place(space, rank, remote, kind.size())?;
        let ticket = self.link()?.start(Request {
            opcode: Opcode::ReadModifyWrite as u8,
            flags: flags(space).bits(),
            kind: kind as u8,
            rank,
            remote,
            len: kind.size() as u64,
            operand,
            ..Request::default()
        })?;
        self.link()?.finish(ticket)
    }

    /// Writes one aligned 64-bit word of `rank` whole and after all earlier puts, and wakes the
    /// rank if it waits.
    pub(crate) fn tell(
        &self,
        space: Space,
        rank: u32,
        remote: u64,
        word: u64,
    ) -> Result<(), Error> {
        if let Some(visit) = self.visit(rank)
            && visit.store(space, remote, word).is_some()
        {
            let by_proxy = visit.wake(rank);
            drop(visit);
            return if by_proxy { self.wake_by_proxy(rank) } else { Ok(()) };
        }
        if space == Space::Public && self.map_on_demand(rank, remote) {
            return self.tell(space, rank, remote, word);
        }
        self.check_place(space, rank, remote, 8)?;
        self.unfenced.set(true);
        // Not waited for: the answer comes by other ways, and the tag is free when it has ended.
        let request = Request {
            opcode: Opcode::Put as u8,
            flags: (flags(space) | Flags::INLINE | Flags::NOTIFY).bits(),
            rank,
            remote,
            len: 8,
            operand: [word, 0],
            ..Request::default()
        };
        self.link()?.start(request).map(drop)
    }

    /// Wakes `rank` if it waits, after something that was written directly.
    pub(crate) fn wake(&self, rank: u32) -> Result<(), Error> {
        match self.visit(rank).map(|visit| visit.wake(rank)) {
            Some(false) => Ok(()),
            _ => self.wake_by_proxy(rank),
        }
    }

    fn wake_by_proxy(&self, rank: u32) -> Result<(), Error> {
        let flags = (Flags::INLINE | Flags::NOTIFY).bits();
        self.link()?
            .start(Request { opcode: Opcode::Put as u8, flags, rank, ..Request::default() })
            .map(drop)
    }

    /// Asks the proxy.
    ///
    /// # Safety
    /// As for [`transfer`](Self::transfer).
    #[cold]
    unsafe fn by_proxy(
        &self,
        space: Space,
        operation: Operation,
        rank: u32,
        rows: &mut dyn Iterator<Item = Row>,
    ) -> Result<Pending, Error> {
        let mut pending = Pending::default();
        let mut bounced = Bounced::default();
        for row in rows {
            self.check_row(space, operation, rank, row)?;
            if row.len == 0 {
                continue;
            }
            let to_stay = operation == Operation::Put && row.len <= INLINE_BYTES;
            if to_stay || self.link()?.port().contains(row.local.addr(), row.len) {
                // SAFETY: by the caller.
                unsafe { self.start_row(space, operation, rank, row, &mut pending)? };
                continue;
            }
            // The proxy cannot reach it there: through the bounce buffer, in as many pieces as it
            // takes.
            let bounce = self.bounce()?;
            let mut done = 0;
            while done < row.len {
                if bounced.bytes == BOUNCE {
                    self.wait(core::mem::take(&mut pending))?;
                    bounced.land();
                }
                let len = (BOUNCE - bounced.bytes).min(row.len - done);
                // SAFETY: within the row, and within the bounce buffer, behind what it holds
                // already.
                let (local, inside) =
                    unsafe { (row.local.add(done), bounce.as_ptr().add(bounced.bytes)) };
                if operation == Operation::Get {
                    bounced.back.push((inside, local, len));
                } else {
                    // SAFETY: as above; the bounce buffer is nobody else's.
                    unsafe { ptr::copy_nonoverlapping(local, inside, len) };
                }
                let piece = Row { local: inside, remote: row.remote + done as u64, len };
                // SAFETY: the piece is in the bounce buffer, which is not used again before it is
                // complete.
                unsafe { self.start_row(space, operation, rank, piece, &mut pending)? };
                // In steps of the longest element, so that a row is cut between elements wherever
                // the buffer ends.
                bounced.bytes += len.next_multiple_of(16).min(BOUNCE - bounced.bytes);
                done += len;
            }
        }
        if bounced.bytes > 0 {
            self.wait(core::mem::take(&mut pending))?;
            bounced.land();
        }
        Ok(pending)
    }

    /// Starts a row that is in the window, or a put of so little that it travels in the request.
    ///
    /// # Safety
    /// As for [`transfer`](Self::transfer).
    unsafe fn start_row(
        &self,
        space: Space,
        operation: Operation,
        rank: u32,
        row: Row,
        pending: &mut Pending,
    ) -> Result<(), Error> {
        let mut request = Request {
            flags: flags(space).bits(),
            rank,
            remote: row.remote,
            local: row.local.expose_provenance() as u64,
            len: row.len as u64,
            ..Request::default()
        };
        match operation {
            Operation::Put if row.len <= INLINE_BYTES => {
                self.unfenced.set(true);
                request.opcode = Opcode::Put as u8;
                request.flags |= Flags::INLINE.bits();
                request.local = 0;
                // SAFETY: the row is readable for its length, which fits the operand.
                unsafe {
                    ptr::copy_nonoverlapping(
                        row.local,
                        request.operand.as_mut_ptr().cast(),
                        row.len,
                    )
                };
                // The data are in the request: complete locally as soon as that is in the ring.
                return self.link()?.start(request).map(drop);
            }
            Operation::Put => request.opcode = Opcode::Put as u8,
            Operation::Get => request.opcode = Opcode::Get as u8,
            Operation::Accumulate { kind, scale } => {
                request.opcode = Opcode::Accumulate as u8;
                request.kind = kind as u8;
                request.operand = scale;
            }
        }
        if operation != Operation::Get {
            self.unfenced.set(true);
        }
        pending.tickets.push(self.link()?.start(request)?);
        Ok(())
    }

    /// Refuses what the proxy would not do: to ask it would fail the job.
    fn check_row(
        &self,
        space: Space,
        operation: Operation,
        rank: u32,
        row: Row,
    ) -> Result<(), Error> {
        self.check_place(space, rank, row.remote, row.len)?;
        if let Operation::Accumulate { kind, .. } = operation
            && !row.len.is_multiple_of(kind.size())
        {
            let fault = Fault::Length { len: row.len as u64, opcode: Opcode::Accumulate };
            return Err(Error::Refused(fault));
        }
        Ok(())
    }

    fn check_place(&self, space: Space, rank: u32, address: u64, len: usize) -> Result<(), Error> {
        let Some(public) =
            self.public.get(rank as usize).filter(|_| space == Space::Public && len != 0)
        else {
            return Ok(());
        };
        match address.checked_add(len as u64) {
            Some(end) if address >= public.start && end <= public.end => Ok(()),
            _ => Err(Error::Refused(Fault::Range {
                side: Side::Remote,
                address,
                len: len as u64,
                start: public.start,
                end: public.end,
            })),
        }
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

fn flags(space: Space) -> Flags {
    match space {
        Space::Public => Flags::empty(),
        Space::Mailbox => Flags::MAILBOX,
    }
}

/// What is in the bounce buffer.
#[derive(Default)]
struct Bounced {
    bytes: usize,
    /// What gets leave there: from, to, bytes.
    back: Vec<(*const u8, *mut u8, usize)>,
}

impl Bounced {
    /// All pieces are complete: brings home what gets left in the buffer, and empties it.
    fn land(&mut self) {
        for (from, to, len) in self.back.drain(..) {
            // SAFETY: from the bounce buffer to the rows of the operation, both valid by
            // `by_proxy`.
            unsafe { ptr::copy_nonoverlapping(from, to, len) };
        }
        self.bytes = 0;
    }
}

/// Does rows here and now, until there are no more, or one cannot be reached or is not as it must
/// be: returns that, as far as it is not done.
///
/// # Safety
/// The rows' local memory must be valid.
#[inline]
unsafe fn directly(
    visit: &Visit<'_>,
    space: Space,
    operation: Operation,
    rows: &mut impl Iterator<Item = Row>,
) -> Option<Row> {
    let mut bytes = 0;
    let left = match operation {
        Operation::Put => rows.find(|row| {
            let Some(target) = visit.reach(space, row.remote, row.len) else { return true };
            // SAFETY: the local side by the caller, the remote one as long as the visit lasts.
            unsafe { memory::put(row.local, target.as_ptr(), row.len) };
            bytes += row.len;
            false
        }),
        Operation::Get => rows.find(|row| {
            let Some(source) = visit.reach(space, row.remote, row.len) else { return true };
            // SAFETY: as above; it knows the small sizes that are frequent.
            unsafe { memory::put(source.as_ptr(), row.local, row.len) };
            bytes += row.len;
            false
        }),
        // SAFETY: by the caller.
        Operation::Accumulate { kind, scale } => unsafe {
            accumulate(visit, space, kind, &scale, rows, &mut bytes)
        },
    };
    if space == Space::Public {
        visit.count(
            |tally| match operation {
                Operation::Put => &tally.put,
                Operation::Get => &tally.get,
                Operation::Accumulate { .. } => &tally.accumulate,
            },
            bytes,
        );
    }
    left
}

/// # Safety
/// The rows' local memory must be valid.
#[inline]
unsafe fn accumulate(
    visit: &Visit<'_>,
    space: Space,
    kind: AccKind,
    scale: &[u64; 2],
    rows: &mut impl Iterator<Item = Row>,
    bytes: &mut usize,
) -> Option<Row> {
    let mut held = None;
    let mut budget = LOCKED_BYTES;
    for mut row in rows {
        let reached =
            visit.reach(space, row.remote, row.len).filter(|_| row.len.is_multiple_of(kind.size()));
        let Some(mut target) = reached else {
            if row.len == 0 {
                continue;
            }
            return Some(row);
        };
        while row.len > 0 {
            if held.is_none() {
                let Some(lock) = visit.lock() else { return Some(row) };
                held = Some(lock);
                budget = LOCKED_BYTES;
            }
            // Whole elements: the budget is a multiple of their sizes, at the start and after each
            // row.
            let len = row.len.min(budget);
            // SAFETY: within the row, whose local side is valid by the caller and whose remote side
            // has been reached.
            unsafe {
                memory::accumulate(kind, scale, row.local, target.as_ptr(), len);
                row.local = row.local.add(len);
                target = target.add(len);
            }
            row.remote += len as u64;
            row.len -= len;
            *bytes += len;
            budget -= len;
            if budget == 0 {
                held = None;
            }
        }
    }
    None
}

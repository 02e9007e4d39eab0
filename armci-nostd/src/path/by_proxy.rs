//! Asking the proxy: what cannot be done directly becomes requests on the ring.

use core::mem::take;
use core::ptr;
use std::prelude::v1::*;

use crate::error::{Error, Fault};
use crate::path::bounce::Bounced;
use crate::path::link::Ticket;
use crate::path::paths::Paths;
use crate::path::rows::{Operation, Row, TargetSpace};
use crate::wire::request::{ALL_RANKS, Flags, INLINE_BYTES, Opcode, Request, RmwKind};

/// What of an operation is still with the proxy: nothing, if it was done directly.
#[derive(Debug, Default)]
#[must_use = "an operation is complete when it has been waited for"]
pub struct Pending {
    tickets: Vec<Ticket>,
}

impl Pending {
    /// Whether nothing of it was ever with the proxy.
    pub fn is_complete(&self) -> bool {
        self.tickets.is_empty()
    }
}

impl Paths {
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

    /// Does rows by the proxy.
    ///
    /// # Safety
    /// As for [`transfer`](Self::transfer).
    #[cold]
    pub(super) unsafe fn rows_by_proxy(
        &self,
        space: TargetSpace,
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
            if to_stay || self.link()?.platform().contains(row.local.addr(), row.len) {
                // SAFETY: by the caller.
                unsafe { self.start_row(space, operation, rank, row, &mut pending)? };
                continue;
            }
            // The proxy cannot reach it there: through the bounce buffer, in as many pieces as it
            // takes.
            let buffer = self.bounce_buffer()?;
            let mut done = 0;
            while done < row.len {
                if bounced.is_full() {
                    self.wait(take(&mut pending))?;
                    bounced.land();
                }
                // SAFETY: within the row, which is valid by the caller; the buffer is used for this
                // operation only until it is complete.
                let inside = unsafe {
                    let rest = Row {
                        local: row.local.add(done),
                        remote: row.remote + done as u64,
                        len: row.len - done,
                    };
                    bounced.take_in(buffer, rest, operation == Operation::Get)
                };
                // SAFETY: the piece is in the bounce buffer, which is not used again before it is
                // complete.
                unsafe { self.start_row(space, operation, rank, inside, &mut pending)? };
                done += inside.len;
            }
        }
        if !bounced.is_empty() {
            self.wait(take(&mut pending))?;
            bounced.land();
        }
        Ok(pending)
    }

    /// Starts a row that is in the window, or a put of so few bytes that they travel in the
    /// request.
    ///
    /// # Safety
    /// As for [`transfer`](Self::transfer).
    unsafe fn start_row(
        &self,
        space: TargetSpace,
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

    /// Changes one word by the proxy.
    pub(super) fn read_modify_write_by_proxy(
        &self,
        space: TargetSpace,
        kind: RmwKind,
        rank: u32,
        remote: u64,
        operand: [u64; 2],
    ) -> Result<u64, Error> {
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

    /// Writes a word by the proxy, which also wakes the rank.
    pub(super) fn tell_by_proxy(
        &self,
        space: TargetSpace,
        rank: u32,
        remote: u64,
        word: u64,
    ) -> Result<(), Error> {
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

    /// Has the proxy wake `rank` if it waits.
    pub(super) fn wake_by_proxy(&self, rank: u32) -> Result<(), Error> {
        let flags = (Flags::INLINE | Flags::NOTIFY).bits();
        self.link()?
            .start(Request { opcode: Opcode::Put as u8, flags, rank, ..Request::default() })
            .map(drop)
    }

    /// Refuses what the proxy would not do: to ask for it would fail the job.
    fn check_row(
        &self,
        space: TargetSpace,
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

    fn check_place(
        &self,
        space: TargetSpace,
        rank: u32,
        address: u64,
        len: usize,
    ) -> Result<(), Error> {
        match space {
            TargetSpace::Public => self.check_public(rank, address, len).map_err(Error::Refused),
            TargetSpace::Mailbox => Ok(()),
        }
    }
}

fn flags(space: TargetSpace) -> Flags {
    match space {
        TargetSpace::Public => Flags::empty(),
        TargetSpace::Mailbox => Flags::MAILBOX,
    }
}

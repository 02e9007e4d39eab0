//! Put, get and accumulate: checks what C asks for, and has it done.

use core::ffi::{c_int, c_void};
use core::iter::once;
use std::prelude::v1::*;

use crate::api::strided::Rows;
use crate::capi::allocations::Sharing;
use crate::capi::convert::length;
use crate::capi::handles::When;
use crate::capi::refusal::Refusal;
use crate::capi::runtime::Runtime;
use crate::capi::shapes::{Pieces, Shape};
use crate::capi::task::Task;
use crate::moves::accumulate::accumulate;
use crate::moves::copy::copy;
use crate::path::rows::{Operation, Row};

impl Runtime {
    /// Does one row that has been checked.
    ///
    /// # Safety
    /// As for [`rows`](Self::rows).
    #[inline]
    unsafe fn row(
        &self,
        task: Task,
        rank: usize,
        sharing: Sharing,
        row: Row,
    ) -> Result<(), Refusal> {
        match (sharing, task.when) {
            // SAFETY: by the caller.
            (Sharing::Shared, When::Now) => unsafe {
                Ok(self.armci.move_row(task.operation, rank, row)?)
            },
            // SAFETY: by the caller.
            _ => unsafe { self.rows(task, rank, sharing, once(row)) },
        }
    }

    /// Does rows that have been checked.
    ///
    /// # Safety
    /// The rows' local memory must be valid until the operation is complete; so must the remote one
    /// of a private place.
    unsafe fn rows(
        &self,
        task: Task,
        rank: usize,
        sharing: Sharing,
        rows: impl Iterator<Item = Row>,
    ) -> Result<(), Refusal> {
        if sharing == Sharing::Private {
            for row in rows {
                let remote = core::ptr::with_exposed_provenance_mut(row.remote as usize);
                // SAFETY: both by the caller.
                unsafe { privately(task.operation, row, remote) };
            }
            return Ok(());
        }
        // SAFETY: by the caller.
        let pending = unsafe { self.armci.transfer(task.operation, rank, rows)? };
        // SAFETY: handles are valid or null by the caller.
        unsafe { Ok(self.handles.keep(self.armci, rank, pending, task.when)?) }
    }

    /// Moves one piece.
    ///
    /// # Safety
    /// As `ARMCI_Put` and its relatives say.
    pub unsafe fn contiguous(
        &self,
        task: Task,
        source: *mut c_void,
        target: *mut c_void,
        bytes: c_int,
    ) -> Result<(), Refusal> {
        let rank = self.rank(task.proc)?;
        let len = length(bytes)?;
        if len == 0 {
            return Ok(());
        }
        let (local, remote) = task.sides(source, target);
        if local.is_null() {
            return Err(Refusal::Local);
        }
        let remote = remote.expose_provenance() as u64;
        let sharing = self.sharing(rank, remote, len)?;
        task.check_elements(len)?;
        // SAFETY: by the caller.
        unsafe { self.row(task, rank, sharing, Row { local: local.cast(), remote, len }) }
    }

    /// Moves a strided section.
    ///
    /// # Safety
    /// As `ARMCI_PutS` and its relatives say.
    pub unsafe fn strided(
        &self,
        task: Task,
        source: (*mut c_void, *const c_int),
        target: (*mut c_void, *const c_int),
        count: *const c_int,
        stride_levels: c_int,
    ) -> Result<(), Refusal> {
        let rank = self.rank(task.proc)?;
        let ((local, local_strides), (remote, remote_strides)) = task.sides(source, target);
        // SAFETY: by the caller.
        let shape = unsafe { Shape::read(local_strides, remote_strides, count, stride_levels)? };
        if shape.is_empty() {
            return Ok(());
        }
        if local.is_null() {
            return Err(Refusal::Local);
        }
        let remote = remote.expose_provenance() as u64;
        let extent = shape.extent(remote).ok_or(Refusal::Remote)?;
        let sharing = self.memory.sharing(self.armci, rank, extent)?;
        task.check_elements(shape.row)?;
        let rows = Rows::new(local.cast(), remote, shape.row, shape.levels())?;
        // SAFETY: by the caller.
        unsafe { self.rows(task, rank, sharing, rows) }
    }

    /// Moves pieces that lie anywhere in the memory of one rank.
    ///
    /// # Safety
    /// As `ARMCI_PutV` and its relatives say.
    pub unsafe fn vector(
        &self,
        task: Task,
        sets: *const Pieces,
        count: c_int,
    ) -> Result<(), Refusal> {
        let rank = self.rank(task.proc)?;
        let count = length(count)?;
        if count == 0 {
            return Ok(());
        }
        if sets.is_null() {
            return Err(Refusal::Shape);
        }
        // SAFETY: by the caller.
        let sets = unsafe { core::slice::from_raw_parts(sets, count) };
        let mut all_shared = true;
        for set in sets {
            let (pieces, bytes) = (length(set.count)?, length(set.bytes)?);
            if pieces != 0 && bytes != 0 && (set.sources.is_null() || set.targets.is_null()) {
                return Err(Refusal::Shape);
            }
            task.check_elements(bytes)?;
            // SAFETY: by the caller.
            for row in unsafe { set.rows(task) } {
                if row.local.is_null() {
                    return Err(Refusal::Local);
                }
                all_shared &= self.sharing(rank, row.remote, row.len)? == Sharing::Shared;
            }
        }
        // SAFETY: by the caller.
        let mut rows = sets.iter().flat_map(|set| unsafe { set.rows(task) });
        if all_shared {
            // SAFETY: by the caller.
            return unsafe { self.rows(task, rank, Sharing::Shared, rows) };
        }
        // This rank's own memory, some of it nobody else's.
        rows.try_for_each(|row| {
            let sharing = self.sharing(rank, row.remote, row.len)?;
            // SAFETY: by the caller.
            unsafe { self.row(task, rank, sharing, row) }
        })
    }

    /// Writes an `int` behind all earlier puts.
    ///
    /// # Safety
    /// As `ARMCI_Put_flag` says.
    pub unsafe fn flag(&self, flag: *mut c_int, value: c_int, proc: c_int) -> Result<(), Refusal> {
        let rank = self.rank(proc)?;
        match self.flag_sharing(flag, rank)? {
            // SAFETY: allocated for being changed by operations, as `flag_sharing` says.
            Sharing::Shared => unsafe {
                Ok(self.armci.put_flag_32(rank, flag.addr() as u64, value as u32)?)
            },
            Sharing::Private => {
                let row = Row {
                    local: (&raw const value).cast_mut().cast(),
                    remote: 0,
                    len: size_of::<c_int>(),
                };
                // SAFETY: valid by the caller.
                unsafe { privately(Operation::Put, row, flag.cast()) };
                Ok(())
            }
        }
    }

    /// Checks that a flag of a rank may be written.
    pub fn flag_sharing(&self, flag: *mut c_int, rank: usize) -> Result<Sharing, Refusal> {
        let address = flag.expose_provenance() as u64;
        if !flag.is_aligned() {
            return Err(Refusal::Misaligned(align_of::<c_int>()));
        }
        self.sharing(rank, address, size_of::<c_int>())
    }
}

/// Does a row on memory of this rank that no other can reach.
///
/// # Safety
/// Both sides must be valid for the row's length.
pub(super) unsafe fn privately(operation: Operation, row: Row, remote: *mut u8) {
    // SAFETY: by the caller.
    unsafe {
        match operation {
            Operation::Put => copy(row.local, remote, row.len),
            Operation::Get => copy(remote, row.local, row.len),
            Operation::Accumulate { kind, scale } => {
                accumulate(kind, &scale, row.local, remote, row.len)
            }
        }
    }
}

//! Who does an operation: every put, get and accumulate, of whatever shape, is a sequence of
//! [`Row`]s.
//!
//! Each row is done at once where the target's memory can be [reached](crate::path::visit), else
//! [by the proxy](crate::path::by_proxy). A row that must go to the proxy takes the rest of its
//! operation with it, so rows are done in their order.

use core::iter::once;
use core::ptr::NonNull;

use crate::error::Error;
use crate::moves::accumulate::accumulate;
use crate::moves::copy::copy;
use crate::moves::rmw::read_modify_write;
use crate::path::by_proxy::Pending;
use crate::path::paths::Paths;
use crate::path::rows::{Operation, Row, TargetSpace};
use crate::path::visit::Visit;
use crate::wire::request::{AccKind, RmwKind};

/// Bytes that are accumulated before others may have the target's lock.
const LOCKED_BYTES: usize = 32 * 1024;
/// Bytes that are copied between two looks at the gate: so a rank leaves in time for a recovery
/// line, however long its rows are.
const COPIED_BYTES: usize = 1 << 20;

impl Paths {
    /// Starts an operation on `rank`, row by row. What is returned must be [waited](Self::wait)
    /// for; until then the memory of puts and accumulates must not change, and that of gets not be
    /// used.
    ///
    /// # Errors
    /// [`Error::NoRank`], [`Error::Refused`] for a row that is not in the target's public memory,
    /// or not made of whole elements (what rows before it did is done). Otherwise what
    /// [`put`](crate::Armci::put) says.
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
        unsafe { self.transfer_in(TargetSpace::Public, operation, rank, rows) }
    }

    /// The same for any place of a rank that there is.
    ///
    /// # Safety
    /// As for [`transfer`](Self::transfer).
    #[inline]
    pub(crate) unsafe fn transfer_in(
        &self,
        space: TargetSpace,
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
            let mut rows = once(left).chain(rows);
            if self.map_on_demand(rank, left.remote) {
                // SAFETY: by the caller.
                return unsafe { self.transfer_rest(space, operation, rank, &mut rows) };
            }
            // SAFETY: by the caller.
            return unsafe { self.rows_by_proxy(space, operation, rank, &mut rows) };
        }
        // SAFETY: by the caller.
        unsafe { self.rows_by_proxy(space, operation, rank, &mut rows) }
    }

    /// Goes on after something was mapped.
    ///
    /// # Safety
    /// As for [`transfer`](Self::transfer).
    #[cold]
    unsafe fn transfer_rest(
        &self,
        space: TargetSpace,
        operation: Operation,
        rank: u32,
        rows: &mut dyn Iterator<Item = Row>,
    ) -> Result<Pending, Error> {
        // A mapping leaves less to be mapped, so this ends.
        // SAFETY: by the caller.
        unsafe { self.transfer_in(space, operation, rank, rows) }
    }

    /// [`transfer`](Self::transfer) of one row.
    ///
    /// # Errors
    /// As for [`transfer`](Self::transfer).
    ///
    /// # Safety
    /// As for [`transfer`](Self::transfer).
    #[inline(always)]
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
                false => self.transfer_slowly(operation, rank, row),
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
    #[inline(always)]
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
                false => self.wait(self.transfer_slowly(operation, rank, row)?),
            }
        }
    }

    /// [`transfer`](Self::transfer) of one row that is not done quickly, apart from the code of
    /// those that are.
    ///
    /// # Safety
    /// As for [`transfer`](Self::transfer).
    #[cold]
    unsafe fn transfer_slowly(
        &self,
        operation: Operation,
        rank: usize,
        row: Row,
    ) -> Result<Pending, Error> {
        // SAFETY: by the caller.
        unsafe { self.transfer(operation, rank, once(row)) }
    }

    /// Does what most operations are: one row that is reached directly. False if it is not one,
    /// with nothing done.
    ///
    /// Always inlined, with its callers here, so that the operation is known to the compiler: that
    /// saves a third of the time of a put of one word.
    ///
    /// # Safety
    /// As for [`transfer`](Self::transfer).
    #[inline(always)]
    unsafe fn directly_done(&self, operation: Operation, rank: usize, row: Row) -> bool {
        let Ok(rank) = u32::try_from(rank) else { return false };
        let Some(visit) = self.visit(rank) else { return false };
        let Some(target) = visit.reach(TargetSpace::Public, row.remote, row.len) else {
            return false;
        };
        // SAFETY: the local side by the caller, the remote one as long as the visit lasts.
        unsafe {
            match operation {
                Operation::Put | Operation::Get if row.len > COPIED_BYTES => return false,
                Operation::Put => {
                    copy(row.local, target.as_ptr(), row.len);
                    visit.count(|tally| &tally.put, row.len);
                }
                Operation::Get => {
                    copy(target.as_ptr(), row.local, row.len);
                    visit.count(|tally| &tally.get, row.len);
                }
                Operation::Accumulate { kind, scale } => {
                    if row.len > LOCKED_BYTES || !row.len.is_multiple_of(kind.size()) {
                        return false;
                    }
                    let Some(_held) = visit.lock() else { return false };
                    accumulate(kind, &scale, row.local, target.as_ptr(), row.len);
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
        self.read_modify_write_in(TargetSpace::Public, kind, rank, remote, operand)
    }

    /// The same for any place of a rank that there is.
    #[inline]
    pub(crate) fn read_modify_write_in(
        &self,
        space: TargetSpace,
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
            if space == TargetSpace::Public {
                visit.count(|tally| &tally.rmw, kind.size());
            }
            // SAFETY: mapped during the visit, aligned, and the lock is held.
            return Ok(unsafe { read_modify_write(kind, word.as_ptr(), operand) });
        }
        if space == TargetSpace::Public && self.map_on_demand(rank, remote) {
            return self.read_modify_write_in(space, kind, rank, remote, operand);
        }
        self.read_modify_write_by_proxy(space, kind, rank, remote, operand)
    }

    /// Writes one aligned 64-bit word of `rank` whole and after all earlier puts, and wakes the
    /// rank if it waits.
    pub(crate) fn tell(
        &self,
        space: TargetSpace,
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
        if space == TargetSpace::Public && self.map_on_demand(rank, remote) {
            return self.tell(space, rank, remote, word);
        }
        self.tell_by_proxy(space, rank, remote, word)
    }

    /// Wakes `rank` if it waits, after something that was written directly.
    pub(crate) fn wake(&self, rank: u32) -> Result<(), Error> {
        match self.visit(rank).map(|visit| visit.wake(rank)) {
            Some(false) => Ok(()),
            _ => self.wake_by_proxy(rank),
        }
    }
}

/// Does rows here and now, until there are no more, or one cannot be reached or is not as it must
/// be, or the gate is being closed: returns that one, as far as it is not done.
///
/// # Safety
/// The rows' local memory must be valid.
#[inline]
unsafe fn directly(
    visit: &Visit<'_>,
    space: TargetSpace,
    operation: Operation,
    rows: &mut impl Iterator<Item = Row>,
) -> Option<Row> {
    let mut bytes = 0;
    // SAFETY: by the caller; each side is what `copy_rows` says.
    let left = unsafe {
        match operation {
            Operation::Put => copy_rows(visit, space, rows, &mut bytes, |local, remote, len| {
                copy(local, remote, len)
            }),
            Operation::Get => copy_rows(visit, space, rows, &mut bytes, |local, remote, len| {
                copy(remote, local, len)
            }),
            Operation::Accumulate { kind, scale } => {
                accumulate_rows(visit, space, kind, &scale, rows, &mut bytes)
            }
        }
    };
    // What is still to be mapped comes here once more.
    if space == TargetSpace::Public && (bytes > 0 || left.is_none()) {
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

/// Copies rows, by `one_way` or the other: it gets the local and the remote place, both valid for
/// as many bytes as it is told.
///
/// # Safety
/// The rows' local memory must be valid.
#[inline]
unsafe fn copy_rows(
    visit: &Visit<'_>,
    space: TargetSpace,
    rows: &mut impl Iterator<Item = Row>,
    bytes: &mut usize,
    one_way: impl Fn(*mut u8, *mut u8, usize),
) -> Option<Row> {
    let mut look_at = COPIED_BYTES;
    loop {
        let row = rows.find(|row| {
            if *bytes + row.len > look_at {
                return true;
            }
            let Some(target) = visit.reach(space, row.remote, row.len) else { return true };
            one_way(row.local, target.as_ptr(), row.len);
            *bytes += row.len;
            false
        })?;
        // SAFETY: the row's local side is valid by the caller.
        let left = unsafe { copy_looking(visit, space, row, bytes, &one_way) };
        if left.is_some() {
            return left;
        }
        look_at = *bytes + COPIED_BYTES;
    }
}

/// Copies a row with a look at the gate before each MiB of it. What is shorter stays whole, for the
/// sake of words. Returns what cannot be reached, or must not because the rank has to leave.
///
/// # Safety
/// The row's local memory must be valid.
#[cold]
unsafe fn copy_looking(
    visit: &Visit<'_>,
    space: TargetSpace,
    mut row: Row,
    bytes: &mut usize,
    one_way: &impl Fn(*mut u8, *mut u8, usize),
) -> Option<Row> {
    loop {
        let Some(target) = visit.reach(space, row.remote, row.len) else { return Some(row) };
        if visit.must_end() {
            return Some(row);
        }
        let len = row.len.min(COPIED_BYTES);
        one_way(row.local, target.as_ptr(), len);
        *bytes += len;
        if len == row.len {
            return None;
        }
        // SAFETY: within the row.
        unsafe { row.advance(target, len) };
    }
}

/// # Safety
/// The rows' local memory must be valid.
#[inline]
unsafe fn accumulate_rows(
    visit: &Visit<'_>,
    space: TargetSpace,
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
                let lock = if visit.must_end() { None } else { visit.lock() };
                let Some(lock) = lock else { return Some(row) };
                held = Some(lock);
                budget = LOCKED_BYTES;
            }
            // Whole elements: the budget is a multiple of their sizes, at the start and after each
            // row.
            let len = row.len.min(budget);
            // SAFETY: within the row, whose local side is valid by the caller and whose remote side
            // has been reached.
            unsafe {
                accumulate(kind, scale, row.local, target.as_ptr(), len);
                target = row.advance(target, len);
            }
            *bytes += len;
            budget -= len;
            if budget == 0 {
                held = None;
            }
        }
    }
    None
}

impl Row {
    /// Leaves `len` bytes behind, which are done. Returns what follows them at `target`.
    ///
    /// # Safety
    /// The row and what is at `target` must have as many bytes.
    #[inline]
    unsafe fn advance(&mut self, target: NonNull<u8>, len: usize) -> NonNull<u8> {
        self.remote += len as u64;
        self.len -= len;
        // SAFETY: by the caller.
        unsafe {
            self.local = self.local.add(len);
            target.add(len)
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::Ordering;
    use std::prelude::v1::*;

    use super::*;
    use crate::double::PlainJob;

    /// An operation of many rows, in the midst of which the gate is closed: how many bytes of it
    /// were done directly. All of it must be done in the end.
    fn closed_in_the_midst(operation: Operation, row_len: usize, rows: usize) -> u64 {
        let job = PlainJob::new(1);
        let armci = job.attach(0);
        let target = armci.malloc::<u8>(row_len * rows).unwrap();
        let address = target.address_at(0);
        let mut local: Vec<u8> = (0..row_len * rows).map(|at| at as u8).collect();
        let base = local.as_mut_ptr();
        let rows = (0..rows).map(|at| {
            if at == 2 {
                job.rank(0).gate().close();
            }
            let offset = at * row_len;
            // SAFETY: in bounds.
            let local = unsafe { base.add(offset) };
            Row { local, remote: address + offset as u64, len: row_len }
        });
        job.served(|| {
            // SAFETY: both sides are valid until the operation is complete.
            let pending = unsafe { armci.transfer(operation, 0, rows).unwrap() };
            armci.wait(pending).unwrap();
        });
        job.rank(0).gate().offer(2);
        let mut there = vec![0; local.len()];
        armci.get(&mut there, target.at(0, 0)).unwrap();
        if operation == Operation::Get {
            assert!(local.iter().all(|&byte| byte == 0));
        } else {
            assert_eq!(there, local);
        }
        let tally = &job.rank(0).area().header.tally;
        match operation {
            Operation::Put => tally.put[1].load(Ordering::Relaxed),
            Operation::Get => tally.get[1].load(Ordering::Relaxed) - there.len() as u64,
            Operation::Accumulate { .. } => tally.accumulate[1].load(Ordering::Relaxed),
        }
    }

    #[test]
    fn a_rank_in_the_midst_of_an_operation_leaves_in_time() {
        let accumulate = Operation::Accumulate { kind: AccKind::Int, scale: [1, 0] };
        for operation in [Operation::Put, Operation::Get, accumulate] {
            let limit = if operation == accumulate { LOCKED_BYTES } else { COPIED_BYTES };
            // Short rows, of which many go between two looks.
            let done = closed_in_the_midst(operation, 64, 2 * limit / 64);
            assert_eq!(done, limit as u64, "{operation:?}");
            // Rows longer than what goes between two looks: two are done before the gate closes.
            let done = closed_in_the_midst(operation, limit + 64, 4);
            let two = 2 * (limit as u64 + 64);
            assert!((two..=two + limit as u64).contains(&done), "{done} of {operation:?}");
        }
    }
}

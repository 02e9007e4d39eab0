//! Put, get, accumulate: contiguous, strided, vectors, single values.

use core::ffi::{c_char, c_double, c_float, c_int, c_long, c_void};
use core::iter::once;
use core::ops::Range;
use std::prelude::v1::*;

use super::handle::{Handle, When};
use super::memory::Place;
use super::{Refusal, Runtime, code, length, or_die, weak_aliases};
use crate::api::strided::{Level, MAX_STRIDES, Rows};
use crate::moves;
use crate::path::by_proxy::Pending;
use crate::path::rows::{Operation, Row};
use crate::wire::AccKind;

/// `armci_giov_t`: pieces of the same length.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Pieces {
    sources: *mut *mut c_void,
    targets: *mut *mut c_void,
    count: c_int,
    bytes: c_int,
}

/// Which operation, and to whom.
#[derive(Clone, Copy)]
struct Task {
    operation: Operation,
    proc: c_int,
    when: When,
}

impl Task {
    fn new(operation: Operation, proc: c_int) -> Self {
        Self { operation, proc, when: When::Now }
    }

    fn later(operation: Operation, proc: c_int, handle: *mut Handle) -> Self {
        Self { operation, proc, when: When::Later(handle) }
    }

    /// Which of source and target is this rank's, and which the other's.
    fn sides<T>(&self, source: T, target: T) -> (T, T) {
        if self.operation == Operation::Get { (target, source) } else { (source, target) }
    }

    /// An accumulate needs whole elements.
    fn check_elements(&self, len: usize) -> Result<(), Refusal> {
        match self.operation {
            Operation::Accumulate { kind, .. } if !len.is_multiple_of(kind.size()) => {
                Err(Refusal::Length)
            }
            _ => Ok(()),
        }
    }
}

/// `ARMCI_ACC_*` and its scale.
///
/// # Safety
/// `scale` must be null or point to one element of the type.
unsafe fn accumulate(optype: c_int, scale: *const c_void) -> Result<Operation, Refusal> {
    let kind = match optype {
        37 => AccKind::Int,
        38 => AccKind::Double,
        39 => AccKind::Float,
        40 => AccKind::Complex,
        41 => AccKind::DoubleComplex,
        42 => AccKind::Long,
        _ => return Err(Refusal::Operation),
    };
    if scale.is_null() {
        return Err(Refusal::Local);
    }
    let mut operand = [0u64; 2];
    // SAFETY: one element by the caller, which is no longer than the operand.
    unsafe {
        core::ptr::copy_nonoverlapping(scale.cast::<u8>(), operand.as_mut_ptr().cast(), kind.size())
    };
    Ok(Operation::Accumulate { kind, scale: operand })
}

impl Runtime {
    /// Does one row that has been checked.
    ///
    /// # Safety
    /// As for [`rows`](Self::rows).
    #[inline]
    unsafe fn row(&self, task: Task, rank: usize, place: Place, row: Row) -> Result<(), Refusal> {
        match (place, task.when) {
            // SAFETY: by the caller.
            (Place::Shared, When::Now) => unsafe {
                Ok(self.armci.move_row(task.operation, rank, row)?)
            },
            // SAFETY: by the caller.
            _ => unsafe { self.rows(task, rank, place, once(row)) },
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
        place: Place,
        rows: impl Iterator<Item = Row>,
    ) -> Result<(), Refusal> {
        if place == Place::Private {
            for row in rows {
                let remote = core::ptr::with_exposed_provenance_mut(row.remote as usize);
                // SAFETY: both by the caller.
                unsafe { privately(task.operation, row, remote) };
            }
            return Ok(());
        }
        // SAFETY: by the caller.
        let pending: Pending = unsafe { self.armci.transfer(task.operation, rank, rows)? };
        // SAFETY: handles are valid or null by the caller.
        unsafe { Ok(self.handles.keep(self.armci, rank, pending, task.when)?) }
    }

    /// One piece.
    unsafe fn contiguous(
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
        let place =
            self.place(rank, remote..remote.checked_add(len as u64).ok_or(Refusal::Remote)?)?;
        task.check_elements(len)?;
        // SAFETY: by the caller.
        unsafe { self.row(task, rank, place, Row { local: local.cast(), remote, len }) }
    }

    unsafe fn strided(
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
        let place = self.place(rank, shape.extent(remote).ok_or(Refusal::Remote)?)?;
        task.check_elements(shape.row)?;
        let rows = Rows::new(local.cast(), remote, shape.row, shape.levels())?;
        // SAFETY: by the caller.
        unsafe { self.rows(task, rank, place, rows) }
    }

    unsafe fn vector(&self, task: Task, sets: *const Pieces, count: c_int) -> Result<(), Refusal> {
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
                let end = row.remote.checked_add(row.len as u64).ok_or(Refusal::Remote)?;
                all_shared &= self.place(rank, row.remote..end)? == Place::Shared;
            }
        }
        // SAFETY: by the caller.
        let mut rows = sets.iter().flat_map(|set| unsafe { set.rows(task) });
        if all_shared {
            // SAFETY: by the caller.
            return unsafe { self.rows(task, rank, Place::Shared, rows) };
        }
        // This rank's own memory, some of it nobody else's.
        rows.try_for_each(|row| {
            let place = self.place(rank, row.remote..row.remote + row.len as u64)?;
            // SAFETY: by the caller.
            unsafe { self.row(task, rank, place, row) }
        })
    }

    /// Writes an `int` behind all earlier puts.
    unsafe fn flag(&self, flag: *mut c_int, value: c_int, proc: c_int) -> Result<(), Refusal> {
        let rank = self.rank(proc)?;
        match self.flag_place(flag, rank)? {
            // SAFETY: allocated for being changed by operations, as `flag_place` has found.
            Place::Shared => unsafe {
                Ok(self.armci.put_flag_32(rank, flag.addr() as u64, value as u32)?)
            },
            Place::Private => {
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

    fn flag_place(&self, flag: *mut c_int, rank: usize) -> Result<Place, Refusal> {
        let address = flag.expose_provenance() as u64;
        if !flag.is_aligned() {
            return Err(Refusal::Misaligned(align_of::<c_int>()));
        }
        self.place(
            rank,
            address..address.checked_add(size_of::<c_int>() as u64).ok_or(Refusal::Remote)?,
        )
    }
}

/// Does a row on memory of this rank that no other can reach.
///
/// # Safety
/// Both sides must be valid for the row's length.
unsafe fn privately(operation: Operation, row: Row, remote: *mut u8) {
    // SAFETY: by the caller.
    unsafe {
        match operation {
            Operation::Put => moves::copy::copy(row.local, remote, row.len),
            Operation::Get => moves::copy::copy(remote, row.local, row.len),
            Operation::Accumulate { kind, scale } => {
                moves::accumulate::accumulate(kind, &scale, row.local, remote, row.len)
            }
        }
    }
}

impl Pieces {
    /// Its pieces as rows.
    ///
    /// # Safety
    /// If there are bytes in it, its arrays must be valid.
    unsafe fn rows(&self, task: Task) -> impl Iterator<Item = Row> + use<> {
        let set = *self;
        let count = if set.bytes > 0 { usize::try_from(set.count).unwrap_or(0) } else { 0 };
        (0..count).map(move |at| {
            // SAFETY: by the caller.
            let (source, target) =
                unsafe { (set.sources.add(at).read(), set.targets.add(at).read()) };
            let (local, remote) = task.sides(source, target);
            Row {
                local: local.cast(),
                remote: remote.expose_provenance() as u64,
                len: set.bytes as usize,
            }
        })
    }
}

/// A strided section.
struct Shape {
    row: usize,
    depth: usize,
    levels: [Level; MAX_STRIDES],
}

impl Shape {
    /// # Safety
    /// `count` must be null or have one number more than there are levels, the strides be null or
    /// have as many.
    unsafe fn read(
        local: *const c_int,
        remote: *const c_int,
        count: *const c_int,
        stride_levels: c_int,
    ) -> Result<Self, Refusal> {
        let depth = usize::try_from(stride_levels)
            .ok()
            .filter(|&depth| depth <= MAX_STRIDES)
            .ok_or(Refusal::Shape)?;
        if count.is_null() || (depth > 0 && (local.is_null() || remote.is_null())) {
            return Err(Refusal::Shape);
        }
        // SAFETY: by the caller.
        let row = length(unsafe { count.read() })?;
        let mut levels = [Level::default(); MAX_STRIDES];
        for (at, level) in levels[..depth].iter_mut().enumerate() {
            // SAFETY: by the caller.
            let (count, local, remote) =
                unsafe { (count.add(at + 1).read(), local.add(at).read(), remote.add(at).read()) };
            *level =
                Level { count: length(count)?, local: local as isize, remote: remote as isize };
        }
        Ok(Self { row, depth, levels })
    }

    fn levels(&self) -> &[Level] {
        &self.levels[..self.depth]
    }

    fn is_empty(&self) -> bool {
        self.row == 0 || self.levels().iter().any(|level| level.count == 0)
    }

    /// From the first to the last byte at the target.
    fn extent(&self, remote: u64) -> Option<Range<u64>> {
        let (mut start, mut end) = (i128::from(remote), i128::from(remote) + self.row as i128);
        for level in self.levels() {
            let far = (level.count as i128 - 1) * level.remote as i128;
            start += far.min(0);
            end += far.max(0);
        }
        Some(start.try_into().ok()?..end.try_into().ok()?)
    }
}

/// `ARMCI_Put`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Put(
    src: *mut c_void,
    dst: *mut c_void,
    bytes: c_int,
    proc: c_int,
) -> c_int {
    let task = Task::new(Operation::Put, proc);
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe { runtime.contiguous(task, src, dst, bytes) }))
}

/// `ARMCI_NbPut`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_NbPut(
    src: *mut c_void,
    dst: *mut c_void,
    bytes: c_int,
    proc: c_int,
    nb_handle: *mut Handle,
) -> c_int {
    let task = Task::later(Operation::Put, proc, nb_handle);
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe { runtime.contiguous(task, src, dst, bytes) }))
}

/// `ARMCI_Get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Get(
    src: *mut c_void,
    dst: *mut c_void,
    bytes: c_int,
    proc: c_int,
) -> c_int {
    let task = Task::new(Operation::Get, proc);
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe { runtime.contiguous(task, src, dst, bytes) }))
}

/// `ARMCI_NbGet`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_NbGet(
    src: *mut c_void,
    dst: *mut c_void,
    bytes: c_int,
    proc: c_int,
    nb_handle: *mut Handle,
) -> c_int {
    let task = Task::later(Operation::Get, proc, nb_handle);
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe { runtime.contiguous(task, src, dst, bytes) }))
}

/// `ARMCI_Acc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Acc(
    optype: c_int,
    scale: *mut c_void,
    src: *mut c_void,
    dst: *mut c_void,
    bytes: c_int,
    proc: c_int,
) -> c_int {
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe {
        let task = Task::new(accumulate(optype, scale)?, proc);
        runtime.contiguous(task, src, dst, bytes)
    }))
}

/// `ARMCI_NbAcc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_NbAcc(
    optype: c_int,
    scale: *mut c_void,
    src: *mut c_void,
    dst: *mut c_void,
    bytes: c_int,
    proc: c_int,
    nb_handle: *mut Handle,
) -> c_int {
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe {
        let task = Task::later(accumulate(optype, scale)?, proc, nb_handle);
        runtime.contiguous(task, src, dst, bytes)
    }))
}

/// `ARMCI_PutS`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_PutS(
    src_ptr: *mut c_void,
    src_stride_arr: *mut c_int,
    dst_ptr: *mut c_void,
    dst_stride_arr: *mut c_int,
    count: *mut c_int,
    stride_levels: c_int,
    proc: c_int,
) -> c_int {
    let (source, target) =
        ((src_ptr, src_stride_arr.cast_const()), (dst_ptr, dst_stride_arr.cast_const()));
    let task = Task::new(Operation::Put, proc);
    // SAFETY: by the caller.
    code(
        Runtime::ready().and_then(|runtime| unsafe {
            runtime.strided(task, source, target, count, stride_levels)
        }),
    )
}

/// `ARMCI_NbPutS`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_NbPutS(
    src_ptr: *mut c_void,
    src_stride_arr: *mut c_int,
    dst_ptr: *mut c_void,
    dst_stride_arr: *mut c_int,
    count: *mut c_int,
    stride_levels: c_int,
    proc: c_int,
    nb_handle: *mut Handle,
) -> c_int {
    let (source, target) =
        ((src_ptr, src_stride_arr.cast_const()), (dst_ptr, dst_stride_arr.cast_const()));
    let task = Task::later(Operation::Put, proc, nb_handle);
    // SAFETY: by the caller.
    code(
        Runtime::ready().and_then(|runtime| unsafe {
            runtime.strided(task, source, target, count, stride_levels)
        }),
    )
}

/// `ARMCI_GetS`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_GetS(
    src_ptr: *mut c_void,
    src_stride_arr: *mut c_int,
    dst_ptr: *mut c_void,
    dst_stride_arr: *mut c_int,
    count: *mut c_int,
    stride_levels: c_int,
    proc: c_int,
) -> c_int {
    let (source, target) =
        ((src_ptr, src_stride_arr.cast_const()), (dst_ptr, dst_stride_arr.cast_const()));
    let task = Task::new(Operation::Get, proc);
    // SAFETY: by the caller.
    code(
        Runtime::ready().and_then(|runtime| unsafe {
            runtime.strided(task, source, target, count, stride_levels)
        }),
    )
}

/// `ARMCI_NbGetS`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_NbGetS(
    src_ptr: *mut c_void,
    src_stride_arr: *mut c_int,
    dst_ptr: *mut c_void,
    dst_stride_arr: *mut c_int,
    count: *mut c_int,
    stride_levels: c_int,
    proc: c_int,
    nb_handle: *mut Handle,
) -> c_int {
    let (source, target) =
        ((src_ptr, src_stride_arr.cast_const()), (dst_ptr, dst_stride_arr.cast_const()));
    let task = Task::later(Operation::Get, proc, nb_handle);
    // SAFETY: by the caller.
    code(
        Runtime::ready().and_then(|runtime| unsafe {
            runtime.strided(task, source, target, count, stride_levels)
        }),
    )
}

/// `ARMCI_AccS`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_AccS(
    optype: c_int,
    scale: *mut c_void,
    src_ptr: *mut c_void,
    src_stride_arr: *mut c_int,
    dst_ptr: *mut c_void,
    dst_stride_arr: *mut c_int,
    count: *mut c_int,
    stride_levels: c_int,
    proc: c_int,
) -> c_int {
    let (source, target) =
        ((src_ptr, src_stride_arr.cast_const()), (dst_ptr, dst_stride_arr.cast_const()));
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe {
        let task = Task::new(accumulate(optype, scale)?, proc);
        runtime.strided(task, source, target, count, stride_levels)
    }))
}

/// `ARMCI_NbAccS`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_NbAccS(
    optype: c_int,
    scale: *mut c_void,
    src_ptr: *mut c_void,
    src_stride_arr: *mut c_int,
    dst_ptr: *mut c_void,
    dst_stride_arr: *mut c_int,
    count: *mut c_int,
    stride_levels: c_int,
    proc: c_int,
    nb_handle: *mut Handle,
) -> c_int {
    let (source, target) =
        ((src_ptr, src_stride_arr.cast_const()), (dst_ptr, dst_stride_arr.cast_const()));
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe {
        let task = Task::later(accumulate(optype, scale)?, proc, nb_handle);
        runtime.strided(task, source, target, count, stride_levels)
    }))
}

/// `ARMCI_PutV`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_PutV(darr: *mut Pieces, len: c_int, proc: c_int) -> c_int {
    let task = Task::new(Operation::Put, proc);
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe { runtime.vector(task, darr, len) }))
}

/// `ARMCI_NbPutV`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_NbPutV(
    darr: *mut Pieces,
    len: c_int,
    proc: c_int,
    nb_handle: *mut Handle,
) -> c_int {
    let task = Task::later(Operation::Put, proc, nb_handle);
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe { runtime.vector(task, darr, len) }))
}

/// `ARMCI_GetV`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_GetV(darr: *mut Pieces, len: c_int, proc: c_int) -> c_int {
    let task = Task::new(Operation::Get, proc);
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe { runtime.vector(task, darr, len) }))
}

/// `ARMCI_NbGetV`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_NbGetV(
    darr: *mut Pieces,
    len: c_int,
    proc: c_int,
    nb_handle: *mut Handle,
) -> c_int {
    let task = Task::later(Operation::Get, proc, nb_handle);
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe { runtime.vector(task, darr, len) }))
}

/// `ARMCI_AccV`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_AccV(
    op: c_int,
    scale: *mut c_void,
    darr: *mut Pieces,
    len: c_int,
    proc: c_int,
) -> c_int {
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe {
        runtime.vector(Task::new(accumulate(op, scale)?, proc), darr, len)
    }))
}

/// `ARMCI_NbAccV`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_NbAccV(
    op: c_int,
    scale: *mut c_void,
    darr: *mut Pieces,
    len: c_int,
    proc: c_int,
    nb_handle: *mut Handle,
) -> c_int {
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe {
        runtime.vector(Task::later(accumulate(op, scale)?, proc, nb_handle), darr, len)
    }))
}

/// `ARMCI_Put_flag`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Put_flag(
    src: *mut c_void,
    dst: *mut c_void,
    bytes: c_int,
    f: *mut c_int,
    v: c_int,
    proc: c_int,
) -> c_int {
    let task = Task::new(Operation::Put, proc);
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe {
        runtime.flag_place(f, runtime.rank(proc)?)?;
        runtime.contiguous(task, src, dst, bytes)?;
        runtime.flag(f, v, proc)
    }))
}

/// `ARMCI_PutS_flag`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_PutS_flag(
    src_ptr: *mut c_void,
    src_stride_arr: *mut c_int,
    dst_ptr: *mut c_void,
    dst_stride_arr: *mut c_int,
    count: *mut c_int,
    stride_levels: c_int,
    flag: *mut c_int,
    val: c_int,
    proc: c_int,
) -> c_int {
    let (source, target) =
        ((src_ptr, src_stride_arr.cast_const()), (dst_ptr, dst_stride_arr.cast_const()));
    let task = Task::new(Operation::Put, proc);
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe {
        runtime.flag_place(flag, runtime.rank(proc)?)?;
        runtime.strided(task, source, target, count, stride_levels)?;
        runtime.flag(flag, val, proc)
    }))
}

/// `ARMCI_PutS_flag_dir`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_PutS_flag_dir(
    src_ptr: *mut c_void,
    src_stride_arr: *mut c_int,
    dst_ptr: *mut c_void,
    dst_stride_arr: *mut c_int,
    count: *mut c_int,
    stride_levels: c_int,
    flag: *mut c_int,
    val: c_int,
    proc: c_int,
) -> c_int {
    // SAFETY: by the caller.
    unsafe {
        PARMCI_PutS_flag(
            src_ptr,
            src_stride_arr,
            dst_ptr,
            dst_stride_arr,
            count,
            stride_levels,
            flag,
            val,
            proc,
        )
    }
}

macro_rules! values {
    ($($type:ty, $put:ident, $nb_put:ident, $get:ident;)*) => {
        $(
            /// `ARMCI_PutValue*`.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $put(src: $type, dst: *mut c_void, proc: c_int) -> c_int {
                let source = (&raw const src).cast_mut().cast();
                // SAFETY: by the caller; the value lives until the put is complete.
                unsafe { PARMCI_Put(source, dst, size_of::<$type>() as c_int, proc) }
            }

            /// `ARMCI_NbPutValue*`: complete on return, so that the value need not be kept.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $nb_put(src: $type, dst: *mut c_void, proc: c_int, _handle: *mut Handle) -> c_int {
                // SAFETY: by the caller.
                unsafe { $put(src, dst, proc) }
            }

            /// `ARMCI_GetValue*`.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $get(src: *mut c_void, proc: c_int) -> $type {
                let mut value: $type = Default::default();
                let target = (&raw mut value).cast();
                let task = Task::new(Operation::Get, proc);
                let bytes = size_of::<$type>() as c_int;
                // SAFETY: by the caller; the value lives until the get is complete.
                let got = Runtime::ready().and_then(|runtime| unsafe { runtime.contiguous(task, src, target, bytes) });
                or_die(stringify!($get).trim_start_matches('P'), got);
                value
            }
        )*
    };
}

values! {
    c_int, PARMCI_PutValueInt, PARMCI_NbPutValueInt, PARMCI_GetValueInt;
    c_long, PARMCI_PutValueLong, PARMCI_NbPutValueLong, PARMCI_GetValueLong;
    c_float, PARMCI_PutValueFloat, PARMCI_NbPutValueFloat, PARMCI_GetValueFloat;
    c_double, PARMCI_PutValueDouble, PARMCI_NbPutValueDouble, PARMCI_GetValueDouble;
}

/// Copies between a section and consecutive bytes.
unsafe fn pack(
    function: &str,
    section: *mut c_void,
    (stride_levels, strides, count): (c_int, *const c_int, *const c_int),
    packed: *mut c_char,
    operation: Operation,
) {
    let copy = || {
        // SAFETY: by the caller.
        let shape = unsafe { Shape::read(strides, strides, count, stride_levels)? };
        if shape.is_empty() {
            return Ok(());
        }
        if section.is_null() || packed.is_null() {
            return Err(Refusal::Local);
        }
        let mut at = packed.cast::<u8>();
        for row in Rows::new(section.cast(), 0, shape.row, shape.levels())? {
            // SAFETY: both by the caller.
            unsafe {
                privately(operation, row, at);
                at = at.add(row.len);
            }
        }
        Ok(())
    };
    or_die(function, copy());
}

/// `armci_write_strided`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_write_strided(
    ptr: *mut c_void,
    stride_levels: c_int,
    stride_arr: *mut c_int,
    count: *mut c_int,
    buf: *mut c_char,
) {
    // SAFETY: by the caller.
    unsafe {
        pack("armci_write_strided", ptr, (stride_levels, stride_arr, count), buf, Operation::Put)
    };
}

/// `armci_read_strided`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_read_strided(
    ptr: *mut c_void,
    stride_levels: c_int,
    stride_arr: *mut c_int,
    count: *mut c_int,
    buf: *mut c_char,
) {
    // SAFETY: by the caller.
    unsafe {
        pack("armci_read_strided", ptr, (stride_levels, stride_arr, count), buf, Operation::Get)
    };
}

weak_aliases! {
    ARMCI_Put => PARMCI_Put;
    ARMCI_NbPut => PARMCI_NbPut;
    ARMCI_Get => PARMCI_Get;
    ARMCI_NbGet => PARMCI_NbGet;
    ARMCI_Acc => PARMCI_Acc;
    ARMCI_NbAcc => PARMCI_NbAcc;
    ARMCI_PutS => PARMCI_PutS;
    ARMCI_NbPutS => PARMCI_NbPutS;
    ARMCI_GetS => PARMCI_GetS;
    ARMCI_NbGetS => PARMCI_NbGetS;
    ARMCI_AccS => PARMCI_AccS;
    ARMCI_NbAccS => PARMCI_NbAccS;
    ARMCI_PutV => PARMCI_PutV;
    ARMCI_NbPutV => PARMCI_NbPutV;
    ARMCI_GetV => PARMCI_GetV;
    ARMCI_NbGetV => PARMCI_NbGetV;
    ARMCI_AccV => PARMCI_AccV;
    ARMCI_NbAccV => PARMCI_NbAccV;
    ARMCI_Put_flag => PARMCI_Put_flag;
    ARMCI_PutS_flag => PARMCI_PutS_flag;
    ARMCI_PutS_flag_dir => PARMCI_PutS_flag_dir;
    ARMCI_PutValueInt => PARMCI_PutValueInt;
    ARMCI_PutValueLong => PARMCI_PutValueLong;
    ARMCI_PutValueFloat => PARMCI_PutValueFloat;
    ARMCI_PutValueDouble => PARMCI_PutValueDouble;
    ARMCI_NbPutValueInt => PARMCI_NbPutValueInt;
    ARMCI_NbPutValueLong => PARMCI_NbPutValueLong;
    ARMCI_NbPutValueFloat => PARMCI_NbPutValueFloat;
    ARMCI_NbPutValueDouble => PARMCI_NbPutValueDouble;
    ARMCI_GetValueInt => PARMCI_GetValueInt;
    ARMCI_GetValueLong => PARMCI_GetValueLong;
    ARMCI_GetValueFloat => PARMCI_GetValueFloat;
    ARMCI_GetValueDouble => PARMCI_GetValueDouble;
}

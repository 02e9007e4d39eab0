//! Shapes of operations, as C gives them: strided sections and vectors of pieces.

use core::ffi::{c_int, c_void};
use core::ops::Range;
use std::prelude::v1::*;

use crate::api::strided::{Level, MAX_STRIDES};
use crate::capi::convert::length;
use crate::capi::refusal::Refusal;
use crate::capi::task::Task;
use crate::path::rows::Row;

/// `armci_giov_t`: pieces of the same length.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Pieces {
    pub(super) sources: *mut *mut c_void,
    pub(super) targets: *mut *mut c_void,
    pub(super) count: c_int,
    pub(super) bytes: c_int,
}

impl Pieces {
    /// Its pieces as rows.
    ///
    /// # Safety
    /// If there are bytes in it, its arrays must be valid.
    pub(super) unsafe fn rows(&self, task: Task) -> impl Iterator<Item = Row> + use<> {
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
pub(super) struct Shape {
    /// Bytes of a row.
    pub row: usize,
    depth: usize,
    levels: [Level; MAX_STRIDES],
}

impl Shape {
    /// # Safety
    /// `count` must be null or have one number more than there are levels, the strides be null or
    /// have as many.
    pub unsafe fn read(
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

    pub fn levels(&self) -> &[Level] {
        &self.levels[..self.depth]
    }

    /// Whether there is nothing to move.
    pub fn is_empty(&self) -> bool {
        self.row == 0 || self.levels().iter().any(|level| level.count == 0)
    }

    /// From the first to the last byte at the target.
    pub fn extent(&self, remote: u64) -> Option<Range<u64>> {
        let (mut start, mut end) = (i128::from(remote), i128::from(remote) + self.row as i128);
        for level in self.levels() {
            let far = (level.count as i128 - 1) * level.remote as i128;
            start += far.min(0);
            end += far.max(0);
        }
        Some(start.try_into().ok()?..end.try_into().ok()?)
    }
}

//! The bounce buffer: a piece of the window through which data goes that the proxy cannot reach,
//! such as a hosted rank's stack and heap.

use core::alloc::Layout;
use core::ptr::{self, NonNull};
use std::prelude::v1::*;

use crate::error::Error;
use crate::path::paths::Paths;
use crate::path::rows::Row;

/// Bytes of the buffer.
const BOUNCE: usize = 128 * 1024;

/// The longest element. Rows are laid out in the buffer in steps of it, so that a row is cut
/// between elements wherever the buffer ends.
const STEP: usize = 16;

impl Paths {
    /// The buffer, allocated when it is first used.
    pub(super) fn bounce_buffer(&self) -> Result<NonNull<u8>, Error> {
        if let Some(&(buffer, _)) = self.bounce.get() {
            return Ok(buffer);
        }
        let layout = const {
            match Layout::from_size_align(BOUNCE, 4096) {
                Ok(layout) => layout,
                Err(_) => unreachable!(),
            }
        };
        let buffer = self.alloc(layout).ok_or(Error::OutOfMemory { bytes: BOUNCE })?;
        Ok(self.bounce.get_or_init(|| (buffer, layout)).0)
    }
}

/// What is in the buffer.
#[derive(Default)]
pub(super) struct Bounced {
    bytes: usize,
    /// What gets leave there: from, to, bytes.
    back: Vec<(*const u8, *mut u8, usize)>,
}

impl Bounced {
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub fn is_full(&self) -> bool {
        self.bytes == BOUNCE
    }

    /// Takes in as much of a row as there is room for: copies it there, or for a get notes where it
    /// goes when it has come. Returns the piece with its place in the buffer.
    ///
    /// # Safety
    /// The row must be valid for its length, until it has [landed](Self::land) if it is a get.
    /// `buffer` must be the rank's, and in use for this operation only.
    pub unsafe fn take_in(&mut self, buffer: NonNull<u8>, row: Row, get: bool) -> Row {
        let len = (BOUNCE - self.bytes).min(row.len);
        // SAFETY: within the buffer, behind what it holds already.
        let inside = unsafe { buffer.as_ptr().add(self.bytes) };
        if get {
            self.back.push((inside, row.local, len));
        } else {
            // SAFETY: valid for `len` bytes by the caller, and in the buffer.
            unsafe { ptr::copy_nonoverlapping(row.local, inside, len) };
        }
        self.bytes += len.next_multiple_of(STEP).min(BOUNCE - self.bytes);
        Row { local: inside, remote: row.remote, len }
    }

    /// All pieces are complete: brings home what gets left in the buffer, and empties it.
    pub fn land(&mut self) {
        for (from, to, len) in self.back.drain(..) {
            // SAFETY: from the buffer to the rows of the operation, both valid by `take_in`.
            unsafe { ptr::copy_nonoverlapping(from, to, len) };
        }
        self.bytes = 0;
    }
}

//! From checked work to memory.

use core::ptr::NonNull;

use crate::moves::accumulate::accumulate;
use crate::moves::copy::copy;
use crate::moves::rmw::read_modify_write;
use crate::serve::check::{Effect, Work};
use crate::serve::window::Window;
use crate::shared::lock::{Held, PROXY};

/// Nothing was done, because a rank holds the target's lock: to be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    /// What the lock says of its [holder](crate::shared::lock::TargetLock), which any rank of the
    /// job can have written; zero if it has just been let go.
    pub holder: u32,
}

/// Where the asking rank has what its work reads, or where it wants what that gets.
#[derive(Debug)]
pub enum Own<'a> {
    /// In its window.
    Window(&'a Window),
    /// Elsewhere: these bytes have come from there, or go there. They are the work's own range,
    /// from its first byte on.
    Bytes(&'a mut [u8]),
}

impl Own<'_> {
    /// Where `len` bytes from `address` on are.
    ///
    /// # Panics
    /// If there are bytes and they are not there.
    fn at(&mut self, address: u64, len: u64) -> NonNull<u8> {
        match self {
            Self::Window(window) => window.at(address, len),
            Self::Bytes(bytes) => {
                assert!(len <= bytes.len() as u64, "{len} bytes in {}", bytes.len());
                NonNull::from(&mut **bytes).cast()
            }
        }
    }
}

/// Does `work` on the memory of the asking rank and the target. Returns the value for the
/// completion: what a read-modify-write found there, else zero.
///
/// # Panics
/// If the work was checked with other bounds than those of these windows, or is longer than the
/// bytes.
pub fn apply(work: &Work, mut own: Own<'_>, target: &Window) -> Result<u64, Busy> {
    match *work.effect() {
        Effect::PutInline { data, to, len } => {
            let to = target.at(to, len);
            // SAFETY: the target is mapped, and the data are long enough: the check has looked.
            unsafe { copy(data.as_ptr().cast(), to.as_ptr(), len as usize) };
        }
        Effect::Put { from, to, len } => {
            let (from, to) = (own.at(from, len), target.at(to, len));
            // SAFETY: both are mapped.
            unsafe { copy(from.as_ptr(), to.as_ptr(), len as usize) };
        }
        Effect::Get { from, to, len } => {
            let (from, to) = (target.at(from, len), own.at(to, len));
            // SAFETY: both are mapped.
            unsafe { copy(from.as_ptr(), to.as_ptr(), len as usize) };
        }
        Effect::Accumulate { kind, scale, from, to, len } if len != 0 => {
            let _held = lock(target)?;
            let (from, to) = (own.at(from, len), target.at(to, len));
            // SAFETY: both are mapped; the check has found whole elements.
            unsafe { accumulate(kind, &scale, from.as_ptr(), to.as_ptr(), len as usize) };
        }
        Effect::Accumulate { .. } => {}
        Effect::ReadModifyWrite { kind, operand, word } => {
            let _held = lock(target)?;
            let word = target.at(word, kind.size() as u64);
            // SAFETY: mapped, and aligned: the check has found it so at the rank, and windows are
            // mapped on page boundaries.
            return Ok(unsafe { read_modify_write(kind, word.as_ptr(), operand) });
        }
    }
    Ok(0)
}

fn lock(target: &Window) -> Result<Held<'_>, Busy> {
    let lock = target.lock();
    lock.try_lock(PROXY).ok_or_else(|| Busy { holder: lock.holder() })
}

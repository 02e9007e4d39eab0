//! Read-modify-write: one word changes, and what was there comes back.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::wire::request::RmwKind;

/// Does `kind` on the word and returns what was there. Atomic among holders of the target's lock,
/// which the caller must be; whoever only reads or writes the word sees it change at once.
///
/// # Safety
/// `word` must be valid and aligned for the kind's size.
#[inline]
pub(crate) unsafe fn read_modify_write(kind: RmwKind, word: *mut u8, operand: [u64; 2]) -> u64 {
    if kind.size() == 4 {
        // SAFETY: by the caller. The word is shared with a running rank, which uses it atomically
        // or not at all.
        let word = unsafe { AtomicU32::from_ptr(word.cast()) };
        let old = word.load(Ordering::Relaxed);
        let new = if kind == RmwKind::FetchAdd32 {
            old.wrapping_add(operand[0] as u32)
        } else {
            operand[0] as u32
        };
        word.store(new, Ordering::Release);
        return old.into();
    }
    // SAFETY: as above.
    let word = unsafe { AtomicU64::from_ptr(word.cast()) };
    let old = word.load(Ordering::Acquire);
    let new = match kind {
        RmwKind::FetchAdd64 => old.wrapping_add(operand[0]),
        RmwKind::CompareSwap64 if old == operand[0] => operand[1],
        RmwKind::CompareSwap64 => return old,
        _ => operand[0],
    };
    word.store(new, Ordering::Release);
    old
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_change_and_say_what_was_there() {
        let mut word = 0u64;
        let mut change = |kind, operand| {
            // SAFETY: the word is valid and aligned.
            unsafe { read_modify_write(kind, (&raw mut word).cast(), operand) }
        };
        assert_eq!(change(RmwKind::FetchAdd64, [u64::MAX, 0]), 0);
        let found = change(RmwKind::FetchAdd32, [1, 0]);
        assert_eq!(found, u32::MAX as u64, "the upper half must not leak in");
        let found = change(RmwKind::Swap64, [7, 0]);
        assert_eq!(found, u64::MAX << 32, "nor the carry leak out");
        assert_eq!(change(RmwKind::Swap32, [8, 0]), 7);
        assert_eq!(change(RmwKind::CompareSwap64, [1, 2]), 8, "not what was expected: no change");
        assert_eq!(change(RmwKind::CompareSwap64, [8, 2]), 8);
        assert_eq!(change(RmwKind::CompareSwap64, [8, 3]), 2);
    }
}

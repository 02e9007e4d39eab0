//! Put and get: a copy.

use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Copies `len` bytes, which may overlap. An aligned word of 4 or 8 bytes is written whole and
/// after all earlier writes, so that a rank that waits for the word finds what was put before it.
///
/// # Safety
/// Both must be valid for `len` bytes.
#[inline]
pub(crate) unsafe fn copy(source: *const u8, destination: *mut u8, len: usize) {
    // SAFETY: valid by the caller, aligned where it matters; `ptr::copy` allows overlap.
    unsafe {
        match len {
            8 if destination.addr().is_multiple_of(8) => {
                let word = source.cast::<u64>().read_unaligned();
                AtomicU64::from_ptr(destination.cast()).store(word, Ordering::Release);
            }
            4 if destination.addr().is_multiple_of(4) => {
                let word = source.cast::<u32>().read_unaligned();
                AtomicU32::from_ptr(destination.cast()).store(word, Ordering::Release);
            }
            _ => ptr::copy(source, destination, len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::prelude::v1::*;

    use proptest::prelude::*;

    proptest! {
        /// As a copy through a buffer in between, wherever the two places are.
        #[test]
        fn bytes_arrive_also_where_places_overlap(
            from in 0usize..64, to in 0usize..64, len in 0usize..64
        ) {
            let mut memory: Vec<u8> = (0..128).collect();
            let mut model = memory.clone();
            model.copy_within(from..from + len, to);
            let base = memory.as_mut_ptr();
            // SAFETY: both places are in `memory`.
            unsafe { copy(base.add(from), base.add(to), len) };
            prop_assert_eq!(memory, model);
        }
    }
}

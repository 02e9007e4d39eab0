//! One rank's memory, as it is mapped here.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::moves::copy::copy;
use crate::serve::bounds::{Bounds, LayoutError};
use crate::shared::lock::TargetLock;
use crate::wire::area::RuntimeArea;
use crate::wire::attach::WindowLayout;

/// One rank's memory, as it is mapped here. The rank, and others, may change it at any time.
#[derive(Debug)]
pub struct Window {
    /// Where the window's first byte is mapped.
    base: NonNull<u8>,
    bounds: Bounds,
}

// SAFETY: the memory behind the pointer is shared by design; all accesses are raw.
unsafe impl Send for Window {}

impl Window {
    /// Bytes of the pages that [`copy_out`](Self::copy_out) tells apart.
    pub const PAGE: usize = 4096;

    /// The memory described by `layout`, mapped at `base`.
    ///
    /// # Safety
    /// `base` must be page-aligned and valid for reads and writes of `layout.len` bytes as long as
    /// the value lives. The memory may change at any time, but no Rust reference to it may exist.
    pub unsafe fn new(base: NonNull<u8>, layout: &WindowLayout) -> Result<Self, LayoutError> {
        Ok(Self { base, bounds: Bounds::new(layout)? })
    }

    /// Its limits.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Where the runtime area is mapped.
    pub fn area(&self) -> NonNull<RuntimeArea> {
        self.at(self.bounds.runtime(), size_of::<RuntimeArea>() as u64).cast()
    }

    /// The rank's lock for accumulates and read-modify-writes.
    pub(super) fn lock(&self) -> TargetLock<'_> {
        // SAFETY: the area is mapped, whole and aligned, as long as the window lives; an atomic may
        // be shared.
        TargetLock(unsafe { &(*self.area().as_ptr()).mailbox.lock.0 })
    }

    /// Where `len` bytes at the rank's `address` are mapped.
    ///
    /// # Panics
    /// If there are bytes and they are not in the window.
    pub(super) fn at(&self, address: u64, len: u64) -> NonNull<u8> {
        if len == 0 {
            return self.base;
        }
        let window = self.bounds.window();
        let inside = address >= window.start
            && address.checked_add(len).is_some_and(|end| end <= window.end);
        assert!(inside, "{len} bytes at {address:#x} were not checked against {window:#x?}");
        // SAFETY: in the window, which is mapped whole.
        unsafe { self.base.add((address - window.start) as usize) }
    }

    /// Reads what is at the rank's `address`. The rank may be writing meanwhile.
    ///
    /// # Panics
    /// If that is not in the window.
    pub fn read(&self, address: u64, bytes: &mut [u8]) {
        let from = self.at(address, bytes.len() as u64);
        // SAFETY: mapped as long as the window lives.
        unsafe { copy(from.as_ptr(), bytes.as_mut_ptr(), bytes.len()) };
    }

    /// Writes bytes to the rank's `address`, as a get does.
    ///
    /// # Panics
    /// If that is not in the window.
    pub fn write(&self, address: u64, bytes: &[u8]) {
        let to = self.at(address, bytes.len() as u64);
        // SAFETY: mapped as long as the window lives.
        unsafe { copy(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
    }

    /// Copies bytes of the window, from the one that is `offset` behind its start: as many as
    /// `buffer` has room for, or as there are. How many that were. `changed` hears of each
    /// [page](Self::PAGE) of the buffer whose bytes were others before.
    ///
    /// The rank may be writing meanwhile. Words of 8 bytes that are aligned in the window are read
    /// whole.
    pub fn copy_out(
        &self,
        offset: u64,
        buffer: &mut [u8],
        mut changed: impl FnMut(usize),
    ) -> usize {
        let window = self.bounds.window();
        let there = (window.end - window.start).saturating_sub(offset);
        let count = buffer.len().min(usize::try_from(there).unwrap_or(usize::MAX));
        let mut from = self.at(window.start.saturating_add(offset), count as u64);
        for (number, page) in buffer[..count].chunks_mut(Self::PAGE).enumerate() {
            // SAFETY: all `count` bytes are mapped as long as the window lives.
            if unsafe { copy_and_compare(from, page) } {
                changed(number);
            }
            // SAFETY: not behind the end of them.
            from = unsafe { from.add(page.len()) };
        }
        count
    }

    /// Copies bytes into the window, to the one that is `offset` behind its start and on from
    /// there: as many as `bytes` has, or as there is room for. How many that were.
    ///
    /// Words of 8 bytes that are aligned in the window are written whole.
    pub fn copy_in(&self, offset: u64, bytes: &[u8]) -> usize {
        let window = self.bounds.window();
        let there = (window.end - window.start).saturating_sub(offset);
        let count = bytes.len().min(usize::try_from(there).unwrap_or(usize::MAX));
        let to = self.at(window.start.saturating_add(offset), count as u64);
        let bytes = &bytes[..count];
        let head = to.as_ptr().align_offset(size_of::<u64>()).min(count);
        let (head, rest) = bytes.split_at(head);
        // SAFETY: `count` bytes from `to` on are mapped as long as the window lives.
        let place = |at| unsafe { AtomicU8::from_ptr(to.as_ptr().add(at)) };
        let mut at = 0;
        for byte in head {
            place(at).store(*byte, Ordering::Relaxed);
            at += 1;
        }
        let (words, tail) = rest.as_chunks();
        for word in words {
            // SAFETY: as above, and aligned.
            let place = unsafe { AtomicU64::from_ptr(to.as_ptr().add(at).cast()) };
            place.store(u64::from_ne_bytes(*word), Ordering::Relaxed);
            at += size_of::<u64>();
        }
        for byte in tail {
            place(at).store(*byte, Ordering::Relaxed);
            at += 1;
        }
        count
    }
}

/// Copies to `to` what is at `from`; whether that has changed it. Words of 8 bytes that are aligned
/// there are read whole.
///
/// # Safety
/// As many bytes must be mapped from `from` on; others may write to them.
unsafe fn copy_and_compare(from: NonNull<u8>, to: &mut [u8]) -> bool {
    // SAFETY: by the caller.
    let byte = |at| unsafe { AtomicU8::from_ptr(from.as_ptr().add(at)) };
    let mut difference = 0;
    let mut copy_byte = |at, place: &mut u8| {
        let byte = byte(at).load(Ordering::Relaxed);
        difference |= u64::from(*place ^ byte);
        *place = byte;
    };
    // Up to the first aligned word, by words, and what is left.
    let head = from.as_ptr().align_offset(size_of::<u64>()).min(to.len());
    let (head, rest) = to.split_at_mut(head);
    let mut at = 0;
    for place in head {
        copy_byte(at, place);
        at += 1;
    }
    let (words, tail) = rest.as_chunks_mut();
    let mut of_words = 0;
    for place in words {
        // SAFETY: by the caller, and aligned.
        let word = unsafe { AtomicU64::from_ptr(from.as_ptr().add(at).cast()) };
        let word = word.load(Ordering::Relaxed);
        of_words |= u64::from_ne_bytes(*place) ^ word;
        *place = word.to_ne_bytes();
        at += size_of::<u64>();
    }
    for place in tail {
        copy_byte(at, place);
        at += 1;
    }
    difference | of_words != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::prelude::v1::*;

    const LEN: usize = size_of::<RuntimeArea>() + 4096;

    /// A window on `LEN` bytes that start on a page boundary in `pages`.
    fn window(pages: &mut [[u64; 512]]) -> Window {
        assert!(size_of_val(pages) >= LEN + 4096);
        let start = pages.as_mut_ptr().cast::<u8>();
        // SAFETY: within `pages`, of which there is one page more than are needed.
        let base = unsafe { NonNull::new_unchecked(start.add(start.align_offset(4096))) };
        let layout = WindowLayout {
            window: 0x10000,
            len: LEN as u64,
            runtime: 0x10000,
            public_start: 0x10000 + LEN as u64 - 4096,
            public_end: 0x10000 + LEN as u64,
        };
        // SAFETY: aligned, and valid as long as `pages`.
        unsafe { Window::new(base, &layout) }.unwrap()
    }

    #[test]
    fn bytes_are_copied_out_from_anywhere_as_far_as_there_are_any() {
        let mut pages = vec![[0u64; 512]; LEN / 4096 + 1];
        let window = window(&mut pages);
        let bytes: Vec<u8> = (0..LEN).map(|i| (i * 7 + i / 256) as u8).collect();
        // SAFETY: as many bytes as there are.
        unsafe { window.base.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), LEN) };
        for offset in [0, 1, 7, 8, 4095, LEN - 20, LEN - 1] {
            for len in [0, 1, 3, 8, 9, 16, 4100] {
                let mut buffer = vec![0xaa; len];
                let count = window.copy_out(offset as u64, &mut buffer, |_| ());
                assert_eq!(count, len.min(LEN - offset));
                assert_eq!(buffer[..count], bytes[offset..][..count], "{len} from {offset}");
                assert!(buffer[count..].iter().all(|&byte| byte == 0xaa));
            }
        }
        for behind in [LEN as u64, LEN as u64 + 1, u64::MAX] {
            assert_eq!(window.copy_out(behind, &mut [0; 8], |_| ()), 0);
        }
    }

    #[test]
    fn pages_that_change_are_told() {
        let mut pages = vec![[0u64; 512]; LEN / 4096 + 1];
        let window = window(&mut pages);
        let mut copy = vec![0; LEN];
        let update = |copy: &mut [u8], offset| {
            let mut changed = Vec::new();
            window.copy_out(offset, copy, |page| changed.push(page));
            changed
        };
        assert_eq!(update(&mut copy, 0), []);
        for at in [0, 4095, 4096, 3 * 4096 + 13, LEN - 1] {
            window.copy_in(at as u64, &[at as u8 | 1]);
            assert_eq!(update(&mut copy, 0), [at / 4096]);
            assert_eq!(update(&mut copy, 0), []);
        }
        // Pages are those of the buffer, wherever it begins.
        window.copy_in(8200, &[77, 78]);
        assert_eq!(update(&mut copy[4105..], 4105), [0, 1]);
        assert_eq!(copy[8200..8202], [77, 78]);
    }

    #[test]
    fn bytes_are_copied_in_to_anywhere_and_nothing_beside_them_changes() {
        let mut pages = vec![[0u64; 512]; LEN / 4096 + 1];
        let window = window(&mut pages);
        let mut expected = vec![0; LEN];
        for (step, offset) in [0, 1, 7, 8, 4095, LEN - 20, LEN - 1].into_iter().enumerate() {
            for len in [0, 1, 3, 8, 9, 16, 4100] {
                let bytes: Vec<u8> = (1..=len).map(|i| (i + step) as u8 | 1).collect();
                let count = window.copy_in(offset as u64, &bytes);
                assert_eq!(count, len.min(LEN - offset));
                expected[offset..][..count].copy_from_slice(&bytes[..count]);
                let mut all = vec![0; LEN];
                window.copy_out(0, &mut all, |_| ());
                assert!(all == expected, "{len} to {offset}");
            }
        }
        for behind in [LEN as u64, LEN as u64 + 1, u64::MAX] {
            assert_eq!(window.copy_in(behind, &[1; 8]), 0);
        }
    }
}

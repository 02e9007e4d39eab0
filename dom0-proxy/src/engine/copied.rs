//! Copies of ranks' memory.

use std::ops::Range;

use armci_nostd::serve::Window;

/// A buffer that a rank's window was copied to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// The buffer, cut down to what there was.
    pub bytes: Vec<u8>,
    /// The numbers of its pages, of [`Window::PAGE`] bytes, that held other bytes before.
    pub changed: Vec<u32>,
    /// The numbers of its pages that are free in a rank that stands still, ascending: those are as
    /// they were.
    pub free: Vec<Range<u64>>,
}

impl Copied {
    /// Fills `bytes` from the first byte of `window` on, but for the pages that are `free`.
    pub(super) fn of(window: &Window, free: Vec<Range<u64>>, mut bytes: Vec<u8>) -> Self {
        const PAGE: u64 = Window::PAGE as u64;
        let length = bytes.len() as u64;
        let place = |page: u64| page.saturating_mul(PAGE).min(length) as usize;
        let mut changed = Vec::new();
        let (mut page, mut copied) = (0, 0);
        let the_end = u64::MAX..u64::MAX;
        for run in free.iter().chain([&the_end]) {
            let used = place(page)..place(run.start);
            let note = |number| changed.push((page + number as u64) as u32);
            copied = used.start + window.copy_out(used.start as u64, &mut bytes[used], note);
            page = run.end;
        }
        bytes.truncate(copied);
        Self { bytes, changed, free }
    }
}

//! A domain that waits to become a rank that was saved.

use std::mem::offset_of;
use std::ops::Range;
use std::sync::atomic::{Ordering, fence};

use armci_nostd::serve::Window;
use armci_nostd::wire::{LANDING_DOMAINS, LandingPages};

/// Where such a domain waits, in the window that is to be filled. All of it lies in the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landing {
    /// The domain's number.
    pub(super) domain: u32,
    /// Offsets of what is to be left as it is.
    pub(super) apart: Range<u64>,
    /// Offset of its [`LandingPages`], which are in there.
    pub(super) pages: u64,
}

impl Landing {
    /// The domain's number.
    pub(crate) fn domain(&self) -> u32 {
        self.domain
    }

    /// Writes bytes of the saved rank to `offset` of the window, but for those that lie apart.
    /// False, with nothing written, if the window ends before they do.
    pub(crate) fn fill(&self, window: &Window, offset: u64, bytes: &[u8]) -> bool {
        let bounds = window.bounds().window();
        let end = offset.checked_add(bytes.len() as u64);
        let Some(end) = end.filter(|end| *end <= bounds.end - bounds.start) else { return false };
        let before = offset..end.min(self.apart.start);
        let behind = offset.max(self.apart.end)..end;
        for part in [before, behind] {
            if part.start < part.end {
                let (from, to) = (part.start - offset, part.end - offset);
                window.copy_in(part.start, &bytes[from as usize..to as usize]);
            }
        }
        true
    }

    /// Tells the domain where the job's ranks are now, by rank, and that its memory is filled: what
    /// was written before is seen by whoever sees this.
    pub(crate) fn go(&self, window: &Window, domains: &[u32]) {
        let told = &domains[..domains.len().min(LANDING_DOMAINS)];
        let bytes: Vec<u8> = told.iter().flat_map(|domain| domain.to_le_bytes()).collect();
        window.copy_in(self.pages + offset_of!(LandingPages, domains) as u64, &bytes);
        fence(Ordering::Release);
        // `go` and `size` are one word, which is written whole.
        const { assert!(offset_of!(LandingPages, go) == 0 && offset_of!(LandingPages, size) == 4) };
        let word = 1 | (told.len() as u64) << 32;
        window.copy_in(self.pages, &word.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::ptr::NonNull;

    use armci_nostd::wire::RuntimeArea;
    use armci_nostd::wire::attach::WindowLayout;

    use super::*;

    const PAGE: usize = 4096;
    /// The runtime area, then pages of which some lie apart.
    const APART: usize = size_of::<RuntimeArea>() + PAGE;
    const LEN: usize = APART + 6 * PAGE;

    fn with_window(test: impl FnOnce(&Window, &dyn Fn() -> Vec<u8>)) {
        let mut pages = vec![[0u64; PAGE / 8]; LEN / PAGE + 1];
        let start = pages.as_mut_ptr().cast::<u8>();
        // SAFETY: within `pages`, of which there is one page more than are needed.
        let base = unsafe { NonNull::new_unchecked(start.add(start.align_offset(PAGE))) };
        let end = LEN as u64;
        let layout =
            WindowLayout { window: 0, len: end, runtime: 0, public_start: end, public_end: end };
        // SAFETY: aligned, and valid as long as `pages`.
        let window = unsafe { Window::new(base, &layout) }.unwrap();
        test(&window, &|| {
            let mut bytes = vec![0; LEN];
            window.copy_out(0, &mut bytes, |_| ());
            bytes
        });
    }

    fn landing() -> Landing {
        let apart = APART as u64..(APART + 3 * PAGE) as u64;
        Landing { domain: 7, pages: apart.start + PAGE as u64, apart }
    }

    #[test]
    fn what_lies_apart_is_left_as_it_is() {
        let landing = landing();
        let apart = landing.apart.start as usize..landing.apart.end as usize;
        let all = || (0..LEN).map(|at| at % 251 + 1).map(|byte| byte as u8).collect::<Vec<_>>();
        let mut expected = all();
        expected[apart.clone()].fill(0);
        for piece in [1, 100, PAGE, 2 * PAGE, 5 * PAGE, LEN] {
            with_window(|window, content| {
                for (number, bytes) in all().chunks(piece).enumerate() {
                    assert!(landing.fill(window, (number * piece) as u64, bytes));
                }
                assert!(content() == expected, "in pieces of {piece}");
            });
        }
    }

    #[test]
    fn nothing_is_written_of_what_does_not_fit() {
        with_window(|window, content| {
            for offset in [LEN as u64, LEN as u64 - 7, u64::MAX, u64::MAX - 7] {
                assert!(!landing().fill(window, offset, &[1; 8]));
            }
            assert!(content().iter().all(|byte| *byte == 0));
            assert!(landing().fill(window, LEN as u64, &[]));
        });
    }

    #[test]
    fn a_domain_is_told_as_many_numbers_as_there_is_room_for() {
        for ranks in [1, 3, LANDING_DOMAINS, LANDING_DOMAINS + 5] {
            with_window(|window, content| {
                let domains: Vec<u32> = (0..ranks as u32).map(|rank| rank + 10).collect();
                landing().go(window, &domains);
                let content = content();
                let word = |at: usize| {
                    u32::from_le_bytes(content[APART + PAGE + at..][..4].try_into().unwrap())
                };
                let told = ranks.min(LANDING_DOMAINS);
                assert_eq!((word(0), word(4) as usize), (1, told));
                let numbers = (0..told).map(|rank| word(PAGE + 4 * rank));
                assert!(numbers.eq(domains[..told].iter().copied()));
                assert!(content[APART + 3 * PAGE..].iter().all(|byte| *byte == 0));
            });
        }
    }
}

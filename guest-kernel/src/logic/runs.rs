//! Hands out runs of consecutive numbers: grant references, pages of an address range.

use alloc::vec::Vec;
use core::ops::Range;

/// Numbers that are free, as runs in ascending order, no two of which touch.
///
/// The first run that is long enough is taken from, so low numbers are used again before high ones
/// are used at all. What comes with the high ones, like frames of the grant table, is then not made
/// without need.
#[derive(Debug, PartialEq, Eq)]
pub struct Runs {
    free: Vec<Range<u32>>,
    /// Runs that are taken.
    taken: usize,
}

impl Runs {
    /// Nothing to hand out.
    pub const fn none() -> Self {
        Runs { free: Vec::new(), taken: 0 }
    }

    /// All of `numbers`, free. None if there is no memory to remember that.
    pub fn new(numbers: Range<u32>) -> Option<Self> {
        let mut free = Vec::new();
        free.try_reserve(1).ok()?;
        if !numbers.is_empty() {
            free.push(numbers);
        }
        Some(Runs { free, taken: 0 })
    }

    /// Takes `len` consecutive numbers; the first of them. None if there are not as many in a row,
    /// or no memory to remember it. A run of no length is none.
    pub fn take(&mut self, len: u32) -> Option<u32> {
        let at = self.free.iter().position(|run| len > 0 && run.end - run.start >= len)?;
        // Each run that is given back adds a free one at most. Room for all is made now, so that
        // giving back needs no memory: it is done where nothing may fail.
        self.free.try_reserve(self.taken + 1).ok()?;
        self.taken += 1;
        let run = &mut self.free[at];
        let first = run.start;
        run.start += len;
        if run.start == run.end {
            self.free.remove(at);
        }
        Some(first)
    }

    /// Gives back what [`take`](Self::take) gave, whole. False, and nothing changes, if any of
    /// these numbers are free already or nothing is taken: then they were not taken.
    pub fn give(&mut self, first: u32, len: u32) -> bool {
        let Some(end) = first.checked_add(len).filter(|_| len > 0 && self.taken > 0) else {
            return false;
        };
        let at = self.free.partition_point(|run| run.end <= first);
        if self.free.get(at).is_some_and(|next| next.start < end) {
            return false;
        }
        let touches_next = self.free.get(at).is_some_and(|next| next.start == end);
        let touches_before = at > 0 && self.free[at - 1].end == first;
        match (touches_before, touches_next) {
            (true, true) => {
                self.free[at - 1].end = self.free[at].end;
                self.free.remove(at);
            }
            (true, false) => self.free[at - 1].end = end,
            (false, true) => self.free[at].start = first,
            (false, false) => self.free.insert(at, first..end),
        }
        self.taken -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn low_numbers_come_first_and_come_back() {
        let mut runs = Runs::new(8..20).unwrap();
        assert_eq!(runs.take(4), Some(8));
        assert_eq!(runs.take(4), Some(12));
        assert_eq!(runs.take(5), None);
        assert!(runs.give(8, 4));
        assert_eq!(runs.take(5), None);
        assert_eq!(runs.take(2), Some(8));
        assert!(runs.give(12, 4));
        assert_eq!(runs.take(10), Some(10));
        assert_eq!(runs.take(1), None);
    }

    #[test]
    fn nothing_is_given_back_twice() {
        let mut runs = Runs::new(0..10).unwrap();
        assert!(!runs.give(0, 4), "nothing is taken");
        let first = runs.take(4).unwrap();
        let _other = runs.take(2).unwrap();
        assert!(runs.give(first, 4));
        assert!(!runs.give(first, 4));
        assert!(!runs.give(first + 2, 3));
        assert!(!runs.give(u32::MAX, 2));
    }

    #[test]
    fn empty_ranges_and_lengths_are_none() {
        assert_eq!(Runs::none().take(1), None);
        assert_eq!(Runs::new(5..5).unwrap().take(1), None);
        assert_eq!(Runs::new(0..5).unwrap().take(0), None);
    }

    proptest! {
        /// Whatever is taken and given back in whatever order: nothing is handed out twice, giving
        /// back needs no memory, and at the end all is one run again.
        #[test]
        fn taken_runs_never_overlap(
            steps in proptest::collection::vec(
                (any::<bool>(), 1u32..40, any::<usize>()),
                0..200,
            ),
        ) {
            let all = 100..400;
            let mut runs = Runs::new(all.clone()).unwrap();
            let mut taken: Vec<Range<u32>> = Vec::new();
            for (take, len, which) in steps {
                if take {
                    let fits = runs.free.iter().any(|run| run.len() >= len as usize);
                    let first = runs.take(len);
                    prop_assert_eq!(first.is_some(), fits);
                    if let Some(first) = first {
                        let run = first..first + len;
                        prop_assert!(all.start <= run.start && run.end <= all.end);
                        let apart =
                            |other: &Range<u32>| other.end <= run.start || run.end <= other.start;
                        prop_assert!(taken.iter().all(apart));
                        taken.push(run);
                    }
                } else if !taken.is_empty() {
                    let run = taken.swap_remove(which % taken.len());
                    let capacity = runs.free.capacity();
                    prop_assert!(runs.give(run.start, run.end - run.start));
                    prop_assert_eq!(runs.free.capacity(), capacity);
                }
            }
            for run in taken {
                prop_assert!(runs.give(run.start, run.end - run.start));
            }
            prop_assert_eq!(runs, Runs::new(all).unwrap());
        }
    }
}

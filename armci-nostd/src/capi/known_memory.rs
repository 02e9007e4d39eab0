//! Where ranks have memory that others may touch, as C has told.

use core::cell::{Cell, RefCell};
use core::ops::Range;
use std::collections::BTreeMap;
use std::prelude::v1::*;

/// Where other ranks have memory that may be touched.
#[derive(Default)]
pub(super) struct KnownMemory {
    /// The end by rank and start.
    ends: RefCell<BTreeMap<(usize, u64), u64>>,
    /// What was found last, where the next use probably is.
    last: Cell<(usize, u64, u64)>,
}

impl KnownMemory {
    /// There are `len` bytes at `address` of a rank.
    pub fn add(&self, rank: usize, address: u64, len: u64) {
        if len == 0 {
            return;
        }
        let Some(end) = address.checked_add(len) else { return };
        self.last.take();
        let mut ends = self.ends.borrow_mut();
        // What lies there was freed, or this could not.
        while let Some((&(of, start), _)) = ends.range(..(rank, end)).next_back()
            && of == rank
            && ends.get(&(rank, start)).is_some_and(|&known_end| known_end > address)
        {
            ends.remove(&(rank, start));
        }
        ends.insert((rank, address), end);
    }

    /// What began at `address` of a rank is freed.
    pub fn remove(&self, rank: usize, address: u64) {
        self.last.take();
        self.ends.borrow_mut().remove(&(rank, address));
    }

    /// Whether all of these bytes may be touched, in one piece.
    pub fn contains(&self, rank: usize, place: &Range<u64>) -> bool {
        let (of, start, end) = self.last.get();
        if of == rank && place.start >= start && place.end <= end {
            return true;
        }
        let ends = self.ends.borrow();
        let Some((&(of, start), &end)) = ends.range(..=(rank, place.start)).next_back() else {
            return false;
        };
        let found = of == rank && place.start >= start && place.end <= end;
        if found {
            self.last.set((rank, start, end));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_allocated_and_not_freed_is_known() {
        let known = KnownMemory::default();
        known.add(1, 100, 50);
        known.add(1, 200, 50);
        known.add(2, 100, 10);
        known.add(2, 500, 0);
        for _ in 0..2 {
            assert!(known.contains(1, &(100..150)));
            assert!(known.contains(1, &(120..130)));
            assert!(known.contains(1, &(249..250)));
            assert!(!known.contains(1, &(149..151)));
            assert!(!known.contains(1, &(99..101)));
            assert!(!known.contains(2, &(100..111)));
            assert!(!known.contains(2, &(500..501)));
            assert!(!known.contains(0, &(100..101)));
        }
        known.remove(1, 100);
        assert!(!known.contains(1, &(100..101)));
        assert!(known.contains(1, &(200..201)));
        // What lies there now was freed, though nobody said so.
        known.add(1, 220, 10);
        assert!(!known.contains(1, &(200..201)));
        assert!(known.contains(1, &(220..230)));
    }
}

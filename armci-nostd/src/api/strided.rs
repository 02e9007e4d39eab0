//! Strided sections: rows of equal length at regular distances, to eight levels.

use std::prelude::v1::*;

use crate::api::global::GlobalPtr;
use crate::element::Element;
use crate::error::Error;
use crate::path::rows::Row;

/// Most strides that a section can have: ARMCI's `MAX_STRIDE_LEVEL`.
pub const MAX_STRIDES: usize = 8;

/// The shape of a strided section.
///
/// `counts[0]` elements are consecutive. There are `counts[1]` such rows at distances of `local[0]`
/// elements here and `remote[0]` at the target, `counts[2]` such planes at distances of `local[1]`
/// and `remote[1]`, and so on. With no strides there is one row. A count of zero is legal: nothing
/// is done.
///
/// ```
/// # use armci_nostd::{Armci, Strides};
/// # let armci = Armci::alone();
/// // The upper left 2 x 3 corner of a matrix of 10 columns, to the middle of one of 100.
/// let (here, there) = ([1.5; 20], armci.malloc::<f64>(10_000)?);
/// let shape = Strides { counts: &[3, 2], local: &[10], remote: &[100] };
/// armci.put_strided(&here, there.at(0, 5050), &shape)?;
/// # assert_eq!(armci.get_value(there.at(0, 5152))?, 1.5);
/// # armci.free(there)?;
/// # Ok::<(), armci_nostd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strides<'a> {
    /// Elements of a row, then how many of each at every level.
    pub counts: &'a [usize],
    /// Distances here, in elements, one fewer than there are counts.
    pub local: &'a [usize],
    /// Distances at the target, in elements.
    pub remote: &'a [usize],
}

impl Strides<'_> {
    /// Its rows, after a check that all lie in `len` elements at `local` and in the room at
    /// `remote`.
    pub(crate) fn rows_of<T: Element>(
        &self,
        len: usize,
        local: *mut u8,
        remote: GlobalPtr<'_, T>,
    ) -> Result<Rows, Error> {
        if self.counts.len() != self.local.len() + 1 || self.local.len() != self.remote.len() {
            return Err(Error::Shape(
                "a strided section needs one count more than it has strides, on both sides",
            ));
        }
        if !self.counts.contains(&0) {
            let extent = |strides: &[usize]| {
                self.counts[1..]
                    .iter()
                    .zip(strides)
                    .try_fold(self.counts[0], |extent, (count, stride)| {
                        extent.checked_add((count - 1).checked_mul(*stride)?)
                    })
            };
            if extent(self.local).is_none_or(|extent| extent > len) {
                return Err(Error::Shape(
                    "a strided section does not fit into the local memory given for it",
                ));
            }
            remote.check(extent(self.remote).unwrap_or(usize::MAX))?;
        }
        // In bytes nothing overflows: the extents are those of memory that exists.
        let mut levels = [Level::default(); MAX_STRIDES];
        let strides = self.counts.iter().skip(1).zip(self.local.iter().zip(self.remote));
        if self.local.len() > MAX_STRIDES {
            return Err(Error::Shape("a strided section can have eight strides at most"));
        }
        for (level, (&count, (&local, &remote))) in levels.iter_mut().zip(strides) {
            let bytes = |stride: usize| stride.wrapping_mul(size_of::<T>()) as isize;
            *level = Level { count, local: bytes(local), remote: bytes(remote) };
        }
        Rows::new(
            local,
            remote.address,
            self.counts[0] * size_of::<T>(),
            &levels[..self.local.len()],
        )
    }
}

/// One level of a section, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// How many.
    pub count: usize,
    /// From one to the next here.
    pub local: isize,
    /// From one to the next at the target.
    pub remote: isize,
}

/// The rows of a section, one after the other.
#[derive(Clone, Debug)]
pub struct Rows {
    next: Row,
    left: usize,
    depth: usize,
    levels: [Level; MAX_STRIDES],
    /// Which one of each level `next` is in.
    index: [usize; MAX_STRIDES],
}

impl Rows {
    /// `row_len` bytes at `local` and `remote`, repeated as `levels` say.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are more than [`MAX_STRIDES`] levels, or more rows than can be
    /// counted.
    pub fn new(
        local: *mut u8,
        remote: u64,
        row_len: usize,
        levels: &[Level],
    ) -> Result<Self, Error> {
        let too_many = || Error::Shape("a strided section has more rows than can be counted");
        if levels.len() > MAX_STRIDES {
            return Err(Error::Shape("a strided section can have eight strides at most"));
        }
        let mut left = usize::from(row_len > 0);
        if levels.iter().any(|level| level.count == 0) {
            left = 0;
        }
        for level in levels {
            left = left.checked_mul(level.count).ok_or_else(too_many)?;
        }
        let mut next = Row { local, remote, len: row_len };
        // Rows that follow each other on both sides are one.
        let mut rest = levels;
        while let [first, others @ ..] = rest
            && left > 0
            && first.local == first.remote
            && usize::try_from(first.local).is_ok_and(|stride| stride == next.len)
            && let Some(len) = next.len.checked_mul(first.count)
        {
            next.len = len;
            left /= first.count;
            rest = others;
        }
        let mut rows = Self {
            next,
            left,
            depth: rest.len(),
            levels: Default::default(),
            index: [0; MAX_STRIDES],
        };
        rows.levels[..rest.len()].copy_from_slice(rest);
        Ok(rows)
    }
}

impl Iterator for Rows {
    type Item = Row;

    #[inline]
    fn next(&mut self) -> Option<Row> {
        self.left = self.left.checked_sub(1)?;
        let row = self.next;
        for (level, index) in self.levels[..self.depth].iter().zip(&mut self.index) {
            *index += 1;
            if *index < level.count {
                self.next.local = self.next.local.wrapping_offset(level.local);
                self.next.remote = self.next.remote.wrapping_add_signed(level.remote as i64);
                break;
            }
            // Back to the first of this level, and on to the next of the level above.
            *index = 0;
            let back = |stride: isize| stride.wrapping_mul(level.count as isize - 1).wrapping_neg();
            self.next.local = self.next.local.wrapping_offset(back(level.local));
            self.next.remote = self.next.remote.wrapping_add_signed(back(level.remote) as i64);
        }
        Some(row)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Armci;
    use core::ptr;
    use proptest::prelude::*;

    /// The rows as the definition says: every combination of indices, the first level the quickest.
    fn by_definition(row_len: usize, levels: &[Level]) -> Vec<(isize, isize, usize)> {
        let mut rows = vec![(0, 0, row_len)];
        for level in levels {
            rows = (0..level.count as isize)
                .flat_map(|i| {
                    rows.iter()
                        .map(move |(l, r, len)| (l + i * level.local, r + i * level.remote, *len))
                })
                .collect();
        }
        rows
    }

    /// Byte by byte: from where to where.
    fn bytes(rows: impl IntoIterator<Item = (isize, isize, usize)>) -> Vec<(isize, isize)> {
        rows.into_iter()
            .flat_map(|(l, r, len)| (0..len as isize).map(move |i| (l + i, r + i)))
            .collect()
    }

    proptest! {
        #[test]
        fn rows_are_those_of_the_definition(
            row_len in 0usize..5,
            levels in proptest::collection::vec(
                (0usize..4, -9isize..9, -9isize..9), 0..=MAX_STRIDES
            )
        ) {
            let level = |(count, local, remote)| Level { count, local, remote };
            let levels: Vec<_> = levels.into_iter().map(level).collect();
            let local = ptr::without_provenance_mut(1 << 20);
            let rows = Rows::new(local, 1 << 30, row_len, &levels).unwrap();
            prop_assert_eq!(rows.size_hint().0, rows.clone().count());
            let rows = rows.map(|row| {
                (row.local.addr() as isize - (1 << 20), row.remote as isize - (1 << 30), row.len)
            });
            prop_assert_eq!(bytes(rows), bytes(by_definition(row_len, &levels)));
        }

        /// A section of a local array goes to a section of a global one and back, and nothing else
        /// changes.
        #[test]
        fn sections_move_as_in_plain_memory(
            counts in proptest::collection::vec(0usize..4, 1..5),
            gaps in proptest::collection::vec((0usize..4, 0usize..4), 4),
            offset in 0usize..5,
        ) {
            let armci = Armci::alone();
            let (mut local, mut remote) = (Vec::new(), Vec::new());
            let (mut local_extent, mut remote_extent) = (counts[0], counts[0]);
            for (count, (here, there)) in counts[1..].iter().zip(&gaps) {
                local.push(local_extent + here);
                remote.push(remote_extent + there);
                local_extent = local_extent + here + local_extent * count;
                remote_extent = remote_extent + there + remote_extent * count;
                local_extent += (local[local.len() - 1]) * count;
                remote_extent += (remote[remote.len() - 1]) * count;
            }
            let shape = Strides { counts: &counts, local: &local, remote: &remote };
            let here: Vec<i64> = (0..local_extent as i64).map(|i| i + 1).collect();
            let there = armci.malloc::<i64>(offset + remote_extent).unwrap();
            armci.put_strided(&here, there.at(0, offset), &shape).unwrap();
            armci.accumulate_strided(10, &here, there.at(0, offset), &shape).unwrap();

            let levels: Vec<_> = (1..counts.len())
                .map(|i| {
                    let (local, remote) = (local[i - 1] as isize, remote[i - 1] as isize);
                    Level { count: counts[i], local, remote }
                })
                .collect();
            let mut model = vec![0; offset + remote_extent];
            let mut model_back = vec![0; local_extent];
            for (l, r) in bytes(by_definition(counts[0], &levels)) {
                model[offset + r as usize] = 11 * here[l as usize];
                model_back[l as usize] = 11 * here[l as usize];
            }
            let mut all = vec![0; model.len()];
            armci.get(&mut all, there.at(0, 0)).unwrap();
            prop_assert_eq!(all, model);
            let mut back = vec![0; local_extent];
            armci.get_strided(&mut back, there.at(0, offset), &shape).unwrap();
            prop_assert_eq!(back, model_back);
            armci.free(there).unwrap();
        }
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let armci = Armci::alone();
        let there = armci.malloc::<u8>(100).unwrap();
        let put = |counts: &[usize], local: &[usize], remote: &[usize]| {
            armci.put_strided(&[0; 50], there.at(0, 0), &Strides { counts, local, remote })
        };
        assert_eq!(put(&[50, 2], &[0], &[50]), Ok(()));
        assert!(
            matches!(put(&[50, 2], &[1], &[50]), Err(Error::Shape(_))),
            "the local memory is too short"
        );
        assert!(matches!(
            put(&[50, 2], &[0], &[51]),
            Err(Error::OutOfBounds { len: 101, room: 100, .. })
        ));
        assert!(matches!(put(&[1, 2], &[], &[1]), Err(Error::Shape(_))));
        assert!(matches!(put(&[], &[], &[]), Err(Error::Shape(_))));
        assert!(matches!(put(&[1; 10], &[0; 9], &[0; 9]), Err(Error::Shape(_))));
        assert!(matches!(put(&[1, usize::MAX], &[2], &[2]), Err(Error::Shape(_))));
        assert_eq!(put(&[0, usize::MAX, usize::MAX], &[2, 2], &[2, 2]), Ok(()), "nothing to do");
        armci.free(there).unwrap();
    }

    #[test]
    fn contiguous_sections_are_one_row() {
        let contiguous =
            [Level { count: 3, local: 8, remote: 8 }, Level { count: 2, local: 24, remote: 24 }];
        let mut rows = Rows::new(ptr::null_mut(), 0, 8, &contiguous).unwrap();
        assert_eq!(rows.next().map(|row| row.len), Some(48));
        assert_eq!(rows.next(), None);
    }
}

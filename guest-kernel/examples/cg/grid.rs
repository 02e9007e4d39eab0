//! Who holds what: ranks in a grid of rows and columns, over the matrix and over its vectors.
//!
//! Rank (r, c) keeps the matrix block of row band r and column band c. Of each vector it owns one
//! *piece*: band r is cut into as many pieces as the grid has columns, and c says which.

use core::ops::Range;

/// A power-of-two number of ranks, arranged as square as can be; where it is not square, there are
/// more columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    size: usize,
    rows: usize,
    columns: usize,
}

impl Grid {
    /// The grid for vectors of `size` elements on `ranks` ranks; none when `ranks` is not a power
    /// of two.
    pub fn new(size: usize, ranks: usize) -> Option<Self> {
        let rows = ranks.is_power_of_two().then(|| 1 << (ranks.ilog2() / 2))?;
        Some(Self { size, rows, columns: ranks / rows })
    }

    /// How many rows of ranks there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns of ranks there are.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The rank in a row and a column.
    pub fn rank(&self, row: usize, column: usize) -> usize {
        row * self.columns + column
    }

    /// The row and column of a rank.
    pub fn place(&self, rank: usize) -> (usize, usize) {
        (rank / self.columns, rank % self.columns)
    }

    /// The matrix rows that a grid row holds.
    pub fn row_band(&self, row: usize) -> Range<usize> {
        part(0..self.size, self.rows, row)
    }

    /// The matrix columns that a grid column holds.
    pub fn column_band(&self, column: usize) -> Range<usize> {
        part(0..self.size, self.columns, column)
    }

    /// The vector elements that a rank owns.
    pub fn piece(&self, rank: usize) -> Range<usize> {
        let (row, column) = self.place(rank);
        part(self.row_band(row), self.columns, column)
    }

    /// The longest piece of any rank.
    pub fn longest_piece(&self) -> usize {
        (0..self.rows * self.columns).map(|rank| self.piece(rank).len()).max().unwrap_or(0)
    }

    /// The longest column band of any rank.
    pub fn longest_column_band(&self) -> usize {
        (0..self.columns).map(|column| self.column_band(column).len()).max().unwrap_or(0)
    }
}

/// What two ranges share; empty when nothing.
pub fn overlap(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    let start = a.start.max(b.start);
    start..a.end.min(b.end).max(start)
}

/// `inner`, which lies within `outer`, relative to its start.
pub fn within(inner: &Range<usize>, outer: &Range<usize>) -> Range<usize> {
    inner.start - outer.start..inner.end - outer.start
}

/// One of `parts` parts of a range, all as long as can be the same.
fn part(range: Range<usize>, parts: usize, index: usize) -> Range<usize> {
    let bound = |index: usize| range.start + range.len() * index / parts;
    bound(index)..bound(index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_are_as_square_as_can_be() {
        for (ranks, rows, columns) in
            [(1, 1, 1), (2, 1, 2), (4, 2, 2), (8, 2, 4), (16, 4, 4), (32, 4, 8)]
        {
            let grid = Grid::new(1400, ranks).expect("a power of two");
            assert_eq!((grid.rows(), grid.columns()), (rows, columns));
            for rank in 0..ranks {
                let (row, column) = grid.place(rank);
                assert_eq!(grid.rank(row, column), rank);
            }
        }
        for ranks in [0, 3, 5, 6, 7, 12] {
            assert_eq!(Grid::new(1400, ranks), None);
        }
    }

    #[test]
    fn pieces_and_bands_cover_every_element_once() {
        for size in [8, 13, 1400, 7001] {
            for ranks in [1, 2, 4, 8, 16] {
                let grid = Grid::new(size, ranks).expect("a power of two");
                let mut covered = 0;
                for rank in 0..ranks {
                    let piece = grid.piece(rank);
                    assert_eq!(piece.start, covered, "pieces follow one another in order of rank");
                    assert!(piece.len() <= grid.longest_piece());
                    assert_eq!(overlap(&piece, &grid.row_band(grid.place(rank).0)), piece);
                    covered = piece.end;
                }
                assert_eq!(covered, size);
                let bands: usize =
                    (0..grid.columns()).map(|column| grid.column_band(column).len()).sum();
                assert_eq!(bands, size);
            }
        }
    }

    #[test]
    fn ranges_overlap_where_they_should() {
        assert_eq!(overlap(&(0..5), &(3..9)), 3..5);
        assert_eq!(overlap(&(3..9), &(4..6)), 4..6);
        assert!(overlap(&(0..3), &(3..9)).is_empty());
        assert!(overlap(&(7..9), &(0..3)).is_empty());
        assert_eq!(within(&(4..6), &(3..9)), 1..3);
    }
}

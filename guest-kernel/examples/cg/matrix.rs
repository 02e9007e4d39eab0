//! The benchmark's random sparse matrix, of which each rank makes and keeps one block.
//!
//! The matrix is a weighted sum of outer products of sparse random vectors, one vector for each
//! row, plus a multiple of the identity. All ranks draw the same vectors, twice: to count what
//! falls into their block, and to fill it. So nothing but the block itself is ever held in memory.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::class::{Class, MAX_NONZEROS, RCOND};
use crate::random::Random;

/// A rectangle of the matrix in compressed rows; indices are relative to its corner.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Where each row's entries begin, and at the end where the last row's end.
    row_starts: Vec<u32>,
    columns: Vec<u32>,
    values: Vec<f64>,
}

impl Block {
    /// Generates the entries of `class`'s matrix that lie in `rows` and `columns`.
    pub fn generate(
        class: &Class,
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> Result<Self, BlockTooLarge> {
        let mut capacity = vec![0_u32; rows.len()];
        for_each_entry(class, &rows, &columns, |row, _, _| capacity[row] += 1);

        let mut block = Filling::with_capacities(&capacity)?;
        for_each_entry(class, &rows, &columns, |row, column, value| block.add(row, column, value));
        Ok(block.finish())
    }

    /// How many entries are stored.
    pub fn entries(&self) -> usize {
        self.values.len()
    }

    /// Sets `product` to the block times `vector`.
    pub fn multiply(&self, vector: &[f64], product: &mut [f64]) {
        for (row, sum) in self.row_starts.windows(2).zip(product) {
            let entries = row[0] as usize..row[1] as usize;
            let columns = &self.columns[entries.clone()];
            *sum = columns
                .iter()
                .zip(&self.values[entries])
                .map(|(&column, value)| value * vector[column as usize])
                .sum();
        }
    }
}

/// There is no memory for the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockTooLarge {
    /// How much it takes.
    pub bytes: usize,
}

impl fmt::Display for BlockTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = self.bytes.div_ceil(1024);
        write!(
            f,
            "no memory for {kib} KiB of the matrix; give each rank more (--mem) or use more ranks"
        )
    }
}

/// A block in the making: every row has room for all that will be added to it, duplicates included.
struct Filling {
    row_starts: Vec<u32>,
    filled: Vec<u32>,
    columns: Vec<u32>,
    values: Vec<f64>,
}

impl Filling {
    fn with_capacities(capacities: &[u32]) -> Result<Self, BlockTooLarge> {
        let mut row_starts = Vec::with_capacity(capacities.len() + 1);
        row_starts.push(0);
        let mut total = 0;
        for capacity in capacities {
            total += capacity;
            row_starts.push(total);
        }
        let total = total as usize;
        let too_large = |_| BlockTooLarge { bytes: total * (size_of::<u32>() + size_of::<f64>()) };
        let (mut columns, mut values) = (Vec::new(), Vec::new());
        columns.try_reserve_exact(total).map_err(too_large)?;
        values.try_reserve_exact(total).map_err(too_large)?;
        columns.resize(total, 0);
        values.resize(total, 0.0);
        Ok(Self { row_starts, filled: vec![0; capacities.len()], columns, values })
    }

    /// Keeps rows sorted; entries in one place are summed up.
    fn add(&mut self, row: usize, column: u32, value: f64) {
        let start = self.row_starts[row] as usize;
        let end = start + self.filled[row] as usize;
        match self.columns[start..end].binary_search(&column) {
            Ok(at) => self.values[start + at] += value,
            Err(at) => {
                self.columns.copy_within(start + at..end, start + at + 1);
                self.values.copy_within(start + at..end, start + at + 1);
                self.columns[start + at] = column;
                self.values[start + at] = value;
                self.filled[row] += 1;
            }
        }
    }

    /// Closes the gaps that duplicates have left.
    fn finish(mut self) -> Block {
        let mut end = 0;
        for (row, filled) in self.filled.iter().enumerate() {
            let entries = self.row_starts[row] as usize..(self.row_starts[row] + filled) as usize;
            self.columns.copy_within(entries.clone(), end);
            self.values.copy_within(entries.clone(), end);
            self.row_starts[row] = end as u32;
            end += entries.len();
        }
        if let Some(last) = self.row_starts.last_mut() {
            *last = end as u32;
        }
        self.columns.truncate(end);
        self.values.truncate(end);
        Block { row_starts: self.row_starts, columns: self.columns, values: self.values }
    }
}

/// Calls `visit(row, column, value)`, indices relative to the block's corner, for all entries
/// before summing up.
fn for_each_entry(
    class: &Class,
    rows: &Range<usize>,
    columns: &Range<usize>,
    mut visit: impl FnMut(usize, u32, f64),
) {
    let mut random = Random::new();
    // The benchmark throws the first number away.
    random.next();
    let ratio = libm::pow(RCOND, 1.0 / class.size as f64);
    let mut weight = 1.0;
    for index in 0..class.size {
        let vector = SparseVector::draw(&mut random, class, index);
        for (row, row_value) in vector.within(rows) {
            let scale = weight * row_value;
            for (column, column_value) in vector.within(columns) {
                let mut value = column_value * scale;
                if row == index && column == index {
                    value += RCOND - class.shift;
                }
                visit(row - rows.start, (column - columns.start) as u32, value);
            }
        }
        weight *= ratio;
    }
}

/// A few distinct positions with a value each.
struct SparseVector {
    len: usize,
    positions: [usize; MAX_NONZEROS],
    values: [f64; MAX_NONZEROS],
}

impl SparseVector {
    /// Draws the vector for row `index`, which has one half at that position.
    fn draw(random: &mut Random, class: &Class, index: usize) -> Self {
        let mut vector = Self { len: 0, positions: [0; MAX_NONZEROS], values: [0.0; MAX_NONZEROS] };
        let scale = class.size.next_power_of_two() as f64;
        while vector.len < class.nonzeros {
            let value = random.next();
            let position = (scale * random.next()) as usize;
            if position < class.size && vector.find(position).is_none() {
                vector.push(position, value);
            }
        }
        match vector.find(index) {
            Some(at) => vector.values[at] = 0.5,
            None => vector.push(index, 0.5),
        }
        vector
    }

    fn find(&self, position: usize) -> Option<usize> {
        self.positions[..self.len].iter().position(|known| *known == position)
    }

    fn push(&mut self, position: usize, value: f64) {
        self.positions[self.len] = position;
        self.values[self.len] = value;
        self.len += 1;
    }

    fn within<'a>(&'a self, range: &'a Range<usize>) -> impl Iterator<Item = (usize, f64)> + 'a {
        let pairs = self.positions[..self.len].iter().copied().zip(self.values.iter().copied());
        pairs.filter(|(position, _)| range.contains(position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generate(class: &Class, rows: Range<usize>, columns: Range<usize>) -> Block {
        Block::generate(class, rows, columns).expect("there is memory")
    }

    const SMALL: Class =
        Class { name: 'T', size: 60, nonzeros: 4, iterations: 1, shift: 3.0, zeta: 0.0 };

    fn dense(block: &Block, width: usize) -> Vec<Vec<f64>> {
        let row = |bounds: &[u32]| {
            let mut row = vec![0.0; width];
            for at in bounds[0] as usize..bounds[1] as usize {
                assert_eq!(row[block.columns[at] as usize], 0.0, "no entry is stored twice");
                row[block.columns[at] as usize] = block.values[at];
            }
            row
        };
        block.row_starts.windows(2).map(row).collect()
    }

    #[test]
    fn the_matrix_is_symmetric_with_a_full_diagonal() {
        let matrix = dense(&generate(&SMALL, 0..60, 0..60), 60);
        for (i, row) in matrix.iter().enumerate() {
            assert!(row[i] != 0.0);
            for (j, entry) in row.iter().enumerate() {
                assert!((entry - matrix[j][i]).abs() < 1e-15);
            }
        }
    }

    #[test]
    fn blocks_are_parts_of_the_whole() {
        let whole = dense(&generate(&SMALL, 0..60, 0..60), 60);
        for (rows, columns) in [(0..30, 0..30), (30..60, 0..15), (17..41, 41..60), (5..5, 0..60)] {
            let block = dense(&generate(&SMALL, rows.clone(), columns.clone()), columns.len());
            assert_eq!(block.len(), rows.len());
            for (row, values) in rows.zip(block) {
                assert_eq!(values, whole[row][columns.clone()]);
            }
        }
    }

    #[test]
    fn class_s_has_the_known_number_of_entries() {
        let class = Class::named("S").expect("class S exists");
        assert_eq!(generate(&class, 0..1400, 0..1400).entries(), 78148);
    }

    #[test]
    fn multiplying_is_what_it_is_on_paper() {
        let block = generate(&SMALL, 10..30, 20..60);
        let vector: Vec<f64> = (0..40).map(f64::from).collect();
        let mut product = vec![f64::NAN; 20];
        block.multiply(&vector, &mut product);
        for (row, product) in dense(&block, 40).iter().zip(product) {
            let expected: f64 = row.iter().zip(&vector).map(|(a, b)| a * b).sum();
            assert!((expected - product).abs() < 1e-12);
        }
    }
}

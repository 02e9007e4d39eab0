//! What ranks of the grid exchange, by one-sided operations.
//!
//! - *spread*: a rank puts its piece of the vector into the column band of every rank whose matrix columns it touches. This is
//!   the transpose exchange: pieces are parts of row bands, and go where column bands are.
//! - *fold*: a rank puts parts of its partial sums to the ranks of its grid row, into a slot for each sender. They are summed up in
//!   the order of the slots, so that the result has the same bits in every run, which accumulating in order of arrival would not have.
//!
//! Every put carries a flag, a count of exchanges which the receiver waits for. No rank tells that it has read what it was
//! sent: between two exchanges of a kind there is a sum over all ranks, to which a rank contributes only when it has read it.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use guest_kernel::armci::{Armci, Error, Global, ReduceOp};

use crate::grid::{Grid, overlap, within};
use crate::solver::Exchange;

/// One rank's end of the exchanges.
pub struct OneSided<'a> {
    armci: &'a Armci,
    rank: usize,
    grid: Grid,
    /// Who gets which part of this rank's piece.
    deliveries: Vec<Delivery>,
    /// Whose pieces make up this rank's column band.
    suppliers: Vec<usize>,
    /// This rank's column band, where others put their pieces.
    landing: Global<f64>,
    /// The column band to compute with, which nobody else writes to.
    band: Vec<f64>,
    /// For each column of the grid: partial sums from the rank there.
    slots: Global<f64>,
    /// One slot's contents.
    slot: Vec<f64>,
    /// How many pieces each rank has sent.
    spread_flags: Global<u64>,
    /// How many partial sums the rank in each column of the grid has sent.
    fold_flags: Global<u64>,
    spreads: u64,
    folds: u64,
}

/// A part of a piece, and where it goes.
struct Delivery {
    rank: usize,
    part: Range<usize>,
    place: usize,
}

impl<'a> OneSided<'a> {
    /// Allocates what the exchanges need, together with all other ranks.
    pub fn new(armci: &'a Armci, grid: Grid) -> Result<Self, Error> {
        let rank = armci.rank();
        let (_, column) = grid.place(rank);
        let piece = grid.piece(rank);
        let band = grid.column_band(column);
        let deliveries = (0..armci.size()).filter_map(|rank| {
            let target = grid.column_band(grid.place(rank).1);
            let shared = overlap(&piece, &target);
            let place = || within(&shared, &target).start;
            (!shared.is_empty()).then(|| Delivery { rank, part: within(&shared, &piece), place: place() })
        });
        let suppliers =
            (0..armci.size()).filter(|from| *from != rank && !overlap(&grid.piece(*from), &band).is_empty());
        Ok(Self {
            armci,
            rank,
            grid,
            deliveries: deliveries.collect(),
            suppliers: suppliers.collect(),
            landing: armci.malloc(grid.longest_column_band())?,
            band: vec![0.0; band.len()],
            slots: armci.malloc(grid.columns() * grid.longest_piece())?,
            slot: vec![0.0; piece.len()],
            spread_flags: armci.malloc(armci.size())?,
            fold_flags: armci.malloc(grid.columns())?,
            spreads: 0,
            folds: 0,
        })
    }

    /// Frees what [`OneSided::new`] has allocated, together with all other ranks.
    pub fn free(self) -> Result<(), Error> {
        self.armci.free(self.landing)?;
        self.armci.free(self.slots)?;
        self.armci.free(self.spread_flags)?;
        self.armci.free(self.fold_flags)
    }
}

impl Exchange for OneSided<'_> {
    type Error = Error;

    fn piece_len(&self) -> usize {
        self.grid.piece(self.rank).len()
    }

    fn row_band_len(&self) -> usize {
        self.grid.row_band(self.grid.place(self.rank).0).len()
    }

    fn spread(&mut self, piece: &[f64]) -> Result<&[f64], Error> {
        self.spreads += 1;
        for Delivery { rank, part, place } in &self.deliveries {
            let part = &piece[part.clone()];
            if *rank == self.rank {
                self.landing.write(*place, part)?;
            } else {
                let flag = self.spread_flags.at(*rank, self.rank);
                self.armci.put_flag(part, self.landing.at(*rank, *place), flag, self.spreads)?;
            }
        }
        for &rank in &self.suppliers {
            self.armci.wait_flag(&self.spread_flags, rank, |count| count >= self.spreads)?;
        }
        self.landing.read(0, &mut self.band)?;
        Ok(&self.band)
    }

    fn fold(&mut self, partial: &[f64], piece: &mut [f64]) -> Result<(), Error> {
        self.folds += 1;
        let (row, own_column) = self.grid.place(self.rank);
        let band = self.grid.row_band(row);
        let stride = self.grid.longest_piece();
        let part = |column: usize| &partial[within(&self.grid.piece(self.grid.rank(row, column)), &band)];
        // Each begins with its neighbour, so that not all send to the same rank at once.
        for step in 1..self.grid.columns() {
            let column = (own_column + step) % self.grid.columns();
            let rank = self.grid.rank(row, column);
            let slot = self.slots.at(rank, own_column * stride);
            self.armci.put_flag(part(column), slot, self.fold_flags.at(rank, own_column), self.folds)?;
        }
        piece.fill(0.0);
        for column in 0..self.grid.columns() {
            let addend = if column == own_column {
                part(column)
            } else {
                self.armci.wait_flag(&self.fold_flags, column, |count| count >= self.folds)?;
                self.slots.read(column * stride, &mut self.slot)?;
                &self.slot
            };
            for (sum, addend) in piece.iter_mut().zip(addend) {
                *sum += addend;
            }
        }
        Ok(())
    }

    fn sum<const N: usize>(&mut self, mut values: [f64; N]) -> Result<[f64; N], Error> {
        self.armci.reduce(ReduceOp::Sum, &mut values)?;
        Ok(values)
    }
}

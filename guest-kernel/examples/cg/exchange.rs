//! What ranks of the grid exchange, by one-sided operations.
//!
//! - *spread*: a rank puts its piece of the vector into the column band of every rank whose matrix
//!   columns it touches. This is the transpose exchange: pieces are parts of row bands, and go
//!   where column bands are.
//! - *fold*: a rank puts parts of its partial sums to the ranks of its grid row, into a slot for
//!   each sender. They are summed up in the order of the slots, so that the result has the same
//!   bits in every run, which accumulating in order of arrival would not have.
//!
//! - *sum*: in round k every rank puts what it has to the rank whose number differs in bit k, and
//!   adds what that one put. Since both add the same two numbers, all ranks end with the same bits.
//!
//! Every put carries a flag, a count of exchanges which the receiver waits for. No rank tells that
//! it has read what it was sent. For spread and fold it need not: between two exchanges of a kind
//! there is a sum, to which a rank contributes only when it has read what came before. Sums use two
//! sets of mailboxes in turn: a rank that writes one again has finished the sum in between, to
//! which its partner contributed only when it had read that mailbox.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use guest_kernel::armci::{Armci, Error, Global};

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
    /// For each of two turns and each round of a sum: what the partner in that round has.
    mailboxes: Global<[f64; MOST_SUMS]>,
    /// How many sums the partner in each round has put to the mailboxes.
    sum_flags: Global<u64>,
    spreads: u64,
    folds: u64,
    sums: u64,
}

/// As many numbers are summed up at a time.
const MOST_SUMS: usize = 2;

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
            (!shared.is_empty()).then(|| Delivery {
                rank,
                part: within(&shared, &piece),
                place: place(),
            })
        });
        let suppliers = (0..armci.size())
            .filter(|from| *from != rank && !overlap(&grid.piece(*from), &band).is_empty());
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
            mailboxes: armci.malloc(2 * rounds(armci))?,
            sum_flags: armci.malloc(rounds(armci))?,
            spreads: 0,
            folds: 0,
            sums: 0,
        })
    }

    /// Frees what [`OneSided::new`] has allocated, together with all other ranks.
    pub fn free(self) -> Result<(), Error> {
        self.armci.free(self.landing)?;
        self.armci.free(self.slots)?;
        self.armci.free(self.spread_flags)?;
        self.armci.free(self.fold_flags)?;
        self.armci.free(self.mailboxes)?;
        self.armci.free(self.sum_flags)
    }
}

/// Rounds of a sum over all ranks, of which there are a power of two.
fn rounds(armci: &Armci) -> usize {
    armci.size().ilog2() as usize
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
        let part =
            |column: usize| &partial[within(&self.grid.piece(self.grid.rank(row, column)), &band)];
        // Each begins with its neighbour, so that not all send to the same rank at once.
        for step in 1..self.grid.columns() {
            let column = (own_column + step) % self.grid.columns();
            let rank = self.grid.rank(row, column);
            let slot = self.slots.at(rank, own_column * stride);
            self.armci.put_flag(
                part(column),
                slot,
                self.fold_flags.at(rank, own_column),
                self.folds,
            )?;
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

    fn sum<const N: usize>(&mut self, values: [f64; N]) -> Result<[f64; N], Error> {
        const { assert!(N <= MOST_SUMS) };
        self.sums += 1;
        let rounds = rounds(self.armci);
        let turn = (self.sums % 2) as usize * rounds;
        let mut sums = [0.0; MOST_SUMS];
        sums[..N].copy_from_slice(&values);
        for round in 0..rounds {
            let partner = self.rank ^ (1 << round);
            let mailbox = self.mailboxes.at(partner, turn + round);
            self.armci.put_flag(&[sums], mailbox, self.sum_flags.at(partner, round), self.sums)?;
            self.armci.wait_flag(&self.sum_flags, round, |count| count >= self.sums)?;
            let mut partners = [[0.0; MOST_SUMS]];
            self.mailboxes.read(turn + round, &mut partners)?;
            for (sum, partners) in sums.iter_mut().zip(partners[0]) {
                *sum += partners;
            }
        }
        Ok(core::array::from_fn(|index| sums[index]))
    }
}

//! The benchmark's mathematics: an eigenvalue estimate by the inverse power method, each step of
//! which solves a linear system with 25 steps of the conjugate gradient method.
//!
//! It works on the pieces of vectors that one rank owns and leaves to an [`Exchange`] what takes
//! more than one rank.

use alloc::vec;
use alloc::vec::Vec;

use crate::matrix::Block;

const CG_STEPS: usize = 25;

/// What ranks do together. All ranks make the same calls in the same order: between two calls of
/// `spread`, and between two of `fold`, there is always one of `sum`.
pub trait Exchange {
    /// What can go wrong on the way.
    type Error;

    /// How many elements of each vector this rank owns.
    fn piece_len(&self) -> usize;

    /// How many rows this rank's matrix block has.
    fn row_band_len(&self) -> usize;

    /// Gives each rank's piece to all ranks whose matrix columns it falls into; returns this rank's
    /// whole column band.
    fn spread(&mut self, piece: &[f64]) -> Result<&[f64], Self::Error>;

    /// Sums up, over a row of ranks, what each has for the row band, and sets `piece` to this
    /// rank's part of the sum.
    fn fold(&mut self, partial: &[f64], piece: &mut [f64]) -> Result<(), Self::Error>;

    /// The sums of all ranks' values, the same bits on each rank.
    fn sum<const N: usize>(&mut self, values: [f64; N]) -> Result<[f64; N], Self::Error>;
}

/// One step of the power method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The eigenvalue estimate.
    pub zeta: f64,
    /// The norm of what the linear system was missed by.
    pub residual: f64,
}

/// The state of the computation on one rank.
pub struct Solver<'a, E> {
    block: &'a Block,
    exchange: E,
    shift: f64,
    /// The estimate of the eigenvector.
    x: Vec<f64>,
    /// The solution of A z = x.
    z: Vec<f64>,
    /// What the solution is missed by.
    r: Vec<f64>,
    /// The search direction.
    p: Vec<f64>,
    /// A p.
    q: Vec<f64>,
    /// This rank's share of a matrix-vector product, before it is summed up.
    partial: Vec<f64>,
}

impl<'a, E: Exchange> Solver<'a, E> {
    /// Begins with the vector of all ones.
    pub fn new(block: &'a Block, exchange: E, shift: f64) -> Self {
        let piece = || vec![0.0; exchange.piece_len()];
        let (z, r, p, q) = (piece(), piece(), piece(), piece());
        let x = vec![1.0; exchange.piece_len()];
        let partial = vec![0.0; exchange.row_band_len()];
        Self { block, exchange, shift, x, z, r, p, q, partial }
    }

    /// Forgets the steps made so far.
    pub fn restart(&mut self) {
        self.x.fill(1.0);
    }

    /// Gives back what the ranks exchange through.
    pub fn into_exchange(self) -> E {
        self.exchange
    }

    /// Makes one step of the power method.
    pub fn step(&mut self) -> Result<Step, E::Error> {
        let residual = self.solve()?;
        let [product, square] =
            self.exchange.sum([dot(&self.x, &self.z), dot(&self.z, &self.z)])?;
        let norm = libm::sqrt(square);
        for (x, z) in self.x.iter_mut().zip(&self.z) {
            *x = z / norm;
        }
        Ok(Step { zeta: self.shift + 1.0 / product, residual })
    }

    /// Sets z to an approximate solution of A z = x; returns how far A z is from x.
    fn solve(&mut self) -> Result<f64, E::Error> {
        self.z.fill(0.0);
        self.r.copy_from_slice(&self.x);
        self.p.copy_from_slice(&self.x);
        let [mut rho] = self.exchange.sum([dot(&self.r, &self.r)])?;
        for _ in 0..CG_STEPS {
            multiply(self.block, &mut self.exchange, &self.p, &mut self.partial, &mut self.q)?;
            let [curvature] = self.exchange.sum([dot(&self.p, &self.q)])?;
            let alpha = rho / curvature;
            add_scaled(&mut self.z, alpha, &self.p);
            add_scaled(&mut self.r, -alpha, &self.q);
            let previous = rho;
            [rho] = self.exchange.sum([dot(&self.r, &self.r)])?;
            let beta = rho / previous;
            for (p, r) in self.p.iter_mut().zip(&self.r) {
                *p = r + beta * *p;
            }
        }
        multiply(self.block, &mut self.exchange, &self.z, &mut self.partial, &mut self.r)?;
        let missed = self.x.iter().zip(&self.r).map(|(x, r)| (x - r) * (x - r)).sum();
        let [square] = self.exchange.sum([missed])?;
        Ok(libm::sqrt(square))
    }
}

/// Sets this rank's piece of `product` to that of the matrix times the vector whose piece is given.
fn multiply<E: Exchange>(
    block: &Block,
    exchange: &mut E,
    piece: &[f64],
    partial: &mut [f64],
    product: &mut [f64],
) -> Result<(), E::Error> {
    block.multiply(exchange.spread(piece)?, partial);
    exchange.fold(partial, product)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add_scaled(target: &mut [f64], scale: f64, addend: &[f64]) {
    for (target, addend) in target.iter_mut().zip(addend) {
        *target += scale * addend;
    }
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;

    use super::*;
    use crate::class::Class;

    /// One rank has nothing to exchange.
    struct Alone {
        size: usize,
        columns: Vec<f64>,
    }

    impl Exchange for Alone {
        type Error = Infallible;

        fn piece_len(&self) -> usize {
            self.size
        }

        fn row_band_len(&self) -> usize {
            self.size
        }

        fn spread(&mut self, piece: &[f64]) -> Result<&[f64], Infallible> {
            self.columns.copy_from_slice(piece);
            Ok(&self.columns)
        }

        fn fold(&mut self, partial: &[f64], piece: &mut [f64]) -> Result<(), Infallible> {
            piece.copy_from_slice(partial);
            Ok(())
        }

        fn sum<const N: usize>(&mut self, values: [f64; N]) -> Result<[f64; N], Infallible> {
            Ok(values)
        }
    }

    #[test]
    fn class_s_on_one_rank_gives_the_reference_value() {
        let class = Class::named("S").expect("class S exists");
        let block = Block::generate(&class, 0..class.size, 0..class.size).expect("there is memory");
        let alone = Alone { size: class.size, columns: vec![0.0; class.size] };
        let mut solver = Solver::new(&block, alone, class.shift);
        let mut last = Step { zeta: 0.0, residual: f64::NAN };
        for _ in 0..class.iterations {
            let Ok(step) = solver.step();
            last = step;
        }
        assert!(class.accepts(last.zeta), "zeta is {}", last.zeta);
        assert!(last.residual < 1e-12, "residual is {}", last.residual);

        solver.restart();
        let Ok(first) = solver.step();
        assert!(!class.accepts(first.zeta), "one step is not enough");
    }
}

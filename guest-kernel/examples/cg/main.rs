//! The CG benchmark of the NAS Parallel Benchmarks, on ARMCI.
//!
//! `cg [--class S|W|A|B]` estimates an eigenvalue of a large sparse random matrix and checks it
//! against the value that the benchmark prescribes. The ranks, a power of two, form a grid over the
//! matrix; each generates and keeps one block of it, and owns a piece of every vector. Vectors
//! cross the grid by one-sided puts; nothing is computed twice.
//!
//! The benchmark is defined in D. Bailey et al., "The NAS Parallel Benchmarks", NAS report
//! RNR-94-007 (1994), section 2.4.

#![cfg_attr(xenolith_guest, no_std, no_main)]

extern crate alloc;

mod class;
mod exchange;
mod grid;
mod matrix;
mod random;
mod solver;

use alloc::format;
use alloc::string::{String, ToString as _};
use core::time::Duration;

use guest_kernel::armci::{Armci, Error, ReduceOp};
use guest_kernel::{Exit, clock, println};

use class::Class;
use exchange::OneSided;
use grid::Grid;
use matrix::Block;
use solver::Solver;

guest_kernel::main!(run);

fn run() -> Exit {
    let armci = guest_kernel::armci();
    match benchmark(armci) {
        Ok(true) => Exit::SUCCESS,
        Ok(false) => Exit::FAILURE,
        Err(Stop::Usage(reason)) => {
            // All ranks find the same; one says it.
            if armci.rank() == 0 {
                println!("cg: {reason}");
            }
            Exit::from(2)
        }
        Err(Stop::Failure(reason)) => {
            println!("cg: rank {}: {reason}", armci.rank());
            Exit::FAILURE
        }
    }
}

/// Why there is no result.
enum Stop {
    /// The user asked for what cannot be done.
    Usage(String),
    /// Something went wrong on this rank.
    Failure(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failure(error.to_string())
    }
}

fn benchmark(armci: &Armci) -> Result<bool, Stop> {
    let class = class_from(guest_kernel::args())?;
    let ranks = armci.size();
    let grid = Grid::new(class.size, ranks).ok_or_else(|| {
        Stop::Usage(format!(
            "{ranks} ranks cannot form a grid; use a power of two: 1, 2, 4, 8, ..."
        ))
    })?;
    let (row, column) = grid.place(armci.rank());
    let block = Block::generate(&class, grid.row_band(row), grid.column_band(column))
        .map_err(|error| Stop::Failure(error.to_string()))?;
    let entries = Entries::count(armci, &block)?;
    let report = armci.rank() == 0;
    if report {
        println!("NAS Parallel Benchmarks: CG, on ARMCI");
        println!("  class       {}", class.name);
        println!("  size        {}", class.size);
        println!("  iterations  {}", class.iterations);
        println!("  ranks       {ranks} ({} x {})", grid.rows(), grid.columns());
        println!("  entries     {}, at most {} on a rank", entries.total, entries.largest);
        println!("iteration  residual  zeta");
    }

    let mut solver = Solver::new(&block, OneSided::new(armci, grid)?, class.shift);
    // One step is not timed, so that nothing happens for the first time in those that are.
    solver.step()?;
    solver.restart();
    let started = clock::now();
    let mut zeta = 0.0;
    for iteration in 1..=class.iterations {
        let step = solver.step()?;
        zeta = step.zeta;
        if report {
            println!("{iteration:9}  {:8.2e}  {zeta:.13}", step.residual);
        }
    }
    let elapsed = clock::now().saturating_sub(started);
    solver.into_exchange().free()?;

    let verified = class.accepts(zeta);
    if report {
        print_result(&class, zeta, verified, elapsed);
    }
    Ok(verified)
}

fn class_from(args: &[String]) -> Result<Class, Stop> {
    let usage = || Stop::Usage("usage: cg [--class S|W|A|B]".into());
    let name = match args {
        [] => "S",
        [option, name] if option == "--class" => name,
        [option] => option.strip_prefix("--class=").ok_or_else(usage)?,
        _ => return Err(usage()),
    };
    Class::named(name)
        .ok_or_else(|| Stop::Usage(format!("no class `{name}`; there are S, W, A and B")))
}

/// The stored entries of the matrix.
struct Entries {
    /// Those of all ranks.
    total: i64,
    /// Those of the rank that has most.
    largest: i64,
}

impl Entries {
    /// Counts them, together with all other ranks. The total is there on rank 0 only.
    fn count(armci: &Armci, block: &Block) -> Result<Self, Error> {
        let own = block.entries() as i64;
        let mut largest = [own];
        armci.reduce(ReduceOp::Max, &mut largest)?;
        let sum = armci.malloc::<i64>(if armci.rank() == 0 { 1 } else { 0 })?;
        armci.accumulate(1, &[own], sum.at(0, 0))?;
        armci.barrier()?;
        let mut total = [0];
        if armci.rank() == 0 {
            sum.read(0, &mut total)?;
        }
        armci.free(sum)?;
        Ok(Self { total: total[0], largest: largest[0] })
    }
}

fn print_result(class: &Class, zeta: f64, verified: bool, elapsed: Duration) {
    let seconds = elapsed.as_secs_f64();
    println!("  zeta        {zeta:.13}");
    println!("  reference   {:.13}", class.zeta);
    println!("  error       {:.2e}", zeta - class.zeta);
    println!("VERIFICATION {}", if verified { "SUCCESSFUL" } else { "FAILED" });
    println!("  time        {seconds:.3} s");
    println!(
        "  Mop/s       {:.1} (means nothing under emulation)",
        class.operations() / seconds / 1e6
    );
}

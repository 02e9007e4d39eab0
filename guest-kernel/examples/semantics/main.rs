//! What ARMCI promises, tried: the same source runs as Linux processes and as Xen guests, on any number of
//! ranks.
//!
//! Every rank runs every case; rank 0 prints one line for each, and the job's exit status is 1 if any
//! failed on any rank. `semantics NAME...` runs only the cases whose names begin with one of the arguments.

#![cfg_attr(xenolith_guest, no_std, no_main)]

extern crate alloc;

mod accumulate;
mod collective;
mod memory;
mod order;
mod random;
mod read_modify_write;

use alloc::format;
use alloc::string::{String, ToString};

use guest_kernel::armci::{Armci, Error, ReduceOp};
use guest_kernel::{Exit, println};

guest_kernel::main!(run);

/// Why a case failed on one rank.
pub struct Failure(String);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// What a case returns.
pub type Verdict = Result<(), Failure>;

/// A named case.
pub type Case = (&'static str, fn(&Armci) -> Verdict);

/// Ends the case with a failure unless the two are equal.
#[macro_export]
macro_rules! expect_eq {
    ($left:expr, $right:expr, $($what:tt)+) => {{
        let (left, right) = (&$left, &$right);
        if left != right {
            return Err($crate::Failure::at(line!(), alloc::format!("{}: {left:?} is not {right:?}", alloc::format!($($what)+))));
        }
    }};
}

impl Failure {
    /// A failure at a line of the case's source.
    pub fn at(line: u32, what: String) -> Self {
        Self(format!("line {line}: {what}"))
    }
}

fn run() -> Exit {
    let armci = guest_kernel::armci();
    let wanted = guest_kernel::args();
    let (mut passed, mut failed) = (0, 0);
    let groups = [memory::CASES, accumulate::CASES, read_modify_write::CASES, order::CASES, collective::CASES];
    for &(name, case) in groups.iter().copied().flatten() {
        if !wanted.is_empty() && !wanted.iter().any(|prefix| name.starts_with(prefix.as_str())) {
            continue;
        }
        let verdict = case(armci);
        if let Err(Failure(reason)) = &verdict {
            println!("FAILED {name}: {reason}");
        }
        let mut failures = [u32::from(verdict.is_err())];
        if let Err(error) = armci.reduce(ReduceOp::Sum, &mut failures) {
            println!("FAILED {name}: {error}");
            return Exit::from(1);
        }
        if failures[0] == 0 {
            passed += 1;
        } else {
            failed += 1;
        }
        if armci.rank() == 0 {
            println!("{} {name}", if failures[0] == 0 { "ok" } else { "FAILED" });
        }
    }
    if armci.rank() == 0 {
        println!("{passed} passed, {failed} failed on {} ranks", armci.size());
    }
    Exit::from(i32::from(failed != 0 || passed == 0))
}

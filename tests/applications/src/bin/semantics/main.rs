//! What ARMCI promises, tried: the same source runs as Linux processes and as Xen guests, on any
//! number of ranks.
//!
//! Every rank runs every case; rank 0 prints one line for each, and the job's exit status is 1 if
//! any failed on any rank. `semantics NAME...` runs only the cases whose names begin with one of
//! the arguments.
//!
//! All cases run in three ways: directly on the memory of neighbours where that can be reached, by
//! the proxy, and mixed: half of the ranks this way and half that way. What ARMCI promises does not
//! depend on the way.

#![cfg_attr(xenolith_guest, no_std, no_main)]

extern crate alloc;

mod accumulate;
mod collective;
mod group;
mod memory;
mod message;
mod mutex;
mod order;
mod random;
mod read_modify_write;
mod shape;
mod ways;

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
            let what = alloc::format!($($what)+);
            let found = alloc::format!("{what}: {left:?} is not {right:?}");
            return Err($crate::Failure::at(line!(), found));
        }
    }};
}

impl Failure {
    /// A failure at a line of the case's source.
    pub fn at(line: u32, what: String) -> Self {
        Self(format!("line {line}: {what}"))
    }
}

/// How ranks reach each other's memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct,
    Proxy,
    Mixed,
}

const GROUPS: [&[Case]; 9] = [
    memory::CASES,
    shape::CASES,
    accumulate::CASES,
    read_modify_write::CASES,
    order::CASES,
    collective::CASES,
    group::CASES,
    message::CASES,
    mutex::CASES,
];

fn run() -> Exit {
    let armci = guest_kernel::armci();
    let (mut passed, mut failed) = (0, 0);
    for (way, name) in
        [(Way::Direct, "directly"), (Way::Proxy, "by the proxy"), (Way::Mixed, "mixed")]
    {
        if let Err(error) = run_all(armci, way, name, &mut passed, &mut failed) {
            println!("FAILED: {error}");
            return Exit::FAILURE;
        }
    }
    armci.reach_directly(true);
    if armci.rank() == 0 {
        println!("{passed} passed, {failed} failed on {} ranks", armci.size());
    }
    Exit::from(i32::from(failed != 0 || passed == 0))
}

/// Runs all cases that are wanted.
fn run_all(
    armci: &Armci,
    way: Way,
    way_name: &str,
    passed: &mut u32,
    failed: &mut u32,
) -> Result<(), Error> {
    let wanted = guest_kernel::args();
    let groups = GROUPS.iter().chain(if way == Way::Mixed { Some(&ways::CASES) } else { None });
    for (number, &(name, case)) in groups.copied().flatten().enumerate() {
        if !wanted.is_empty() && !wanted.iter().any(|prefix| name.starts_with(prefix.as_str())) {
            continue;
        }
        armci.reach_directly(match way {
            Way::Direct => true,
            Way::Proxy => false,
            Way::Mixed => (armci.rank() + number).is_multiple_of(2),
        });
        let verdict = case(armci);
        if let Err(Failure(reason)) = &verdict {
            println!("FAILED {name}, {way_name}: {reason}");
        }
        let mut failures = [u32::from(verdict.is_err())];
        armci.reduce(ReduceOp::Sum, &mut failures)?;
        let outcome = if failures[0] == 0 { &mut *passed } else { &mut *failed };
        *outcome += 1;
        if armci.rank() == 0 {
            println!("{} {name}, {way_name}", if failures[0] == 0 { "ok" } else { "FAILED" });
        }
    }
    Ok(())
}

//! Holds as much data as it is told to, changes a little of it ten times a second, and looks at the
//! end whether all of it is as it should be: for saving and restoring, which cost what the data
//! are.

#![cfg_attr(xenolith_guest, no_std, no_main)]

extern crate alloc;

use alloc::vec::Vec;
use core::time::Duration;

use guest_kernel::{Exit, clock, println};
use test_applications::random::Random;

guest_kernel::main!(run);

const USAGE: &str = "usage: ballast MIB SECONDS";
/// Words of a page.
const PAGE: usize = 512;
const STEP: Duration = Duration::from_millis(100);

fn run() -> Exit {
    let armci = guest_kernel::armci();
    let numbers: Vec<u64> =
        guest_kernel::args().iter().filter_map(|word| word.parse().ok()).collect();
    let [mib, seconds] = numbers[..] else {
        println!("{USAGE}");
        return Exit::FAILURE;
    };
    let words = (mib as usize) << 17;
    let mut data: Vec<u64> = Vec::new();
    if words == 0 || data.try_reserve_exact(words).is_err() {
        println!("no memory for {mib} MiB");
        return Exit::FAILURE;
    }
    let seed = armci.rank() as u64;
    let mut random = Random::new(seed);
    data.extend((0..words).map(|_| random.bits()));
    if let Err(error) = armci.barrier() {
        println!("error: {error}");
        return Exit::FAILURE;
    }
    println!("filled {mib} MiB");
    let pages = words / PAGE;
    let steps = seconds as usize * 10;
    for step in 0..steps {
        clock::sleep(STEP);
        let first = &mut data[step % pages * PAGE];
        *first = first.wrapping_add(1);
    }
    let mut random = Random::new(seed);
    let wrong = (0..words).filter(|at| {
        let page = at / PAGE;
        let changes =
            if at % PAGE == 0 { steps / pages + usize::from(page < steps % pages) } else { 0 };
        random.bits().wrapping_add(changes as u64) != data[*at]
    });
    match wrong.count() {
        0 => {
            println!("{mib} MiB are as they should be after {steps} changes");
            Exit::SUCCESS
        }
        wrong => {
            println!("{wrong} of {words} words are wrong");
            Exit::FAILURE
        }
    }
}

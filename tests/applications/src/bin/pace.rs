//! Says ten times a second how quickly it gets on: how often it has put a piece of memory to the
//! next rank and worked on what has come from the one before. So one sees whether a restored job is
//! as quick as it was.
//!
//! `pace TENTHS`: for that long, in tenths of a second.

#![cfg_attr(xenolith_guest, no_std, no_main)]

extern crate alloc;

use alloc::vec;
use core::time::Duration;

use guest_kernel::armci::{Armci, Error};
use guest_kernel::{Exit, clock, println};

guest_kernel::main!(run);

const USAGE: &str = "usage: pace TENTHS";
const TENTH: Duration = Duration::from_millis(100);
/// Numbers that are put at a time.
const WORDS: usize = 128;
/// How often they are put between two looks at the clock.
const TURNS: u64 = 50;

fn run() -> Exit {
    let armci = guest_kernel::armci();
    let Some(tenths) = guest_kernel::args().iter().find_map(|word| word.parse().ok()) else {
        println!("{USAGE}");
        return Exit::FAILURE;
    };
    match work(armci, tenths) {
        Ok(()) => Exit::SUCCESS,
        Err(error) => {
            println!("error: {error}");
            Exit::FAILURE
        }
    }
}

fn work(armci: &Armci, tenths: u64) -> Result<(), Error> {
    let next = (armci.rank() + 1) % armci.size();
    let shared = armci.malloc::<f64>(WORDS)?;
    let mut own = vec![1.0; WORDS];
    armci.barrier()?;
    for _ in 0..tenths {
        let begin = clock::now();
        let mut turns = 0;
        while clock::now() - begin < TENTH {
            for _ in 0..TURNS {
                armci.put(&own, shared.at(next, 0))?;
                armci.get(&mut own, shared.at(armci.rank(), 0))?;
                own.iter_mut().for_each(|number| *number = *number * 0.999 + 0.001);
            }
            turns += TURNS;
        }
        println!("pace {turns}");
    }
    armci.barrier()?;
    armci.free(shared)
}

//! The smallest application: says which rank of how many it is.
//!
//! `hello [--ticks N]`: with `--ticks` it also counts to N, a line a second.

#![cfg_attr(xenolith_guest, no_std, no_main)]

use core::time::Duration;

use guest_kernel::{Exit, clock, println};

guest_kernel::main!(run);

fn run() -> Exit {
    let armci = guest_kernel::armci();
    println!("hello from {} of {}", armci.rank(), armci.size());
    let ticks = match guest_kernel::args() {
        [] => 0,
        [option, number] if option == "--ticks" => match number.parse::<u64>() {
            Ok(ticks) => ticks,
            Err(_) => return usage(),
        },
        _ => return usage(),
    };
    for tick in 1..=ticks {
        clock::sleep(Duration::from_secs(1));
        println!("tick {tick}");
    }
    Exit::SUCCESS
}

fn usage() -> Exit {
    println!("usage: hello [--ticks N]");
    Exit::from(2)
}

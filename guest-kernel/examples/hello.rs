//! The smallest application: says which rank of how many it is.
//!
//! `hello [--ticks N] [--dots N] [--files]`: with `--ticks` it also counts to N, a line a second;
//! with `--dots` it writes a line of N dots, a dot a second; with `--files` it lists the files that
//! it was started with.

#![cfg_attr(xenolith_guest, no_std, no_main)]

extern crate alloc;

use alloc::string::String;
use core::time::Duration;

use guest_kernel::{Exit, clock, print, println};

guest_kernel::main!(run);

fn run() -> Exit {
    let armci = guest_kernel::armci();
    println!("hello from {} of {}", armci.rank(), armci.size());
    let mut words = guest_kernel::args().iter().map(String::as_str);
    while let Some(word) = words.next() {
        let number = match word {
            "--ticks" | "--dots" => words.next().and_then(|number| number.parse().ok()),
            _ => None,
        };
        match (word, number) {
            ("--ticks", Some(ticks)) => count(ticks),
            ("--dots", Some(dots)) => draw(dots),
            ("--files", _) => list_files(),
            _ => {
                println!("usage: hello [--ticks N] [--dots N] [--files]");
                return Exit::from(2);
            }
        }
    }
    Exit::SUCCESS
}

fn count(ticks: u64) {
    for tick in 1..=ticks {
        clock::sleep(Duration::from_secs(1));
        println!("tick {tick}");
    }
}

fn draw(dots: u64) {
    for _ in 0..dots {
        clock::sleep(Duration::from_secs(1));
        print!(".");
    }
    println!();
}

fn list_files() {
    for file in guest_kernel::files() {
        println!("{}: {} bytes", file.name(), file.content().len());
    }
}

//! Copies as many MiB as it is told to, and prints how many microseconds that takes: the median of
//! nine copies of memory that is there.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let Some(mib) = std::env::args().nth(1).and_then(|mib| mib.parse::<usize>().ok()) else {
        eprintln!("usage: copying MIB");
        return ExitCode::FAILURE;
    };
    let from = vec![0xa5u8; mib << 20];
    let mut to = vec![0x5au8; mib << 20];
    let mut times: Vec<u128> = (0..9)
        .map(|_| {
            let start = Instant::now();
            black_box(&mut to).copy_from_slice(black_box(&from));
            start.elapsed().as_micros()
        })
        .collect();
    times.sort_unstable();
    println!("{}", times[times.len() / 2]);
    ExitCode::SUCCESS
}

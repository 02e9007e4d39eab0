//! Reads standard input to its end, and says how much it was. With an argument, only that many
//! bytes.

#![cfg_attr(xenolith_guest, no_std, no_main)]

use guest_kernel::{Exit, StdinError, println, stdin};

guest_kernel::main!(run);

fn run() -> Result<Exit, StdinError> {
    let most = guest_kernel::args().first().and_then(|most| most.parse().ok());
    let mut left: usize = most.unwrap_or(usize::MAX);
    let (mut bytes, mut lines, mut sum) = (0u64, 0u64, 0u64);
    let mut buffer = [0; 100];
    while left > 0 {
        let room = left.min(buffer.len());
        let count = stdin::read(&mut buffer[..room])?;
        if count == 0 {
            break;
        }
        left -= count;
        for byte in &buffer[..count] {
            bytes += 1;
            lines += u64::from(*byte == b'\n');
            sum = (sum * 31 + u64::from(*byte)) % 1_000_000_007;
        }
    }
    println!("{bytes} bytes, {lines} lines, sum {sum}");
    Ok(Exit::SUCCESS)
}

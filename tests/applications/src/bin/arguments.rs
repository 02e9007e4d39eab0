//! Says which arguments a rank was started with: a line each, its bytes in hexadecimal.

#![cfg_attr(xenolith_guest, no_std, no_main)]

extern crate alloc;

use alloc::string::String;
use core::fmt::Write as _;

use guest_kernel::println;

guest_kernel::main!(run);

fn run() {
    for argument in guest_kernel::args() {
        let mut digits = String::new();
        for byte in argument.bytes() {
            // Writing to a String cannot fail.
            let _ = write!(digits, "{byte:02x}");
        }
        println!("argument {digits}");
    }
}

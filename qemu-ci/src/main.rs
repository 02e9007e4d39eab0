//! The command `qemu-ci`; see the library's documentation.

use std::process::ExitCode;

fn main() -> ExitCode {
    qemu_ci::main()
}

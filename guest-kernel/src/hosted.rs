//! The same application as an ordinary Linux process.
//!
//! Everything that [the kernel](crate) offers to an application, over `std`.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use armci_nostd::Armci;

use crate::{Exit, File, Outcome};

/// The entry that [`main!`](crate::main) makes.
#[doc(hidden)]
pub fn start<T: Outcome>(run: fn() -> T) -> std::process::ExitCode {
    clock::start();
    // Linux keeps eight bits of an exit status, and so do we: a status of 256
    // must not come out as success.
    let code = run().into_exit().code();
    std::process::ExitCode::from(eight_bits(code))
}

fn eight_bits(code: i32) -> u8 {
    match u8::try_from(code) {
        Ok(code) => code,
        Err(_) if code & 0xff != 0 => (code & 0xff) as u8,
        Err(_) => 255,
    }
}

/// The application's arguments, without the program's name.
pub fn args() -> &'static [String] {
    static ARGS: OnceLock<Vec<String>> = OnceLock::new();
    ARGS.get_or_init(|| {
        std::env::args_os()
            .skip(1)
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    })
}

/// The read-only files that the application was started with.
///
/// As a Linux process: the files whose paths `$XENOLITH_FILES` lists,
/// separated by colons; each has the last part of its path as its name. A
/// file that cannot be read is reported on standard error and left out.
pub fn files() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(|| {
        let list = std::env::var_os("XENOLITH_FILES").unwrap_or_default();
        std::env::split_paths(&list)
            .filter(|path| !path.as_os_str().is_empty())
            .filter_map(read_file)
            .collect()
    })
}

fn read_file(path: PathBuf) -> Option<File> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    match std::fs::read(&path) {
        Ok(content) => Some(File::new(name, Vec::leak(content))),
        Err(error) => {
            eprintln!("cannot read {}, named by $XENOLITH_FILES: {error}", path.display());
            None
        }
    }
}

/// Ends the process with this status.
pub fn exit(exit: impl Into<Exit>) -> ! {
    std::process::exit(i32::from(eight_bits(exit.into().code())))
}

/// Time.
pub mod clock {
    use super::*;

    static START: OnceLock<Instant> = OnceLock::new();

    pub(super) fn start() {
        START.get_or_init(Instant::now);
    }

    /// The time since the start; it never goes back.
    pub fn now() -> Duration {
        START.get_or_init(Instant::now).elapsed()
    }

    /// Waits this long, using no CPU.
    pub fn sleep(time: Duration) {
        std::thread::sleep(time);
    }
}

/// Writes to standard output what [`print!`](crate::print) was given.
#[doc(hidden)]
pub fn print(text: std::fmt::Arguments<'_>) {
    std::print!("{text}");
}

/// Writes to standard error what [`eprintln!`](crate::eprintln) was given.
#[doc(hidden)]
pub fn eprint(text: std::fmt::Arguments<'_>) {
    std::eprint!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_failure_becomes_success_in_eight_bits() {
        assert_eq!(eight_bits(0), 0);
        assert_eq!(eight_bits(3), 3);
        assert_eq!(eight_bits(-1), 255);
        assert_eq!(eight_bits(256), 255);
        assert_eq!(eight_bits(259), 3);
    }

    #[test]
    fn the_clock_never_goes_back() {
        let first = clock::now();
        clock::sleep(Duration::from_millis(1));
        assert!(clock::now() >= first + Duration::from_millis(1));
    }
}

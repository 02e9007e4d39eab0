//! The same application as an ordinary Linux process.
//!
//! Everything that [the kernel](crate) offers to an application, over `std`.

use std::cell::OnceCell;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use armci_nostd::Armci;

use crate::{Exit, File};

/// The entry that [`main!`](crate::main) makes.
#[doc(hidden)]
pub fn start(run: fn() -> Exit) -> std::process::ExitCode {
    clock::start();
    // Linux keeps eight bits of an exit status, and so do we: a status of 256 must not come out as
    // success.
    let code = leave_job(run()).code();
    std::process::ExitCode::from(eight_bits(code))
}

thread_local! {
    static ARMCI: OnceCell<&'static Armci> = const { OnceCell::new() };
}

/// This rank of its job; the first call attaches it.
///
/// What job, the environment says (`$XENOLITH_SOCKET` and others, set by `pgas run --hosted`);
/// without that it is the only rank of a job of one. A rank that cannot be attached ends with an
/// error.
///
/// # Panics
/// If called by a second thread: a rank is one thread.
pub fn armci() -> &'static Armci {
    ARMCI.with(|armci| {
        *armci.get_or_init(|| {
            static ATTACHED: AtomicBool = AtomicBool::new(false);
            assert!(
                !ATTACHED.swap(true, Ordering::Relaxed),
                "armci() belongs to the thread that called it first"
            );
            match armci_nostd::hosted::attach() {
                Ok(armci) => Box::leak(Box::new(armci)),
                Err(error) => {
                    std::eprintln!("error: cannot attach to the job: {error}");
                    std::process::exit(1)
                }
            }
        })
    })
}

/// A rank that has been successful waits for the others, which may still need its memory.
fn leave_job(exit: Exit) -> Exit {
    let attached = ARMCI.with(|armci| armci.get().copied());
    match attached.filter(|_| exit == Exit::SUCCESS).map(Armci::finalize) {
        None | Some(Ok(())) => exit,
        Some(Err(error)) => {
            std::eprintln!("error: cannot leave the job: {error}");
            Exit::FAILURE
        }
    }
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
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect()
    })
}

/// The read-only files that the application was started with.
///
/// As a Linux process: the files whose paths `$XENOLITH_FILES` lists, separated by colons; each has
/// the last part of its path as its name. A file that cannot be read is reported on standard error
/// and left out.
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
            std::eprintln!("cannot read {}, named by $XENOLITH_FILES: {error}", path.display());
            None
        }
    }
}

/// Ends the process with this status.
pub fn exit(exit: impl Into<Exit>) -> ! {
    std::process::exit(i32::from(eight_bits(leave_job(exit.into()).code())))
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

/// Standard input, of ranks that have one: `pgas run --stdin`.
pub mod stdin {
    use std::io::Read;

    use crate::StdinError;

    /// Reads some bytes of standard input, as many as `buffer` has room for at most, and waits
    /// until there is one. 0 bytes: the input has ended, or the rank has none.
    ///
    /// # Errors
    /// [`StdinError`] if the system refuses.
    pub fn read(buffer: &mut [u8]) -> Result<usize, StdinError> {
        std::io::stdin().read(buffer).map_err(StdinError::new)
    }
}

/// Writes to standard output what [`print!`](crate::print) was given.
#[doc(hidden)]
pub fn print(text: std::fmt::Arguments<'_>) {
    std::print!("{text}");
    // As in Xen: a line that has not ended is seen too, and outlives a rank that is killed. Whether
    // it could be written the next line says as well.
    let _ = std::io::stdout().flush();
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

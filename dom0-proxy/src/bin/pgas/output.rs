//! Writing to standard output and standard error, either of which may be closed before the end, as
//! by `| head`. That ends `pgas` without a word, by SIGPIPE, as it ends most programs.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process;

use anyhow::Context;
use dom0_proxy::control::OutputStream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::fstat;
use serde::Serialize;
use signal_hook::consts::SIGPIPE;
use signal_hook::low_level::emulate_default_handler;

use crate::escape::{escape, escape_json};

/// Writes a line to standard output, harmless if that is a terminal.
pub fn print(line: &str) -> anyhow::Result<()> {
    let line = if io::stdout().is_terminal() { escape(line) } else { line.into() };
    print_as_it_is(&line)
}

fn print_as_it_is(line: &str) -> anyhow::Result<()> {
    listened(io::stdout().lock().write_all(format!("{line}\n").as_bytes()))
        .context("write to standard output")
}

/// Writes a line to standard error, harmless if that is a terminal.
pub fn print_error(line: &str) {
    let line = if io::stderr().is_terminal() { escape(line) } else { line.into() };
    // There is nowhere to tell of another error.
    let _ = listened(io::stderr().lock().write_all(format!("{line}\n").as_bytes()));
}

/// Passes on what came of writing. Ends the process where nobody reads what it writes.
pub fn listened(result: io::Result<()>) -> io::Result<()> {
    if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        // Ends the process; the status is for the case that this fails.
        let _ = emulate_default_handler(SIGPIPE);
        process::exit(128 + SIGPIPE);
    }
    result
}

/// Writes a value as one line of JSON.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print_as_it_is(&escape_json(&serde_json::to_string(value)?))
}

/// Writes bytes of a rank's.
pub fn write(stream: OutputStream, bytes: &[u8]) -> anyhow::Result<()> {
    let (written, name) = match stream {
        OutputStream::Output => {
            let mut output = io::stdout().lock();
            (output.write_all(bytes).and_then(|()| output.flush()), "standard output")
        }
        OutputStream::Error => (io::stderr().lock().write_all(bytes), "standard error"),
    };
    listened(written).with_context(|| format!("write to {name}"))
}

/// Whether standard output and standard error are terminals.
pub fn are_terminals() -> [bool; 2] {
    [io::stdout().is_terminal(), io::stderr().is_terminal()]
}

/// Whether standard output and standard error are the same file, so that what is written to one
/// goes on where the other is.
pub fn are_one_file() -> bool {
    match (fstat(io::stdout()), fstat(io::stderr())) {
        (Ok(output), Ok(error)) => (output.st_dev, output.st_ino) == (error.st_dev, error.st_ino),
        _ => false,
    }
}

/// Whether what is written to standard error now is taken at once.
pub fn error_takes_more() -> bool {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

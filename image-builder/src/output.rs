//! What programs say on their standard streams, which may be closed before the end: `... | head`
//! then ends the program without a word, as it ends those that do not ignore SIGPIPE.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process;
use std::sync::OnceLock;

use signal_hook::consts::SIGPIPE;

/// Says a line on standard output.
pub fn line(text: impl Display) {
    bytes(io::stdout(), format!("{text}\n").as_bytes());
}

/// Says a line on standard error.
pub fn error_line(text: impl Display) {
    let result = write(io::stderr(), format!("{text}\n").as_bytes());
    // There is nowhere to tell any other error.
    result.unwrap_or_else(|error| end_if_nobody_listens(&error));
}

/// Passes bytes on, to standard output or standard error.
pub fn bytes(to: impl Write, data: &[u8]) {
    if let Err(error) = write(to, data) {
        end_if_nobody_listens(&error);
        error_line(format_args!("cannot write the output: {error}"));
        process::exit(1);
    }
}

/// Has something done before a program ends because nobody listens.
pub fn before_a_quiet_end(last: fn()) {
    // Whoever came first has set it.
    let _ = LAST.set(last);
}

static LAST: OnceLock<fn()> = OnceLock::new();

fn write(mut to: impl Write, data: &[u8]) -> io::Result<()> {
    to.write_all(data)?;
    to.flush()
}

fn end_if_nobody_listens(error: &io::Error) {
    if error.kind() == ErrorKind::BrokenPipe {
        if let Some(last) = LAST.get() {
            last();
        }
        // Ends the process; the status is for the case that it does not.
        let _ = signal_hook::low_level::emulate_default_handler(SIGPIPE);
        process::exit(128 + SIGPIPE);
    }
}

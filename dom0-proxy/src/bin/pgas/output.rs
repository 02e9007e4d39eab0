//! Writing to standard output and standard error, either of which may be closed before the end, as
//! by `| head`. That ends `pgas` without a word, by SIGPIPE, as it ends most programs.

use std::borrow::Cow;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process;

use anyhow::Context;
use serde::Serialize;
use signal_hook::consts::SIGPIPE;
use signal_hook::low_level::emulate_default_handler;

/// Writes a line to standard output.
pub fn print(line: &str) -> anyhow::Result<()> {
    listened(io::stdout().lock().write_all(format!("{line}\n").as_bytes()))
        .context("write to standard output")
}

/// Writes a line to standard error.
pub fn print_error(line: &str) {
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
    print(&serde_json::to_string(value)?)
}

/// A rank's line, made harmless for a terminal: ranks are not to be trusted with the user's
/// keyboard and title bar.
pub fn clean(line: &str) -> Cow<'_, str> {
    if std::io::stdout().is_terminal() { escape(line) } else { Cow::Borrowed(line) }
}

fn escape(line: &str) -> Cow<'_, str> {
    if !line.chars().any(|c| c.is_control() && c != '\t') {
        return Cow::Borrowed(line);
    }
    let show = |c: char| {
        if c.is_control() && c != '\t' { c.escape_default().to_string() } else { c.to_string() }
    };
    Cow::Owned(line.chars().map(show).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(escape("plain\ttext é"), "plain\ttext é");
        assert_eq!(escape("\x1b]0;title\x07"), "\\u{1b}]0;title\\u{7}");
    }
}

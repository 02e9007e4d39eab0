//! Writing to standard output.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use anyhow::Context;
use serde::Serialize;

/// Writes a line.
pub fn print(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}").context("write to standard output")
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

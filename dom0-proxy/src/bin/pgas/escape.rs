//! Words of `pgas`, made harmless for a terminal: names and causes in them come from elsewhere, and
//! nobody is to speak for `pgas`.

use std::borrow::Cow;
use std::fmt::Write;

/// Replaces control characters, except for tabs and the ends of lines, by how Rust would write
/// them.
pub fn escape(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !c.is_control() || matches!(c, '\t' | '\n');
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for c in text.chars() {
        // Writing to a string does not fail.
        let _ = if is_plain(c) {
            write!(shown, "{c}")
        } else {
            write!(shown, "{}", c.escape_default())
        };
    }
    Cow::Owned(shown)
}

/// The same for JSON, which has escaped most of them already; what this gives means the same.
pub fn escape_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(char::is_control) {
        return Cow::Borrowed(json);
    }
    let escaped = json.chars().map(|c| match c.is_control() {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    });
    Cow::Owned(escaped.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(escape("plain\ttext é\n"), "plain\ttext é\n");
        assert_eq!(escape("\x1b]0;title\x07\u{9b}m"), "\\u{1b}]0;title\\u{7}\\u{9b}m");
        assert_eq!(escape("failed\rall is well"), "failed\\rall is well");
    }

    #[test]
    fn json_means_the_same() {
        let text = "\x1b[0m \u{9b}31m \x7f \" é";
        let json = serde_json::to_string(text).unwrap();
        let escaped = escape_json(&json);
        assert!(!escaped.chars().any(char::is_control), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
    }
}

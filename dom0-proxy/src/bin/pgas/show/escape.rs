//! Bytes, made harmless for a terminal: ranks are not to be trusted with the user's keyboard and
//! title bar.

use std::borrow::Cow;
use std::fmt::Write;

/// Replaces control characters, except for tabs and the ends and restarts of lines, and whatever is
/// not UTF-8 by how Rust would write them.
pub fn escape(bytes: &[u8]) -> Cow<'_, [u8]> {
    let is_plain = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    if str::from_utf8(bytes).is_ok_and(|text| text.chars().all(is_plain)) {
        return Cow::Borrowed(bytes);
    }
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // Writing to a string does not fail.
            let _ = if is_plain(c) {
                write!(shown, "{c}")
            } else {
                write!(shown, "{}", c.escape_default())
            };
        }
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    Cow::Owned(shown.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(&*escape("plain\ttext é\r\n".as_bytes()), "plain\ttext é\r\n".as_bytes());
        assert_eq!(&*escape(b"\x1b]0;title\x07\xff"), b"\\u{1b}]0;title\\u{7}\\xff");
    }
}

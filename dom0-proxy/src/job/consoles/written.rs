//! How far a rank's output has come.

use crate::images::Console;

/// What is kept of a line that does not end: its end.
const LONGEST: usize = 64 << 10;

/// How far the output of one rank has come, over all runs of its job.
#[derive(Debug)]
pub struct Written {
    /// Bytes that were read.
    bytes: u64,
    /// The last of these, which do not end a line; some more than are used.
    partial: Vec<u8>,
    /// What the rank had written at the line that it was restored from, as long as it has written
    /// nothing since: it comes before what it writes next.
    before: Option<Console>,
}

impl Written {
    /// Of a rank that had written this `before`.
    pub fn new(before: Console) -> Self {
        Self { bytes: before.begins(), partial: Vec::new(), before: Some(before) }
    }

    /// What is to be shown before anything else, so that lines are whole. Once.
    pub fn take_before(&mut self) -> Vec<u8> {
        let before = self.before.take().unwrap_or_default();
        [before.partial, before.unread].concat()
    }

    /// These bytes were read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        let line = bytes.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
        if line.len() < bytes.len() {
            self.partial.clear();
        }
        self.partial.extend_from_slice(&line[line.len().saturating_sub(LONGEST)..]);
        if self.partial.len() > 2 * LONGEST {
            self.partial.drain(..self.partial.len() - LONGEST);
        }
    }

    /// What an image is to have of it.
    pub fn console(&self) -> Console {
        if let Some(before) = &self.before {
            return before.clone();
        }
        let partial = self.partial[self.partial.len().saturating_sub(LONGEST)..].to_vec();
        Console { written: self.bytes, partial, unread: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_beginning_of_a_line_is_known() {
        let mut written = Written::new(Console::default());
        assert_eq!(written.take_before(), b"");
        for (bytes, partial) in
            [("a\nb", "b"), ("c", "bc"), ("\n", ""), ("d\ne\n", ""), ("", ""), ("f", "f")]
        {
            written.push(bytes.as_bytes());
            assert_eq!(written.console().partial, partial.as_bytes());
        }
        assert_eq!(written.console().written, 10);
    }

    #[test]
    fn of_a_line_that_does_not_end_the_end_is_kept() {
        let mut written = Written::new(Console::default());
        let _ = written.take_before();
        let text: Vec<u8> = (0..5 * LONGEST).map(|at| (at % 251) as u8 | 0x80).collect();
        for bytes in text.chunks(40_000) {
            written.push(bytes);
            assert!(written.partial.len() <= 2 * LONGEST);
        }
        let console = written.console();
        assert_eq!(console.partial, text[4 * LONGEST..]);
        assert_eq!(console.begins(), 4 * LONGEST as u64);
    }

    #[test]
    fn what_was_saved_is_saved_again_until_the_rank_writes() {
        let saved = Console { written: 100, partial: b"half".to_vec(), unread: b" a".to_vec() };
        let mut written = Written::new(saved.clone());
        assert_eq!(written.console(), saved);
        let before = written.take_before();
        assert_eq!(before, b"half a");
        written.push(&before);
        written.push(b" line");
        let console = written.console();
        assert_eq!((console.written, &console.partial[..]), (107, &b"half a line"[..]));
        assert_eq!(written.take_before(), b"");
    }

    proptest! {
        /// Wherever a rank's text is cut, by lines in the middle of anything, what the runs show
        /// put together at the places where they begin is the text.
        #[test]
        fn runs_put_together_are_the_text(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..300),
            runs in proptest::collection::vec((0..40usize, 0..40usize, 1..9usize), 0..9),
        ) {
            let mut whole: Vec<u8> = Vec::new();
            // What the ranks themselves know: where in the text they are.
            let (mut at, mut saved) = (0, Console::default());
            for (to_line, behind_line, piece) in runs {
                let mut written = Written::new(saved.clone());
                let begins = saved.begins() as usize;
                let mut shown = written.take_before();
                written.push(&shown);
                let line = (at + to_line).min(text.len());
                for bytes in text[at..line].chunks(piece) {
                    written.push(bytes);
                    shown.extend(bytes);
                }
                saved = written.console();
                prop_assert_eq!(saved.written as usize, line);
                // Then an accident happens.
                let end = (line + behind_line).min(text.len());
                shown.extend(&text[line..end]);
                prop_assert!(begins <= whole.len());
                prop_assert!(begins == 0 || text[begins - 1] == b'\n', "not at a line's beginning");
                whole.truncate(begins);
                whole.extend(shown);
                prop_assert_eq!(&whole[..], &text[..end]);
                at = line;
            }
        }
    }
}

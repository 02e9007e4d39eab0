//! A console's bytes, as lines.

/// Longer lines are cut, so that a rank that never ends its line cannot fill the memory.
const LONGEST: usize = 16 * 1024;

/// Splits a stream of bytes into lines.
#[derive(Debug, Default)]
pub struct LineSplitter {
    partial: Vec<u8>,
}

impl LineSplitter {
    /// Takes bytes and gives the lines that they complete, without their ends.
    pub fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(String)) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.extend(&bytes[..end], &mut line);
            self.end(&mut line);
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes, &mut line);
    }

    /// Gives what is left: a line that was never ended.
    pub fn finish(&mut self, mut line: impl FnMut(String)) {
        if !self.partial.is_empty() {
            self.end(&mut line);
        }
    }

    fn extend(&mut self, mut bytes: &[u8], line: &mut impl FnMut(String)) {
        while self.partial.len() + bytes.len() > LONGEST {
            let (now, later) = bytes.split_at(LONGEST - self.partial.len());
            self.partial.extend_from_slice(now);
            self.end(line);
            bytes = later;
        }
        self.partial.extend_from_slice(bytes);
    }

    fn end(&mut self, line: &mut impl FnMut(String)) {
        let bytes = self.partial.strip_suffix(b"\r").unwrap_or(&self.partial);
        line(String::from_utf8_lossy(bytes).into_owned());
        self.partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut splitter = LineSplitter::default();
        for piece in pieces {
            splitter.push(piece, |line| lines.push(line));
        }
        splitter.finish(|line| lines.push(line));
        lines
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        assert_eq!(split(&[b"a", b"b\r\nc\n", b"\n", b"d"]), ["ab", "c", "", "d"]);
        assert_eq!(split(&[b"a\r", b"\n"]), ["a"]);
        assert_eq!(split(&[]), [""; 0]);
        assert_eq!(split(&[b"\xff\n"]), ["\u{fffd}"]);
    }

    #[test]
    fn endless_lines_are_cut() {
        let lines = split(&[&[b'x'; LONGEST - 1], &[b'y'; LONGEST + 2], b"\n"]);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LONGEST, LONGEST, 1]);
    }
}

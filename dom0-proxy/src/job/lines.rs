//! A console's bytes, as lines; and which lines are the kernel's.

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

/// A line that the guest's kernel wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelLine {
    /// The first one.
    Up,
    /// Why the domain is about to crash.
    Fatal(String),
    /// The exit status; the last one.
    Exit(i32),
    /// Anything else, such as a backtrace.
    Detail,
}

impl KernelLine {
    /// The kernel's line that `line` is, if it is one.
    pub fn parse(line: &str) -> Option<Self> {
        let text = line.strip_prefix("xenolith: ")?;
        Some(if text.starts_with("up ") {
            Self::Up
        } else if let Some(cause) = text.strip_prefix("fatal: ") {
            Self::Fatal(without_rank(cause).to_owned())
        } else if let Some(status) = text.strip_prefix("exit ").and_then(|word| word.parse().ok()) {
            Self::Exit(status)
        } else {
            Self::Detail
        })
    }
}

/// The cause alone: which rank it was is known from the console, whatever the text says.
fn without_rank(cause: &str) -> &str {
    let rest = cause.strip_prefix("rank ").and_then(|rest| rest.split_once(": "));
    match rest {
        Some((rank, cause)) if rank.bytes().all(|byte| byte.is_ascii_digit()) => cause,
        _ => cause,
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

    #[test]
    fn the_kernels_lines_are_recognised() {
        let of = KernelLine::parse;
        assert_eq!(
            of("xenolith: up rank=2 size=4 memory=16777216 version=0.1.0"),
            Some(KernelLine::Up)
        );
        assert_eq!(
            of("xenolith: fatal: rank 2: panic at src/main.rs:3: boom: bang"),
            Some(KernelLine::Fatal("panic at src/main.rs:3: boom: bang".into()))
        );
        assert_eq!(of("xenolith: fatal: no memory"), Some(KernelLine::Fatal("no memory".into())));
        assert_eq!(of("xenolith: exit 3"), Some(KernelLine::Exit(3)));
        assert_eq!(of("xenolith: exit -1"), Some(KernelLine::Exit(-1)));
        assert_eq!(of("xenolith: exit soon"), Some(KernelLine::Detail));
        assert_eq!(of("xenolith:   0x1012ab"), Some(KernelLine::Detail));
        assert_eq!(of("xenolithic: exit 3"), None);
        assert_eq!(of("hello"), None);
    }
}

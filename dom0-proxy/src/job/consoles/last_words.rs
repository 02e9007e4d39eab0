//! What a guest's kernel may have written about its end.

/// How the line begins.
const BEGINNING: &[u8] = b"xenolith: fatal: ";
/// No such line is longer.
const LONGEST: usize = 2048;

/// Finds the last line that looks like a kernel's about its end. An application can write such a
/// line too, so it decides nothing: it is only shown where the domain has crashed for a reason that
/// its kernel could tell in no better way.
#[derive(Debug, Default)]
pub struct LastWords {
    line: Vec<u8>,
    cause: Option<String>,
}

impl LastWords {
    /// Takes some of the rank's output.
    pub fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let room = (LONGEST - self.line.len()).min(piece.len());
            self.line.extend_from_slice(&piece[..room]);
            if piece.ends_with(b"\n") {
                if let Some(cause) = self.line.strip_prefix(BEGINNING) {
                    let cause = String::from_utf8_lossy(cause);
                    self.cause = Some(without_rank(cause.trim_end()).to_owned());
                }
                self.line.clear();
            }
        }
    }

    /// The cause in that line.
    pub fn cause(self) -> Option<String> {
        self.cause
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

    fn cause(pieces: &[&[u8]]) -> Option<String> {
        let mut words = LastWords::default();
        pieces.iter().for_each(|piece| words.push(piece));
        words.cause()
    }

    #[test]
    fn the_last_such_line_is_found_in_whatever_pieces_it_comes() {
        assert_eq!(cause(&[b"hello\nxenolith: fatal: no memory\nmore"]).unwrap(), "no memory");
        assert_eq!(
            cause(&[b"xenolith: fa", b"tal: rank 2: panic at src/main.rs:3: boom: bang\n"])
                .unwrap(),
            "panic at src/main.rs:3: boom: bang"
        );
        assert_eq!(cause(&[b"xenolith: fatal: a\nxenolith: fatal: b\n"]).unwrap(), "b");
        assert_eq!(cause(&[b"xenolith: fatal: not ended"]), None);
        assert_eq!(cause(&[b"it said xenolith: fatal: a\nxenolith: up\n"]), None);
        assert_eq!(cause(&[&[b'x'; 5000], b"\nxenolith: fatal: late\n"]).unwrap(), "late");
    }
}

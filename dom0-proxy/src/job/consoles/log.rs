//! The log of a rank.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{Context, Result};

/// A rank's log grows no longer than that: ranks that write forever are not to fill the disk.
const LOG_LIMIT: u64 = 64 << 20;

/// The log of one rank: what it wrote, byte for byte.
#[derive(Debug)]
pub struct Log {
    file: File,
    kept: u64,
    left_out: u64,
}

impl Log {
    /// Creates the file.
    pub fn create(path: &Path) -> Result<Self> {
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
        let file = file.context(|| format!("create {}", path.display()))?;
        Ok(Self { file, kept: 0, left_out: 0 })
    }

    /// Adds bytes, as far as there is room. What cannot be written is counted with what has no
    /// room; an error is told once.
    pub fn keep(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = if self.left_out == 0 { LOG_LIMIT - self.kept } else { 0 };
        let (kept, left_out) = bytes.split_at(bytes.len().min(room as usize));
        self.left_out += left_out.len() as u64;
        let written = self.file.write_all(kept);
        match written {
            Ok(()) => self.kept += kept.len() as u64,
            Err(_) => self.left_out += kept.len() as u64,
        }
        written
    }

    /// How many bytes it does not have.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Says in the log itself what it does not have.
    pub fn finish(&mut self) {
        if self.left_out > 0 {
            // Where that cannot be written either, the job's summary still says it.
            let _ = writeln!(self.file, "\n(the log is full: {} bytes more)", self.left_out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_does_not_grow_forever_and_says_what_it_lacks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = Log::create(&path).unwrap();
        log.keep(b"first\n\xff").unwrap();
        log.kept = LOG_LIMIT - 3;
        for _ in 0..3 {
            log.keep(b"more\n").unwrap();
        }
        assert_eq!(log.left_out(), 12);
        log.finish();
        let text = std::fs::read(&path).unwrap();
        assert_eq!(text, b"first\n\xffmor\n(the log is full: 12 bytes more)\n");
    }
}

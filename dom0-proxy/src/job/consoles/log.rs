//! The log of a rank.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{Context, Result};

/// A rank's log grows no longer than that: ranks that write forever are not to fill the disk.
const LOG_LIMIT: usize = 64 << 20;

/// The log of one rank.
pub struct Log {
    file: File,
    len: usize,
}

impl Log {
    /// Creates the file.
    pub fn create(path: &Path) -> Result<Self> {
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
        let file = file.context(|| format!("create {}", path.display()))?;
        Ok(Self { file, len: 0 })
    }

    /// Adds a line, if there is still room.
    pub fn keep(&mut self, line: &str) -> io::Result<()> {
        if self.len >= LOG_LIMIT {
            return Ok(());
        }
        self.len += line.len() + 1;
        self.file.write_all(format!("{line}\n").as_bytes())?;
        if self.len >= LOG_LIMIT {
            self.file.write_all(b"(the log is full)\n")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_does_not_grow_forever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = Log::create(&path).unwrap();
        log.keep("first").unwrap();
        log.len = LOG_LIMIT - 3;
        for _ in 0..3 {
            log.keep("more").unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first\nmore\n(the log is full)\n");
    }
}

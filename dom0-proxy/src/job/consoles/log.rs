//! The log of a rank.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{Context, Result};

/// A rank's log grows no longer than that: ranks that write forever are not to fill the disk.
const LOG_LIMIT: u64 = 64 << 20;
/// Nor do the logs of all ranks of a job together.
pub const JOB_LOG_LIMIT: u64 = 1 << 30;

/// The log of one rank: what it wrote, byte for byte.
#[derive(Debug)]
pub struct Log {
    /// None where there is no room for it.
    file: Option<File>,
    kept: u64,
    left_out: u64,
}

impl Log {
    /// Creates the file. A full disk is no error.
    pub fn create(path: &Path) -> Result<Self> {
        let mut options = File::options();
        match options.write(true).create(true).truncate(true).mode(0o600).open(path) {
            Ok(file) => Ok(Self { file: Some(file), ..Self::nowhere() }),
            Err(error)
                if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
            {
                Ok(Self::nowhere())
            }
            Err(error) => Err(error).context(|| format!("create {}", path.display())),
        }
    }

    /// A log that keeps nothing, and counts what it does not keep.
    pub fn nowhere() -> Self {
        Self { file: None, kept: 0, left_out: 0 }
    }

    /// Adds bytes, as far as there is room here and in what `job_room` says is left for the whole
    /// job. What cannot be written is counted with what has no room, and nothing is added from then
    /// on; so an error is told once.
    pub fn keep(&mut self, bytes: &[u8], job_room: &mut u64) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            self.left_out += bytes.len() as u64;
            return Ok(());
        };
        let room = if self.left_out == 0 { (LOG_LIMIT - self.kept).min(*job_room) } else { 0 };
        let (mut rest, left_out) = bytes.split_at(bytes.len().min(room as usize));
        let mut written = Ok(());
        while !rest.is_empty() && written.is_ok() {
            match file.write(rest) {
                Ok(0) => written = Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    rest = &rest[count..];
                    self.kept += count as u64;
                    *job_room -= count as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => written = Err(error),
            }
        }
        self.left_out += (rest.len() + left_out.len()) as u64;
        written
    }

    /// How many bytes it does not have.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Says in the log itself what it does not have.
    pub fn finish(&mut self) {
        if let Some(file) = &mut self.file
            && self.left_out > 0
        {
            // Where that cannot be written either, the job's summary still says it.
            let _ = writeln!(file, "\n(the log is full: {} bytes more)", self.left_out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_without_a_file_counts_what_it_lacks() {
        let mut log = Log::nowhere();
        log.keep(b"first", &mut 100).unwrap();
        log.keep(b"more", &mut 100).unwrap();
        log.finish();
        assert_eq!(log.left_out(), 9);
    }

    #[test]
    fn a_log_does_not_grow_forever_and_says_what_it_lacks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = Log::create(&path).unwrap();
        let mut job_room = JOB_LOG_LIMIT;
        log.keep(b"first\n\xff", &mut job_room).unwrap();
        log.kept = LOG_LIMIT - 3;
        for _ in 0..3 {
            log.keep(b"more\n", &mut job_room).unwrap();
        }
        assert_eq!((log.left_out(), job_room), (12, JOB_LOG_LIMIT - 10));
        log.finish();
        let text = std::fs::read(&path).unwrap();
        assert_eq!(text, b"first\n\xffmor\n(the log is full: 12 bytes more)\n");
    }

    #[test]
    fn the_logs_of_a_job_have_a_limit_together() {
        let dir = tempfile::tempdir().unwrap();
        let mut job_room = 7;
        let mut logs = ["a", "b"].map(|name| Log::create(&dir.path().join(name)).unwrap());
        for log in &mut logs {
            log.keep(b"12345", &mut job_room).unwrap();
        }
        assert_eq!(logs.map(|log| log.left_out()), [0, 3]);
    }

    #[test]
    fn a_full_disk_is_told_once_and_all_is_counted() {
        let file = File::options().write(true).open("/dev/full").unwrap();
        let mut log = Log { file: Some(file), ..Log::nowhere() };
        let mut job_room = JOB_LOG_LIMIT;
        assert!(log.keep(b"12345", &mut job_room).is_err());
        for _ in 0..3 {
            log.keep(b"12345", &mut job_room).unwrap();
        }
        assert_eq!((log.left_out(), job_room), (20, JOB_LOG_LIMIT));
    }
}

//! What the daemon says, which does not grow forever.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The log is begun anew when it would have more bytes. One that is full is kept.
const LIMIT: u64 = 4 << 20;
/// The ending of the one that is kept.
const KEPT: &str = "log.1";

/// Standard error of the daemon. Clones are the same.
#[derive(Clone, Debug)]
pub struct DaemonLog {
    path: PathBuf,
    /// Bytes in the file.
    size: Arc<Mutex<u64>>,
}

impl DaemonLog {
    /// Where standard error is the file at `path`, that is the log; anywhere else, such as in the
    /// journal, whoever has it looks after it.
    pub fn new(path: PathBuf) -> Self {
        let size = rustix::fs::fstat(io::stderr()).map_or(0, |found| found.st_size as u64);
        Self { path, size: Arc::new(Mutex::new(size)) }
    }

    /// Keeps what is there under another name, and goes on in a new file.
    fn begin_anew(&self) -> io::Result<()> {
        let open = rustix::fs::fstat(io::stderr())?;
        let is_here = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (open.st_dev, open.st_ino));
        if !is_here {
            return Ok(());
        }
        let new = self.path.with_extension("log.new");
        // One that was being begun when a daemon died.
        let _ = fs::remove_file(&new);
        let file = File::options().append(true).create_new(true).mode(0o600).open(&new)?;
        fs::rename(&self.path, self.path.with_extension(KEPT))?;
        fs::rename(&new, &self.path)?;
        rustix::stdio::dup2_stderr(&file)?;
        Ok(())
    }
}

impl Write for DaemonLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        if *size + bytes.len() as u64 > LIMIT {
            // If that does not work, the file grows until it is tried again.
            let _ = self.begin_anew();
            *size = 0;
        }
        let written = io::stderr().write(bytes)?;
        *size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

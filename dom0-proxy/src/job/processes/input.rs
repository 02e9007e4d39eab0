//! Standard input of hosted ranks.
//!
//! One rank that is to have all of it gets the user's own file, pipe or terminal. Where each is to
//! have a copy, a thread reads and writes.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ChildStdin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

const CHUNK: usize = 64 << 10;

/// The thread that copies the user's input to all ranks.
#[derive(Debug)]
pub(super) struct InputCopier {
    stop: Arc<OwnedFd>,
    thread: JoinHandle<()>,
}

impl InputCopier {
    /// Starts it. A rank that does not read makes the others wait when its pipe is full.
    pub(super) fn start(input: OwnedFd, ranks: Vec<ChildStdin>) -> io::Result<Self> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("input".into()).spawn(move || {
            if let Err(error) = copy(&mut File::from(input), ranks, &stopped) {
                tracing::warn!(%error, "the user's input could not be read");
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Ends it, after the ranks have ended.
    pub(super) fn end(self) {
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        let _ = self.thread.join();
    }
}

/// Copies until the input ends, no rank takes it, or it is told to stop.
fn copy(input: &mut File, mut ranks: Vec<ChildStdin>, stop: &OwnedFd) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    while !ranks.is_empty() {
        let mut ready = [
            PollFd::new(stop, PollFlags::IN),
            PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN),
        ];
        match poll(&mut ready, None) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result?,
        };
        if !ready[0].revents().is_empty() {
            return Ok(());
        }
        let count = match input.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        // One that has ended, or has closed its input, takes no more.
        ranks.retain_mut(|rank| rank.write_all(&chunk[..count]).is_ok());
    }
    Ok(())
}

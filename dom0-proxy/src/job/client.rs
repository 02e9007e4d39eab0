//! The `pgas run` that a job was started by.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::control::Reply;

/// Takes replies until the client is gone, and forgets them from then on.
#[derive(Debug)]
pub struct JobClient {
    stream: UnixStream,
    /// Held while a frame is written.
    writing: Mutex<()>,
    gone: AtomicBool,
}

impl JobClient {
    /// The client at the other end of `stream`.
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, writing: Mutex::new(()), gone: AtomicBool::new(false) }
    }

    /// Sends a reply; waits while the client does not read.
    pub fn send(&self, reply: &Reply) {
        let _writing = self.writing.lock();
        if self.gone.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = message_frame::send(&self.stream, reply) {
            tracing::debug!(%error, "the client of a job is gone");
            self.gone.store(true, Ordering::Relaxed);
        }
    }

    /// Cuts the client off; a [`send`](Self::send) that waits for it ends.
    pub fn cut_off(&self) {
        self.gone.store(true, Ordering::Relaxed);
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

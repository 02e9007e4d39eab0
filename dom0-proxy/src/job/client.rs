//! The `pgas run` that a job was started by.

use std::collections::VecDeque;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

use crate::control::{LineReport, OUTPUT_WINDOW, OutputPiece, Reply};
use crate::error::{Context, Result};

/// Takes replies until the client is gone, and forgets them from then on.
#[derive(Debug)]
pub struct JobClient {
    stream: UnixStream,
    /// Held while a frame is written.
    writing: Mutex<()>,
    gone: AtomicBool,
    /// Weight of all output that was sent, and of what the client has taken of it.
    sent: AtomicU64,
    taken: AtomicU64,
    lines: Mutex<UntoldLines>,
    /// Readable when the client has taken something or is gone.
    progress: OwnedFd,
}

/// Lines that were saved, of which a client that is slow has not been told yet.
#[derive(Debug, Default)]
struct UntoldLines {
    waiting: VecDeque<LineReport>,
    /// One has been sent that the client has not passed on.
    is_one_under_way: bool,
}

impl JobClient {
    /// The client at the other end of `stream`.
    pub fn new(stream: UnixStream) -> Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self {
            stream,
            writing: Mutex::new(()),
            gone: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            lines: Mutex::default(),
            progress: eventfd(0, flags).context(|| "create an eventfd")?,
        })
    }

    /// Sends a reply.
    pub fn send(&self, reply: &Reply) {
        let _writing = self.writing.lock();
        if self.is_gone() {
            return;
        }
        if let Err(error) = message_frame::send(&self.stream, reply) {
            tracing::debug!(%error, "the client of a job is gone");
            self.gone.store(true, Ordering::Relaxed);
        }
    }

    /// Sends output, if there is room for more. Gives it back if not.
    pub fn output(&self, piece: OutputPiece) -> std::result::Result<(), OutputPiece> {
        if !self.is_gone() && self.untaken() >= OUTPUT_WINDOW {
            return Err(piece);
        }
        self.sent.fetch_add(piece.weight(), Ordering::Relaxed);
        self.send(&Reply::Output(piece));
        Ok(())
    }

    /// Tells of a line that was saved, as soon as the client has passed on what it was told of the
    /// one before: a client that is stopped is not to fill the connection.
    pub fn saved(&self, report: LineReport) {
        let mut lines = self.lines();
        lines.waiting.push_back(report);
        self.tell_next_line(&mut lines);
    }

    /// The client says that it has passed on what it was told of a line.
    pub fn has_taken_report(&self) {
        let mut lines = self.lines();
        lines.is_one_under_way = false;
        self.tell_next_line(&mut lines);
        drop(lines);
        self.tell_progress();
    }

    fn tell_next_line(&self, lines: &mut UntoldLines) {
        if !lines.is_one_under_way
            && let Some(report) = lines.waiting.pop_front()
        {
            lines.is_one_under_way = true;
            self.send(&Reply::Saved(report));
        }
    }

    fn lines(&self) -> MutexGuard<'_, UntoldLines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the client has passed on all output that it was sent, and all that it was told of
    /// lines.
    pub fn has_taken_all(&self) -> bool {
        self.is_gone() || (self.untaken() == 0 && !self.lines().is_one_under_way)
    }

    fn untaken(&self) -> u64 {
        // A client that claims too much has more room, which harms its own job at most.
        self.sent.load(Ordering::Relaxed).saturating_sub(self.taken())
    }

    /// Weight of the output that the client has passed on.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether nobody is there to be told anything.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// The client says that it has passed on output of this weight.
    pub fn has_taken(&self, weight: u64) {
        let more = |taken: u64| Some(taken.saturating_add(weight));
        let _ = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        self.tell_progress();
    }

    /// The client has closed its connection, or is not to be waited for any more.
    pub fn cut_off(&self) {
        self.gone.store(true, Ordering::Relaxed);
        let _ = self.stream.shutdown(Shutdown::Both);
        self.tell_progress();
    }

    /// Readable when the client has taken something or is gone, until [`forget_progress`].
    ///
    /// [`forget_progress`]: Self::forget_progress
    pub fn progress(&self) -> BorrowedFd<'_> {
        self.progress.as_fd()
    }

    /// Whoever waits for [`progress`](Self::progress) has seen it.
    pub fn forget_progress(&self) {
        let _ = rustix::io::read(&self.progress, &mut [0; 8]);
    }

    fn tell_progress(&self) {
        let _ = rustix::io::write(&self.progress, &1u64.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::OutputStream;

    fn piece(length: usize) -> OutputPiece {
        OutputPiece { rank: 0, stream: OutputStream::Output, at: 0, bytes: vec![b'x'; length] }
    }

    #[test]
    fn a_client_that_takes_nothing_is_sent_no_more_than_the_window() {
        let (near, far) = UnixStream::pair().unwrap();
        let client = JobClient::new(near).unwrap();
        let mut sent = 0;
        while client.output(piece(0)).is_ok() {
            sent += piece(0).weight();
        }
        assert!((OUTPUT_WINDOW..OUTPUT_WINDOW + 4096).contains(&sent), "{sent}");
        // None of that has blocked, and there is still room for how the job has ended.
        client.send(&Reply::Done);
        assert!(!client.has_taken_all());
        client.has_taken(sent);
        assert!(client.has_taken_all());
        assert!(client.output(piece(1)).is_ok());
        drop(far);
        client.cut_off();
        assert!(client.has_taken_all());
    }

    #[test]
    fn a_client_that_is_stopped_is_told_of_one_line_at_a_time() {
        let (near, far) = UnixStream::pair().unwrap();
        let client = JobClient::new(near).unwrap();
        let line = |number: u32| LineReport { line: number.to_string(), ..LineReport::default() };
        // As many would fill the connection.
        (0..10_000).for_each(|number| client.saved(line(number)));
        assert!(!client.has_taken_all());
        for number in 0..10_000 {
            assert_eq!(message_frame::receive(&far).unwrap(), Some(Reply::Saved(line(number))));
            client.has_taken_report();
        }
        assert!(client.has_taken_all());
        client.has_taken_report();
        client.saved(line(0));
        client.cut_off();
        assert!(client.has_taken_all());
    }
}

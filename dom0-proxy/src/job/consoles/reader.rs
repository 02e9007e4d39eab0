//! The thread that reads what all ranks of a job write.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::kernel_line::KernelLine;
use super::lines::LineSplitter;
use super::log::Log;
use crate::control::{OutputLine, OutputStream, Reply};
use crate::job::client::JobClient;
use crate::job::event::{End, JobEvent};

/// How long a console must be silent after its rank's end to have said all.
const QUIET: Duration = Duration::from_millis(200);
/// Nobody waits longer for a console that never falls silent.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the thread is asked for.
#[derive(Debug)]
pub enum ConsoleOrder {
    /// Read this too.
    Add {
        /// The rank that writes.
        rank: u32,
        /// Which of its outputs that is.
        stream: OutputStream,
        /// What to read.
        fd: OwnedFd,
    },
    /// Say when the rank's last words have been read.
    Drain {
        /// The rank.
        rank: u32,
    },
    /// Tell the client how many ranks have started.
    Progress {
        /// How many.
        up: u32,
    },
    /// Do not show any more what kernels say.
    HideKernels,
    /// Read what is there, and end.
    Finish,
}

/// One thing to read.
struct Source {
    rank: u32,
    stream: OutputStream,
    file: File,
    splitter: LineSplitter,
}

/// A rank whose end is near.
struct Draining {
    /// When it has been silent for long enough.
    quiet_at: Instant,
    /// When patience ends.
    give_up_at: Instant,
}

/// What one look at a source has found.
enum Found {
    Bytes,
    Nothing,
    End,
}

/// The thread's own.
pub struct ConsoleReader {
    incoming: Receiver<ConsoleOrder>,
    wake: Arc<OwnedFd>,
    sources: Vec<Source>,
    draining: BTreeMap<u32, Draining>,
    logs: Vec<Log>,
    /// The client is not shown what kernels say.
    hide_kernels: bool,
    /// Ranks have a kernel of ours, whose lines are told from the application's.
    has_kernel: bool,
    said_exit: Vec<bool>,
    client: Arc<JobClient>,
    events: Sender<JobEvent>,
}

impl ConsoleReader {
    /// Of a job of which nothing is to be read yet. `logs` are by rank; `has_kernel` says whether
    /// ranks have a kernel of ours.
    pub fn new(
        incoming: Receiver<ConsoleOrder>,
        wake: Arc<OwnedFd>,
        logs: Vec<Log>,
        has_kernel: bool,
        client: Arc<JobClient>,
        events: Sender<JobEvent>,
    ) -> Self {
        Self {
            incoming,
            wake,
            sources: Vec::new(),
            draining: BTreeMap::new(),
            said_exit: vec![false; logs.len()],
            logs,
            hide_kernels: false,
            has_kernel,
            client,
            events,
        }
    }

    /// Reads until it is told to finish.
    pub fn run(mut self) {
        loop {
            while let Ok(order) = self.incoming.try_recv() {
                match order {
                    ConsoleOrder::Add { rank, stream, fd } => {
                        let splitter = LineSplitter::default();
                        self.sources.push(Source { rank, stream, file: fd.into(), splitter });
                    }
                    ConsoleOrder::Drain { rank } => {
                        let now = Instant::now();
                        let draining =
                            Draining { quiet_at: now + QUIET, give_up_at: now + PATIENCE };
                        self.draining.insert(rank, draining);
                    }
                    ConsoleOrder::Progress { up } => self.client.send(&Reply::Up(up)),
                    ConsoleOrder::HideKernels => self.hide_kernels = true,
                    ConsoleOrder::Finish => return self.finish(),
                }
            }
            self.report_drained();
            let ready = match self.wait() {
                Ok(ready) => ready,
                Err(error) => {
                    tracing::error!(%error, "the job's consoles cannot be read any more");
                    return;
                }
            };
            // From the last, so that removals do not move those that are still to be looked at.
            for index in ready.into_iter().rev() {
                self.read(index);
            }
        }
    }

    /// Waits for something to do; the sources that can be read.
    fn wait(&self) -> io::Result<Vec<usize>> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN)];
        fds.extend(self.sources.iter().map(|source| PollFd::new(&source.file, PollFlags::IN)));
        let next =
            self.draining.values().map(|draining| draining.quiet_at.min(draining.give_up_at)).min();
        let timeout = next.map(|at| {
            let left = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !fds[0].revents().is_empty() {
            let mut count = [0; 8];
            let _ = rustix::io::read(&self.wake, &mut count);
        }
        let ready = fds[1..].iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|(index, _)| index).collect())
    }

    /// Reads a piece of one source, and forgets the source when that was its end.
    fn read(&mut self, index: usize) -> Found {
        let mut buffer = [0; 4096];
        let source = &mut self.sources[index];
        let found = match source.file.read(&mut buffer) {
            Ok(0) => Found::End,
            Ok(count) => {
                let (rank, stream) = (source.rank, source.stream);
                let mut lines = Vec::new();
                source.splitter.push(&buffer[..count], |line| lines.push(line));
                if let Some(draining) = self.draining.get_mut(&rank) {
                    draining.quiet_at = Instant::now() + QUIET;
                }
                lines.into_iter().for_each(|line| self.line(rank, stream, line));
                Found::Bytes
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Found::Nothing,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Found::Bytes,
            // A terminal whose other side has been closed says EIO.
            Err(_) => Found::End,
        };
        if matches!(found, Found::End) {
            let source = self.sources.remove(index);
            self.flush(source);
        }
        found
    }

    fn flush(&mut self, mut source: Source) {
        let mut last = None;
        source.splitter.finish(|line| last = Some(line));
        if let Some(line) = last {
            self.line(source.rank, source.stream, line);
        }
    }

    /// Keeps and shows one line.
    fn line(&mut self, rank: u32, stream: OutputStream, text: String) {
        if let Some(log) = self.logs.get_mut(rank as usize)
            && let Err(error) = log.keep(&text)
        {
            tracing::warn!(%error, rank, "a line could not be kept in the log");
        }
        let event = match KernelLine::parse(&text).filter(|_| self.has_kernel) {
            None => return self.client.send(&Reply::Line(OutputLine { rank, stream, text })),
            Some(KernelLine::Detail) if self.hide_kernels => return,
            Some(KernelLine::Detail) => {
                return self.client.send(&Reply::Line(OutputLine {
                    rank,
                    stream: OutputStream::Error,
                    text,
                }));
            }
            Some(KernelLine::Up) => JobEvent::Up { rank, at: Instant::now() },
            Some(KernelLine::Fatal(cause)) => JobEvent::Fatal { rank, cause },
            Some(KernelLine::Exit(status)) => {
                self.said_exit[rank as usize] = true;
                JobEvent::Ended { rank, end: End::Exited(status) }
            }
        };
        let _ = self.events.send(event);
    }

    fn report_drained(&mut self) {
        let now = Instant::now();
        let done: Vec<u32> = self
            .draining
            .iter()
            .filter(|(rank, draining)| {
                self.said_exit[**rank as usize]
                    || now >= draining.quiet_at.min(draining.give_up_at)
                    || !self.sources.iter().any(|source| source.rank == **rank)
            })
            .map(|(rank, _)| *rank)
            .collect();
        for rank in done {
            self.draining.remove(&rank);
            let _ = self.events.send(JobEvent::Drained { rank });
        }
    }

    fn finish(mut self) {
        let deadline = Instant::now() + QUIET;
        for index in (0..self.sources.len()).rev() {
            while matches!(self.read(index), Found::Bytes) && Instant::now() < deadline {}
        }
        for source in std::mem::take(&mut self.sources) {
            self.flush(source);
        }
    }
}

//! Reads what all ranks of a job write: splits it into lines, keeps it in the logs, shows it to the
//! client.
//!
//! One thread a job. It is the only one that writes lines to the client, so a client that does not
//! read stops the consoles (and through them the ranks that write), but not the job's supervisor.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::client::Client;
use super::event::{End, Event};
use super::lines::{KernelLine, LineSplitter};
use crate::control::{JobSpec, Line, RankKind, Reply, Stream};
use crate::error::{Context, Result};

/// A console that was silent for so long after its rank's end has said all.
const QUIET: Duration = Duration::from_millis(200);
/// Nobody waits longer for a console that never falls silent.
const PATIENCE: Duration = Duration::from_secs(5);

/// A rank's log grows no longer than that: ranks that write for ever are not to fill the disk.
const LOG_LIMIT: usize = 64 << 20;

/// The consoles of one job. Clones are the same.
#[derive(Clone, Debug)]
pub struct Consoles {
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
}

#[derive(Debug)]
enum Command {
    Add { rank: u32, stream: Stream, fd: OwnedFd },
    Drain { rank: u32 },
    Progress { up: u32 },
    HideKernels,
    Finish,
}

impl Consoles {
    /// Starts the thread. Logs go to files in `logs`, lines to `client`, and what matters to the
    /// job to `events`: of ranks that are domains, what their kernels say.
    pub fn start(
        job: &str,
        spec: &JobSpec,
        logs: &Path,
        client: Arc<Client>,
        events: Sender<Event>,
    ) -> Result<(Self, JoinHandle<()>)> {
        let context = || "start the job's consoles";
        let wake =
            Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).context(context)?);
        let (commands, incoming) = channel();
        let logs = (0..spec.size)
            .map(|rank| {
                let path = logs.join(format!("rank-{rank}.log"));
                Log::create(&path)
            })
            .collect::<Result<Vec<_>>>()?;
        let reader = Reader {
            incoming,
            wake: wake.clone(),
            sources: Vec::new(),
            draining: BTreeMap::new(),
            logs,
            hide_kernels: false,
            has_kernel: spec.kind == RankKind::Xen,
            said_exit: vec![false; spec.size as usize],
            client,
            events,
        };
        let thread = thread::Builder::new()
            .name(format!("console-{job}"))
            .spawn(move || reader.run())
            .context(context)?;
        Ok((Self { commands, wake }, thread))
    }

    /// Reads this too. `fd` must not block.
    pub fn add(&self, rank: u32, stream: Stream, fd: OwnedFd) {
        self.tell(Command::Add { rank, stream, fd });
    }

    /// The rank has ended: [`Event::Drained`] is to follow when its last words have been read.
    pub fn drain(&self, rank: u32) {
        self.tell(Command::Drain { rank });
    }

    /// Tells the client how many ranks have started.
    pub fn progress(&self, up: u32) {
        self.tell(Command::Progress { up });
    }

    /// From now on the client is not shown what kernels say; the logs still have it.
    pub fn hide_kernels(&self) {
        self.tell(Command::HideKernels);
    }

    /// Reads what is there, and ends.
    pub fn finish(&self) {
        self.tell(Command::Finish);
    }

    fn tell(&self, command: Command) {
        // A thread that has ended has nothing to read.
        let _ = self.commands.send(command);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

/// The log of one rank.
struct Log {
    file: File,
    len: usize,
}

impl Log {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).context(|| format!("create {}", path.display()))?;
        Ok(Self { file, len: 0 })
    }

    fn keep(&mut self, line: &str) -> io::Result<()> {
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

/// One thing to read.
struct Source {
    rank: u32,
    stream: Stream,
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

struct Reader {
    incoming: Receiver<Command>,
    wake: Arc<OwnedFd>,
    sources: Vec<Source>,
    draining: BTreeMap<u32, Draining>,
    logs: Vec<Log>,
    /// The client is not shown what kernels say.
    hide_kernels: bool,
    /// Ranks have a kernel of ours, whose lines are told from the application's.
    has_kernel: bool,
    said_exit: Vec<bool>,
    client: Arc<Client>,
    events: Sender<Event>,
}

impl Reader {
    fn run(mut self) {
        loop {
            while let Ok(command) = self.incoming.try_recv() {
                match command {
                    Command::Add { rank, stream, fd } => {
                        let splitter = LineSplitter::default();
                        self.sources.push(Source { rank, stream, file: fd.into(), splitter });
                    }
                    Command::Drain { rank } => {
                        let now = Instant::now();
                        let draining =
                            Draining { quiet_at: now + QUIET, give_up_at: now + PATIENCE };
                        self.draining.insert(rank, draining);
                    }
                    Command::Progress { up } => self.client.send(&Reply::Up(up)),
                    Command::HideKernels => self.hide_kernels = true,
                    Command::Finish => return self.finish(),
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
    fn line(&mut self, rank: u32, stream: Stream, text: String) {
        if let Some(log) = self.logs.get_mut(rank as usize)
            && let Err(error) = log.keep(&text)
        {
            tracing::warn!(%error, rank, "a line could not be kept in the log");
        }
        let event = match KernelLine::parse(&text).filter(|_| self.has_kernel) {
            None => return self.client.send(&Reply::Line(Line { rank, stream, text })),
            Some(KernelLine::Detail) if self.hide_kernels => return,
            Some(KernelLine::Detail) => {
                return self.client.send(&Reply::Line(Line { rank, stream: Stream::Error, text }));
            }
            Some(KernelLine::Up) => Event::Up { rank, at: Instant::now() },
            Some(KernelLine::Fatal(cause)) => Event::Fatal { rank, cause },
            Some(KernelLine::Exit(status)) => {
                self.said_exit[rank as usize] = true;
                Event::Ended { rank, end: End::Exited(status) }
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
            let _ = self.events.send(Event::Drained { rank });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_does_not_grow_for_ever() {
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

//! The thread that reads what all ranks of a job write.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::last_words::LastWords;
use super::log::{JOB_LOG_LIMIT, Log};
use super::source::{Found, Source};
use super::written::Written;
use crate::control::{OutputPiece, OutputStream, OutputSummary, Reply};
use crate::images::Console;
use crate::job::client::JobClient;

/// Bytes that may wait here for the client before pipes are not read any more.
const PIPES_WAIT_AT: u64 = 64 << 10;
/// Bytes of a domain's that may wait here before it is to wait, and when it may go on.
const HOLD_AT: u64 = 256 << 10;
const GO_ON_AT: u64 = 64 << 10;
/// How long a console must be silent to have said all, where nobody knows how much that is.
const QUIET: Duration = Duration::from_millis(300);
/// How often to look while consoles are read to their end.
const LOOK: Duration = Duration::from_millis(50);

/// How long what was written before a recovery line may take to be read.
const LINE_PATIENCE: Duration = Duration::from_secs(20);

/// What the thread is asked for.
#[derive(Debug)]
pub enum ConsoleOrder {
    /// Read this too.
    Add(Source),
    /// Tell the client how many ranks have started.
    Progress {
        /// How many.
        up: u32,
    },
    /// All ranks stand still at a recovery line: note how far they have written.
    Line {
        /// Where to say that it is noted.
        noted: Sender<()>,
        /// Where to say, when all of that has been read, what it was.
        read: Sender<Vec<Console>>,
    },
    /// Say when all has been read that domains have written by now, or when nothing has come for so
    /// long.
    Settle {
        /// Where to say it.
        settled: Sender<()>,
        /// How long to wait for the next byte.
        patience: Duration,
    },
    /// Read what is there, wait until the client has taken all, and end.
    Finish,
    /// End without waiting for the client.
    Abandon,
}

/// What the thread leaves.
#[derive(Debug, Default)]
pub struct ConsoleReport {
    /// By rank, what became of its output.
    pub output: Vec<OutputSummary>,
    /// By rank, the line that looks as if its kernel had told why it crashed.
    pub last_words: Vec<Option<String>>,
}

/// A rank's output.
struct RankOutput {
    log: Log,
    last_words: LastWords,
    summary: OutputSummary,
    written: Written,
    /// Bytes that were read from its console, modulo 2^32.
    console: u32,
    /// Bytes that wait for the client.
    waiting: u64,
    /// A domain is to wait until fewer of them do.
    held: bool,
}

/// A piece that the client was sent.
struct Untaken {
    rank: u32,
    bytes: u64,
    /// Weight of all that it was sent up to here.
    sent: u64,
}

/// Consoles that are read to what their kernels have written.
struct Settling {
    settled: Sender<()>,
    patience: Duration,
    /// When the last byte came.
    read_at: Instant,
}

/// Consoles that are read to where their ranks stood still at a recovery line.
struct AtLine {
    read: Sender<Vec<Console>>,
    since: Instant,
    /// By rank, what it had written, once all of that has been read.
    ranks: Vec<Option<Console>>,
}

/// How far the thread is. It only goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ConsolePhase {
    /// Ranks run.
    Reading,
    /// They have ended: what they have left is read, and the client takes it.
    Finishing,
    /// The client is not waited for any more.
    Abandoned,
}

/// The thread's own.
pub struct ConsoleReader {
    incoming: Receiver<ConsoleOrder>,
    wake: Arc<OwnedFd>,
    sources: Vec<Source>,
    ranks: Vec<RankOutput>,
    /// What the client has no room for yet.
    waiting: VecDeque<OutputPiece>,
    waiting_bytes: u64,
    /// What the client was sent and has not passed on yet.
    untaken: VecDeque<Untaken>,
    /// Weight of all that it was sent.
    sent: u64,
    /// Bytes that the logs of all ranks together may still take.
    log_room: u64,
    settling: Option<Settling>,
    line: Option<AtLine>,
    phase: ConsolePhase,
    client: Arc<JobClient>,
}

impl ConsoleReader {
    /// Of a job of which nothing is to be read yet. `ranks` have a log each, and what they had
    /// written when they were saved.
    pub fn new(
        incoming: Receiver<ConsoleOrder>,
        wake: Arc<OwnedFd>,
        ranks: impl Iterator<Item = (Log, Console)>,
        client: Arc<JobClient>,
    ) -> Self {
        let rank = |(log, written)| RankOutput {
            log,
            last_words: LastWords::default(),
            summary: OutputSummary::default(),
            written: Written::new(written),
            console: 0,
            waiting: 0,
            held: false,
        };
        Self {
            incoming,
            wake,
            sources: Vec::new(),
            ranks: ranks.map(rank).collect(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            untaken: VecDeque::new(),
            sent: 0,
            log_room: JOB_LOG_LIMIT,
            settling: None,
            line: None,
            phase: ConsolePhase::Reading,
            client,
        }
    }

    /// Reads until it is told to finish.
    pub fn run(mut self) -> ConsoleReport {
        loop {
            while let Ok(order) = self.incoming.try_recv() {
                self.take(order);
            }
            self.pass_on();
            self.hold_and_let_go();
            self.leave_line();
            self.report_settled();
            if self.is_done() {
                return self.report();
            }
            let ready = match self.wait() {
                Ok(ready) => ready,
                Err(error) => {
                    tracing::error!(%error, "the job's consoles cannot be read any more");
                    return self.report();
                }
            };
            // From the last, so that removals do not move those that are still to be looked at.
            for index in ready.into_iter().rev() {
                self.read(index);
            }
        }
    }

    fn take(&mut self, order: ConsoleOrder) {
        match order {
            ConsoleOrder::Add(mut source) => {
                if let Some(known) = self.ranks.get(source.rank as usize) {
                    source.go_on_from(known.console);
                    self.sources.push(source);
                }
            }
            ConsoleOrder::Progress { up } => self.client.send(&Reply::Up(up)),
            ConsoleOrder::Line { noted, read } => {
                self.sources.iter_mut().for_each(Source::note_line);
                // A rank without a console has ended, or written nothing.
                let ranks = self.ranks.iter().map(|rank| Some(rank.written.console()));
                let mut line = AtLine { read, since: Instant::now(), ranks: ranks.collect() };
                for source in self.sources.iter().filter(|source| source.before_line() > 0) {
                    line.ranks[source.rank as usize] = None;
                }
                self.line = Some(line);
                let _ = noted.send(());
            }
            ConsoleOrder::Settle { settled, patience } => {
                self.sources.iter_mut().for_each(Source::count_console);
                self.settling = Some(Settling { settled, patience, read_at: Instant::now() });
            }
            ConsoleOrder::Finish => {
                self.sources.iter_mut().for_each(Source::count_pipe);
                self.phase = self.phase.max(ConsolePhase::Finishing);
            }
            ConsoleOrder::Abandon => self.phase = ConsolePhase::Abandoned,
        }
    }

    /// Waits for something to do; the sources that are to be read.
    fn wait(&self) -> io::Result<Vec<usize>> {
        let readable: Vec<usize> =
            (0..self.sources.len()).filter(|&index| self.may_read(&self.sources[index])).collect();
        if self.phase > ConsolePhase::Reading && !readable.is_empty() {
            return Ok(readable);
        }
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.client.progress(), PollFlags::IN),
        ];
        let sources = readable.iter().map(|&index| &self.sources[index]);
        fds.extend(sources.map(|source| PollFd::new(&source.file, PollFlags::IN)));
        let look = Timespec { tv_sec: 0, tv_nsec: LOOK.as_nanos() as i64 };
        let is_timed = self.settling.is_some() || self.line.is_some();
        match poll(&mut fds, is_timed.then_some(&look)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // More than the process may open, for the moment, although they are open.
            Err(rustix::io::Errno::INVAL) => {
                thread::sleep(LOOK);
                return Ok(readable);
            }
            Err(error) => return Err(error.into()),
        }
        if !fds[0].revents().is_empty() {
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        }
        if !fds[1].revents().is_empty() {
            self.client.forget_progress();
        }
        let ready = readable.iter().zip(&fds[2..]).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|(&index, _)| index).collect())
    }

    fn may_read(&self, source: &Source) -> bool {
        match self.phase {
            ConsolePhase::Reading if source.left() == Some(0) => false,
            ConsolePhase::Abandoned => true,
            _ => source.is_console() || self.waiting_bytes < PIPES_WAIT_AT,
        }
    }

    /// Reads a piece of one source, and forgets the source when that was its end.
    fn read(&mut self, index: usize) {
        let mut buffer = [0; 16 << 10];
        let source = &mut self.sources[index];
        match source.read(&mut buffer) {
            Found::Bytes(count) => {
                let (rank, stream) = (source.rank, source.stream);
                if count > 0 {
                    self.keep(rank, stream, &buffer[..count]);
                }
            }
            Found::Nothing if self.phase == ConsolePhase::Reading => {}
            Found::Nothing | Found::End => {
                let source = self.sources.remove(index);
                self.forget(source);
            }
        }
    }

    /// Nothing more will be read there. What a domain has written and nobody can read is lost.
    fn forget(&mut self, mut source: Source) {
        if !source.is_console() {
            return;
        }
        // Of a rank that was restored and has written nothing more.
        self.keep(source.rank, source.stream, &[]);
        self.leave_line_at(&mut source);
        source.count_console();
        let (rank, lost) = (source.rank, source.left().unwrap_or(0));
        let known = &mut self.ranks[rank as usize];
        known.console = source.read_so_far().wrapping_add(lost as u32);
        if lost > 0 {
            tracing::warn!(rank, lost, "a console could not be read to its end");
            known.summary.lost += lost;
        }
    }

    /// Keeps a piece in the log, and for the client.
    fn keep(&mut self, rank: u32, stream: OutputStream, bytes: &[u8]) {
        if let Some(settling) = &mut self.settling {
            settling.read_at = Instant::now();
        }
        let Some(known) = self.ranks.get_mut(rank as usize) else { return };
        let bytes = [known.written.take_before(), bytes.to_vec()].concat();
        if bytes.is_empty() {
            return;
        }
        known.written.push(&bytes);
        if let Err(error) = known.log.keep(&bytes, &mut self.log_room) {
            tracing::warn!(%error, rank, "output could not be kept in the log");
        }
        known.last_words.push(&bytes);
        known.summary.bytes += bytes.len() as u64;
        known.waiting += bytes.len() as u64;
        self.waiting_bytes += bytes.len() as u64;
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at = at.as_millis() as u64;
        self.waiting.push_back(OutputPiece { rank, stream, at, bytes });
    }

    /// Gives the client what it has room for. What a client that is gone would have been given is
    /// counted.
    fn pass_on(&mut self) {
        let taken = self.client.taken();
        while self.untaken.pop_front_if(|piece| piece.sent <= taken).is_some() {}
        while let Some(piece) = self.waiting.pop_front() {
            let (rank, length) = (piece.rank as usize, piece.bytes.len() as u64);
            let sent =
                Untaken { rank: piece.rank, bytes: length, sent: self.sent + piece.weight() };
            if self.client.is_gone() || self.phase == ConsolePhase::Abandoned {
                self.ranks[rank].summary.unsent += length;
            } else if let Err(piece) = self.client.output(piece) {
                return self.waiting.push_front(piece);
            } else {
                self.sent = sent.sent;
                self.untaken.push_back(sent);
            }
            self.ranks[rank].waiting -= length;
            self.waiting_bytes -= length;
        }
    }

    /// Has domains wait of which too much waits here, and go on when that is not so any more.
    fn hold_and_let_go(&mut self) {
        for source in self.sources.iter().filter(|source| source.is_console()) {
            let known = &mut self.ranks[source.rank as usize];
            let held = known.waiting > if known.held { GO_ON_AT } else { HOLD_AT };
            if held != known.held {
                known.held = held;
                source.hold(held);
            }
        }
    }

    /// Reads on behind the line where all has been read that was written before, or cannot be, and
    /// says so when that is everywhere.
    fn leave_line(&mut self) {
        let Some(line) = &self.line else { return };
        let is_late = line.since.elapsed() >= LINE_PATIENCE;
        let mut sources = std::mem::take(&mut self.sources);
        for source in sources.iter_mut().filter(|source| source.before_line() == 0 || is_late) {
            self.leave_line_at(source);
        }
        self.sources = sources;
        if let Some(line) = self.line.take_if(|line| line.ranks.iter().all(Option::is_some)) {
            // Who has given the line up does not wait.
            let _ = line.read.send(line.ranks.into_iter().flatten().collect());
        }
    }

    /// The same at one console. What cannot be read nobody will have been shown.
    fn leave_line_at(&mut self, source: &mut Source) {
        let unread = source.leave_line();
        let Some(line) = &mut self.line else { return };
        if let Some(at @ None) = line.ranks.get_mut(source.rank as usize) {
            let mut console = self.ranks[source.rank as usize].written.console();
            console.unread.extend(unread);
            *at = Some(console);
        }
    }

    /// Says that consoles have been read to their end, or that the rest is lost.
    fn report_settled(&mut self) {
        let Some(settling) = &self.settling else { return };
        let silence = settling.read_at.elapsed();
        let is_over = |source: &Source| match source.left() {
            Some(left) => left == 0 || silence >= settling.patience,
            None => silence >= QUIET,
        };
        if !self.sources.iter().filter(|source| source.is_console()).all(is_over) {
            return;
        }
        let (consoles, pipes) =
            std::mem::take(&mut self.sources).into_iter().partition(Source::is_console);
        self.sources = pipes;
        Vec::into_iter(consoles).for_each(|console| self.forget(console));
        if let Some(settling) = self.settling.take() {
            let _ = settling.settled.send(());
        }
    }

    fn is_done(&self) -> bool {
        let client_has_all = self.waiting.is_empty() && self.client.has_taken_all();
        match self.phase {
            ConsolePhase::Reading => false,
            ConsolePhase::Finishing => self.sources.is_empty() && client_has_all,
            ConsolePhase::Abandoned => self.sources.is_empty(),
        }
    }

    fn report(mut self) -> ConsoleReport {
        // After an error there may be some that nobody will be given.
        self.phase = ConsolePhase::Abandoned;
        self.pass_on();
        // A client that lives counts what it could not pass on itself.
        for piece in self.untaken.iter().filter(|_| self.client.is_gone()) {
            self.ranks[piece.rank as usize].summary.unsent += piece.bytes;
        }
        let mut report = ConsoleReport::default();
        for mut known in self.ranks {
            known.log.finish();
            known.summary.unlogged = known.log.left_out();
            report.output.push(known.summary);
            report.last_words.push(known.last_words.cause());
        }
        report
    }
}

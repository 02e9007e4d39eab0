//! The consoles, as the job's other threads hold them.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use super::log::Log;
use super::reader::{ConsoleOrder, ConsoleReader, ConsoleReport};
use super::source::{RingPage, Source};
use crate::control::{JobSpec, OutputStream};
use crate::error::{Context, Result};
use crate::images::Console;
use crate::job::client::JobClient;
use crate::xen::ConsolePage;

/// How long the thread may take to see that ranks stand still. It waits for nothing.
const NOTE_PATIENCE: Duration = Duration::from_secs(10);

/// The consoles of one job. Clones are the same.
#[derive(Clone, Debug)]
pub struct Consoles {
    orders: Sender<ConsoleOrder>,
    wake: Arc<OwnedFd>,
}

/// What ranks had written at a recovery line, as soon as all of that has been read.
#[derive(Debug)]
pub struct AtLine(Receiver<Vec<Console>>);

impl AtLine {
    /// Waits for it, for a while; by rank. None if the consoles are not read any more.
    pub fn wait(self) -> Option<Vec<Console>> {
        self.0.recv().ok()
    }
}

impl Consoles {
    /// Starts the thread. Logs of the ranks of this host go to files in `logs`, if there is room
    /// for them, and output to `client`. What ranks had `written` when they were saved, by rank, is
    /// shown before what they write next.
    pub fn start(
        job: &str,
        spec: &JobSpec,
        logs: Option<&Path>,
        client: Arc<JobClient>,
        written: &[Console],
    ) -> Result<(Self, JoinHandle<ConsoleReport>)> {
        let context = || "start the job's consoles";
        let wake =
            Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).context(context)?);
        let (orders, incoming) = channel();
        let log = |rank| match logs {
            Some(logs) if spec.is_here(rank) => Log::create(&logs.join(format!("rank-{rank}.log"))),
            _ => Ok(Log::nowhere()),
        };
        let logs = (0..spec.size).map(log).collect::<Result<Vec<_>>>()?;
        let written = |rank| written.get(rank).cloned().unwrap_or_default();
        let ranks = logs.into_iter().enumerate().map(|(rank, log)| (log, written(rank)));
        let reader = ConsoleReader::new(incoming, wake.clone(), ranks, client);
        let thread = thread::Builder::new()
            .name(format!("console-{job}"))
            .spawn(move || reader.run())
            .context(context)?;
        Ok((Self { orders, wake }, thread))
    }

    /// Reads this pipe of a process too. `fd` must not block.
    pub fn add_pipe(&self, rank: u32, stream: OutputStream, fd: OwnedFd) {
        self.tell(ConsoleOrder::Add(Source::pipe(rank, stream, fd)));
    }

    /// Reads this console of a domain too. `fd` must not block; `page` is the console's page, if it
    /// could be mapped.
    pub fn add_terminal(&self, rank: u32, fd: OwnedFd, page: Option<ConsolePage>) {
        let page = page.map(|page| Box::new(page) as Box<dyn RingPage>);
        self.tell(ConsoleOrder::Add(Source::console(rank, fd, page)));
    }

    /// Tells the client how many ranks have started.
    pub fn progress(&self, up: u32) {
        self.tell(ConsoleOrder::Progress { up });
    }

    /// All ranks stand still at a recovery line: notes how far they have written. Returns when that
    /// is done, so that they may go on. None if the consoles are not read any more.
    pub fn note_line(&self) -> Option<AtLine> {
        let (noted, is_noted) = channel();
        let (read, at_line) = channel();
        self.tell(ConsoleOrder::Line { noted, read });
        is_noted.recv_timeout(NOTE_PATIENCE).ok()?;
        Some(AtLine(at_line))
    }

    /// Returns when all has been read that domains have written by now: what xenconsoled still has
    /// when a domain is destroyed is lost. Gives up where nothing has come for that long. The pages
    /// of the consoles are given back.
    pub fn settle(&self, patience: Duration) {
        let (settled, done) = channel();
        self.tell(ConsoleOrder::Settle { settled, patience });
        // A thread that has failed settles nothing.
        let _ = done.recv();
    }

    /// The ranks have ended: reads what is there, waits until the client has taken all, and ends.
    pub fn finish(&self) {
        self.tell(ConsoleOrder::Finish);
    }

    /// Ends without waiting for the client.
    pub fn abandon(&self) {
        self.tell(ConsoleOrder::Abandon);
    }

    fn tell(&self, order: ConsoleOrder) {
        // A thread that has ended has nothing to read.
        let _ = self.orders.send(order);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

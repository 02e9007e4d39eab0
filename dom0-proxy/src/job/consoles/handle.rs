//! The consoles, as the job's other threads hold them.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use super::log::Log;
use super::reader::{ConsoleOrder, ConsoleReader, ConsoleReport};
use super::source::Source;
use crate::control::{JobSpec, OutputStream};
use crate::error::{Context, Result};
use crate::job::client::JobClient;
use crate::xen::ConsolePage;

/// The consoles of one job. Clones are the same.
#[derive(Clone, Debug)]
pub struct Consoles {
    orders: Sender<ConsoleOrder>,
    wake: Arc<OwnedFd>,
}

impl Consoles {
    /// Starts the thread. Logs go to files in `logs`, if there is room for them, and output to
    /// `client`.
    pub fn start(
        job: &str,
        spec: &JobSpec,
        logs: Option<&Path>,
        client: Arc<JobClient>,
    ) -> Result<(Self, JoinHandle<ConsoleReport>)> {
        let context = || "start the job's consoles";
        let wake =
            Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).context(context)?);
        let (orders, incoming) = channel();
        let log = |rank| match logs {
            Some(logs) => Log::create(&logs.join(format!("rank-{rank}.log"))),
            None => Ok(Log::nowhere()),
        };
        let logs = (0..spec.size).map(log).collect::<Result<Vec<_>>>()?;
        let reader = ConsoleReader::new(incoming, wake.clone(), logs, client);
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
        self.tell(ConsoleOrder::Add(Source::console(rank, fd, page)));
    }

    /// Tells the client how many ranks have started.
    pub fn progress(&self, up: u32) {
        self.tell(ConsoleOrder::Progress { up });
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

//! The engine, as its job holds it.

use std::io;
use std::net::TcpStream;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use armci_nostd::wire::attach::WindowLayout;
use rustix::event::{EventfdFlags, eventfd};

use super::copied::Copied;
use super::notice::Notice;
use super::order::EngineOrder;
use super::patience::Pause;
use super::placement::Placement;
use super::service::{Change, OrderError};
use super::traffic::Traffic;
use super::worker::Worker;
use crate::attach::{RankAttachment, RankStanding};

/// The engine of one job.
#[derive(Debug)]
pub struct Engine {
    orders: EngineOrders,
    ending: Arc<AtomicBool>,
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Traffic>>,
}

/// What can be asked of a job's engine. Clones are the same; with an engine that has ended all is
/// [`OrderError::NotRunning`].
#[derive(Clone, Debug)]
pub struct EngineOrders {
    orders: Sender<EngineOrder>,
    ordered: Arc<AtomicBool>,
    wake: Arc<OwnedFd>,
}

impl Engine {
    /// Starts the engine of a job of `size` ranks, which pauses between two looks at their rings as
    /// `pause` says. `tell` is called from its thread.
    pub fn start(
        job: &str,
        size: u32,
        pause: Pause,
        tell: impl Fn(Notice) + Send + 'static,
    ) -> io::Result<Self> {
        Self::start_part(job, Placement::here(size), pause, tell)
    }

    /// The same of a job of which only some ranks run here: those that `placement` says. It also
    /// waits for a [connection](Self::link) to each other host that has ranks.
    pub fn start_part(
        job: &str,
        placement: Placement,
        pause: Pause,
        tell: impl Fn(Notice) + Send + 'static,
    ) -> io::Result<Self> {
        let traffic = vec![Traffic::default(); placement.size()];
        Self::begin(job, placement, traffic, false, pause, tell)
    }

    /// Starts the engine of a job that is restored: of domains whose memory is to be
    /// [filled](EngineOrders::fill_window) before they [land](EngineOrders::land). `traffic` is
    /// what was served before for each rank.
    pub fn restore(
        job: &str,
        traffic: Vec<Traffic>,
        pause: Pause,
        tell: impl Fn(Notice) + Send + 'static,
    ) -> io::Result<Self> {
        let placement = Placement::here(traffic.len() as u32);
        Self::begin(job, placement, traffic, true, pause, tell)
    }

    fn begin(
        job: &str,
        placement: Placement,
        mut traffic: Vec<Traffic>,
        lands: bool,
        pause: Pause,
        tell: impl Fn(Notice) + Send + 'static,
    ) -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let ending = Arc::new(AtomicBool::new(false));
        let ordered = Arc::new(AtomicBool::new(false));
        let stopped = Arc::new(AtomicBool::new(false));
        let (orders, incoming) = channel();
        let worker = Worker {
            placement,
            lands,
            pause,
            incoming,
            ordered: ordered.clone(),
            ending: ending.clone(),
            stopped: stopped.clone(),
            wake: wake.clone(),
        };
        let thread = thread::Builder::new().name(format!("engine-{job}")).spawn(move || {
            let run = catch_unwind(AssertUnwindSafe(|| worker.run(&mut traffic, &tell)));
            match run {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tell(Notice::Broken(error.to_string())),
                Err(_) => tell(Notice::Broken("the engine panicked: see the daemon's log".into())),
            }
            traffic
        })?;
        Ok(Self { orders: EngineOrders { orders, ordered, wake }, ending, stopped, thread })
    }

    /// What can be asked of it, for others to ask.
    pub fn orders(&self) -> EngineOrders {
        self.orders.clone()
    }

    /// Adds a rank. Each rank is added at most once.
    pub fn attach(&self, rank: u32, attachment: RankAttachment) {
        // If it has ended, the rank is detached.
        self.orders.tell(EngineOrder::Attach(rank, attachment));
    }

    /// Adds a connection to the proxy of another host, over which nothing was said yet. Each host
    /// is added at most once.
    pub fn link(&self, host: u32, stream: TcpStream) {
        self.orders.tell(EngineOrder::Link(host, stream));
    }

    /// Whether the user has stopped the ranks: then nobody takes too long for anything.
    pub fn ranks_are_stopped(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::Release);
    }

    /// Ends it. When this returns no memory of a rank is mapped any more.
    pub fn end(self) -> Vec<Traffic> {
        self.ending.store(true, Ordering::Release);
        self.orders.tell(EngineOrder::End);
        self.thread.join().unwrap_or_default()
    }
}

impl Deref for Engine {
    type Target = EngineOrders;

    fn deref(&self) -> &EngineOrders {
        &self.orders
    }
}

impl EngineOrders {
    /// Closes the ranks' gates to each other's memory. When this returns no rank is there, and what
    /// they did there is to be seen; from then on everything goes through the rings, until
    /// [`open_gates`](Self::open_gates).
    ///
    /// # Errors
    /// [`OrderError`], with the gates open.
    pub fn close_gates(&self) -> Result<(), OrderError> {
        self.change(Change::Close)
    }

    /// Lets the ranks reach each other's memory again: each by the mappings that it has, or that it
    /// makes anew if it has lost them.
    ///
    /// # Errors
    /// [`OrderError`] while the rings are not served.
    pub fn open_gates(&self) -> Result<(), OrderError> {
        self.change(Change::Open)
    }

    /// Serves the rings no more, behind closed gates. When this returns no operation is half done,
    /// and nothing that the proxy does changes the ranks' memory, until
    /// [`start_serving`](Self::start_serving). What ranks ask for meanwhile stays in their rings.
    ///
    /// # Errors
    /// [`OrderError`] while the gates are not closed.
    pub fn stop_serving(&self) -> Result<(), OrderError> {
        self.change(Change::Stop)
    }

    /// Serves the rings again. The gates stay closed.
    ///
    /// # Errors
    /// [`OrderError::NotRunning`].
    pub fn start_serving(&self) -> Result<(), OrderError> {
        self.change(Change::Start)
    }

    /// Has all ranks stand still, while the rings are not served. When this returns all that they
    /// are is in their memory, which nobody changes, until [`go_on`](Self::go_on).
    ///
    /// # Errors
    /// [`OrderError`], with all ranks going on.
    pub fn park(&self) -> Result<(), OrderError> {
        self.change(Change::Park)
    }

    /// Lets the ranks go on that stand still. The rings are still not served.
    ///
    /// # Errors
    /// [`OrderError::NotRunning`].
    pub fn go_on(&self) -> Result<(), OrderError> {
        self.change(Change::GoOn)
    }

    /// Copies a rank's window from its first byte on, as much as `buffer` has room for, or as there
    /// is: the buffer comes back with that length, and with what of it has changed. Pages that a
    /// rank which stands still tells to be free are left out. What the proxies do is not in the
    /// way, since the rings are not served; what a rank does that does not stand still is for the
    /// caller to know.
    ///
    /// # Errors
    /// [`OrderError`] while the rings are served.
    pub fn copy_window(&self, rank: u32, buffer: Vec<u8>) -> Result<Copied, OrderError> {
        self.ask(|reply| EngineOrder::CopyWindow { rank, buffer, reply })
    }

    /// Fills memory of a domain that is to become this rank, from `offset` of its window on, but
    /// for what the domain needs itself until it has landed. The buffer comes back.
    ///
    /// # Errors
    /// [`OrderError`], also when the job was not restored, or has landed.
    pub fn fill_window(
        &self,
        rank: u32,
        offset: u64,
        bytes: Vec<u8>,
    ) -> Result<Vec<u8>, OrderError> {
        self.ask(|reply| EngineOrder::FillWindow { rank, offset, bytes, reply })
    }

    /// Has the domains of a restored job become the ranks that they were filled with, and go on.
    /// The rings are still not served, and gates closed.
    ///
    /// # Errors
    /// [`OrderError`]; then the job cannot go on.
    pub fn land(&self) -> Result<(), OrderError> {
        self.change(Change::Land)
    }

    /// A rank has ended: it is its memory, and cannot be told anything.
    pub fn ended(&self, rank: u32) {
        self.tell(EngineOrder::Ended(rank));
    }

    /// What was served for each rank so far, without what it has done directly.
    ///
    /// # Errors
    /// [`OrderError::NotRunning`].
    pub fn traffic(&self) -> Result<Vec<Traffic>, OrderError> {
        self.ask(EngineOrder::Traffic)
    }

    /// Whether at this moment no request waits in a ring and no rank is in a neighbour's memory, so
    /// that closing a line would have nothing to drain. Ranks go on meanwhile, and write the words
    /// that are looked at: this is advice. False if the engine does not say within `patience`.
    pub fn is_quiet(&self, patience: Duration) -> bool {
        let (reply, answer) = channel();
        self.tell(EngineOrder::IsQuiet(reply));
        answer.recv_timeout(patience).unwrap_or(false)
    }

    /// How many operations have come to their end since the gates were last closed: entries of
    /// rings that were served, and what ranks were doing in their neighbours' memory then. Once the
    /// rings are [not served](Self::stop_serving) it is what there was to drain.
    ///
    /// # Errors
    /// [`OrderError::NotRunning`].
    pub fn drained(&self) -> Result<u64, OrderError> {
        self.ask(EngineOrder::Drained)
    }

    /// For how long each rank stood still when they were last [parked](Self::park): from when the
    /// engine saw that it did, until all were told to go on, or until now. Zero for a rank that had
    /// ended.
    ///
    /// # Errors
    /// [`OrderError::NotRunning`].
    pub fn stood_still(&self) -> Result<Vec<Duration>, OrderError> {
        self.ask(EngineOrder::StoodStill)
    }

    /// Where the ranks' memory is, by their own addresses.
    ///
    /// # Errors
    /// [`OrderError::NotRunning`].
    pub fn layouts(&self) -> Result<Vec<WindowLayout>, OrderError> {
        self.ask(EngineOrder::Layouts)
    }

    /// How the ranks get on, in their order.
    ///
    /// # Errors
    /// [`OrderError::NotRunning`].
    pub(crate) fn standings(&self) -> Result<Vec<RankStanding>, OrderError> {
        self.ask(EngineOrder::Standings)
    }

    /// How the ranks here and their rings are, with their numbers, in words, for the log: what a
    /// job that hangs waits for.
    ///
    /// # Errors
    /// [`OrderError::NotRunning`], also while not all ranks are attached.
    pub(crate) fn describe(&self) -> Result<Vec<(u32, String)>, OrderError> {
        self.ask(EngineOrder::Describe)
    }

    fn change(&self, change: Change) -> Result<(), OrderError> {
        self.ask(|reply| EngineOrder::Change(change, reply))
    }

    fn ask<T>(
        &self,
        order: impl FnOnce(Sender<Result<T, OrderError>>) -> EngineOrder,
    ) -> Result<T, OrderError> {
        let (reply, answer) = channel();
        // An engine that has ended drops it, and the answer's channel with it.
        self.tell(order(reply));
        answer.recv().map_err(|_| OrderError::NotRunning)?
    }

    fn tell(&self, order: EngineOrder) {
        // An engine that has ended drops it.
        let _ = self.orders.send(order);
        self.ordered.store(true, Ordering::Release);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

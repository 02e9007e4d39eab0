//! Serves the rings of one job.
//!
//! One thread a job: jobs cannot harm each other. The thread waits until all ranks are attached,
//! so that no operation can meet an absent target; then it tells them and serves them in turn, a
//! batch each. While there is work it polls; then it asks to be woken, looks once more, and blocks.
//!
//! Ranks of one host reach each other's memory by themselves while their [gates](armci_nostd::shared::gate)
//! are open, and ask only for what they cannot do. The engine opens the gates when all are
//! attached, and closes them for who needs memory that stands still.
//!
//! The first thing that a rank does wrong fails the job: all ranks are told, nothing more is done
//! for them, and the job hears who did what.

mod patience;
mod serve;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use armci_nostd::wire::JobState;
use rustix::event::{EventfdFlags, epoll, eventfd};

use crate::control::Traffic;
use crate::ports::{Attachment, Fleet};
use patience::Patience;
pub use patience::Pause;
use serve::Server;

/// What the engine tells its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// All ranks are attached and served.
    Open,
    /// A rank broke the protocol; the job has failed.
    Violation {
        /// The rank.
        rank: u32,
        /// What it did.
        cause: String,
    },
    /// The engine itself failed; the job has too.
    Broken(String),
}

/// The epoch in which ranks make their mappings of each other's memory.
const FIRST_EPOCH: u32 = 1;
/// How long a rank may stay in its neighbours' memory after the gates were closed. It needs
/// microseconds; but its processor may have other things to do.
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);

/// The gates could not be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// A rank does not leave its neighbours' memory. The gates are open again.
    #[error("rank {0} does not leave its neighbours' memory; is its domain paused?")]
    Inside(u32),
    /// The job is not one that runs.
    #[error("the job does not run")]
    NotRunning,
}

/// What the engine's thread is asked for.
enum Order {
    Attach(u32, Attachment),
    CloseGates(Sender<Result<(), GateError>>),
    OpenGates,
}

/// Epoll's name for the thread's own doorbell. Ranks have their numbers.
const WAKE: u64 = u64::MAX;

/// The engine of one job.
#[derive(Debug)]
pub struct Engine {
    orders: Sender<Order>,
    ordered: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
    wake: Arc<OwnedFd>,
    thread: JoinHandle<Vec<Traffic>>,
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
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let stopping = Arc::new(AtomicBool::new(false));
        let ordered = Arc::new(AtomicBool::new(false));
        let (orders, incoming) = channel();
        let worker = Worker {
            size,
            pause,
            incoming,
            ordered: ordered.clone(),
            stopping: stopping.clone(),
            wake: wake.clone(),
        };
        let thread = thread::Builder::new().name(format!("engine-{job}")).spawn(move || {
            let mut traffic = vec![Traffic::default(); size as usize];
            let run = catch_unwind(AssertUnwindSafe(|| worker.run(&mut traffic, &tell)));
            match run {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tell(Notice::Broken(error.to_string())),
                Err(_) => tell(Notice::Broken("the engine panicked: see the daemon's log".into())),
            }
            traffic
        })?;
        Ok(Self { orders, ordered, stopping, wake, thread })
    }

    /// Adds a rank. Each rank is added at most once.
    pub fn attach(&self, rank: u32, attachment: Attachment) {
        // An engine that has ended drops it, which detaches the rank.
        let _ = self.orders.send(Order::Attach(rank, attachment));
    }

    /// Closes the ranks' gates to each other's memory. When this returns no rank is there, and what
    /// they did there is to be seen; from then on everything goes through the rings, until
    /// [`open_gates`](Self::open_gates).
    ///
    /// # Errors
    /// [`GateError`], with the gates open.
    pub fn close_gates(&self) -> Result<(), GateError> {
        let (reply, closed) = channel();
        self.order(Order::CloseGates(reply));
        closed.recv().map_err(|_| GateError::NotRunning)?
    }

    /// Lets the ranks reach each other's memory again, by the mappings that they have.
    pub fn open_gates(&self) {
        self.order(Order::OpenGates);
    }

    fn order(&self, order: Order) {
        // An engine that has ended drops it.
        let _ = self.orders.send(order);
        self.ordered.store(true, Ordering::Release);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Ends it. When this returns no memory of a rank is mapped any more.
    pub fn stop(self) -> Vec<Traffic> {
        self.stopping.store(true, Ordering::Release);
        drop(self.orders);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        self.thread.join().unwrap_or_default()
    }
}

/// The engine's thread.
struct Worker {
    size: u32,
    pause: Pause,
    incoming: Receiver<Order>,
    /// Whether there may be an order.
    ordered: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
    wake: Arc<OwnedFd>,
}

impl Worker {
    fn run(self, traffic: &mut [Traffic], tell: &impl Fn(Notice)) -> io::Result<()> {
        let Some(fleet) = self.gather() else { return Ok(()) };
        let state = |state| fleet.lines().iter().for_each(|line| line.set_state(state));
        let doorbells = self.doorbells(&fleet)?;
        fleet.introduce();
        fleet.lines().iter().for_each(|line| line.gate().open(FIRST_EPOCH));
        state(JobState::Attached);
        tell(Notice::Open);
        let violation = self.serve(&fleet, &doorbells, traffic)?;
        for (line, traffic) in fleet.lines().iter().zip(traffic) {
            line.gate().close();
            traffic.add(&line.tally());
        }
        for (rank, line) in fleet.lines().iter().enumerate() {
            tracing::debug!(rank, rings = line.describe(), "served no more");
        }
        if let Some((rank, error)) = violation {
            // In this order, so that the job hears of the cause before any rank can end because of
            // it.
            tell(Notice::Violation { rank, cause: error.to_string() });
            state(JobState::Failed);
            self.wait_for_stop();
        }
        Ok(())
    }

    /// Waits until all ranks are there; `None` when the job ends before.
    fn gather(&self) -> Option<Fleet> {
        let mut slots: Vec<Option<Attachment>> = Vec::new();
        slots.resize_with(self.size as usize, || None);
        let mut missing = slots.len();
        while missing > 0 {
            // Before there are ranks there are no gates, which whoever waits for them learns by the
            // end of its channel.
            let Order::Attach(rank, attachment) = self.incoming.recv().ok()? else { continue };
            if let Some(slot @ None) = slots.get_mut(rank as usize) {
                *slot = Some(attachment);
                missing -= 1;
            }
        }
        Some(Fleet::new(slots.into_iter().flatten().collect()))
    }

    /// One thing to wait on for all doorbells.
    fn doorbells(&self, fleet: &Fleet) -> io::Result<OwnedFd> {
        let all = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&all, self.wake.as_fd(), epoll::EventData::new_u64(WAKE), edge)?;
        for (rank, line) in fleet.lines().iter().enumerate() {
            match epoll::add(
                &all,
                line.doorbell().fd(),
                epoll::EventData::new_u64(rank as u64),
                edge,
            ) {
                // Doorbells of several ranks may come through one descriptor, and are acknowledged
                // together.
                Err(rustix::io::Errno::EXIST) => {}
                result => result?,
            }
        }
        Ok(all)
    }

    /// Serves until told to stop, or a rank does something wrong.
    fn serve(
        &self,
        fleet: &Fleet,
        doorbells: &OwnedFd,
        traffic: &mut [Traffic],
    ) -> io::Result<Option<(u32, serve::Violation)>> {
        let mut server = Server::new(fleet, traffic);
        let mut patience = Patience::new(self.pause);
        let mut events = [const { std::mem::MaybeUninit::<epoll::Event>::uninit() }; 64];
        let mut gates = Gates { fleet, closed: Vec::new() };
        let mut closing: Option<Closing> = None;
        while !self.stopping.load(Ordering::Acquire) {
            if self.ordered.swap(false, Ordering::AcqRel) {
                self.take_orders(&mut gates, &mut closing);
            }
            closing.take_if(|closing| closing.has_ended(&mut gates));
            match server.round() {
                Err(violation) => return Ok(Some(violation)),
                Ok(true) => {
                    patience.worked();
                    continue;
                }
                Ok(false) if closing.is_some() || patience.look_again() => continue,
                Ok(false) => {}
            }
            if server.fall_asleep() {
                patience.blocks();
                let (ready, _) = match epoll::wait(doorbells, &mut events, None) {
                    Err(rustix::io::Errno::INTR) => continue,
                    result => result?,
                };
                patience.woken();
                for event in ready {
                    if let Some(line) = fleet.lines().get(event.data.u64() as usize) {
                        line.doorbell().acknowledge();
                    }
                }
            }
            server.wake_up();
        }
        Ok(None)
    }

    fn take_orders(&self, gates: &mut Gates<'_>, closing: &mut Option<Closing>) {
        while let Ok(order) = self.incoming.try_recv() {
            match order {
                // All ranks are attached; dropping it detaches whoever that is.
                Order::Attach(..) => {}
                Order::CloseGates(reply) => {
                    gates.close();
                    *closing = Some(Closing { reply, since: Instant::now() });
                }
                Order::OpenGates => gates.open(),
            }
        }
    }

    /// Keeps the ranks' memory until the job has heard of its failure.
    fn wait_for_stop(&self) {
        while !self.stopping.load(Ordering::Acquire) {
            let patience = Duration::from_secs(1);
            if let Err(RecvTimeoutError::Disconnected) = self.incoming.recv_timeout(patience) {
                return;
            }
        }
    }
}

/// The gates of all ranks.
struct Gates<'a> {
    fleet: &'a Fleet,
    /// The ranks whose gates were closed here. A rank that had closed its own has lost its
    /// mappings.
    closed: Vec<usize>,
}

impl Gates<'_> {
    fn close(&mut self) {
        let lines = self.fleet.lines().iter().enumerate();
        self.closed.extend(lines.filter(|(_, line)| line.gate().close()).map(|(rank, _)| rank));
    }

    fn open(&mut self) {
        let closed = self.closed.drain(..);
        closed
            .filter_map(|rank| self.fleet.lines().get(rank))
            .for_each(|line| line.gate().open(FIRST_EPOCH));
    }
}

/// Gates that are closed behind ranks that may still be inside.
struct Closing {
    reply: Sender<Result<(), GateError>>,
    since: Instant,
}

impl Closing {
    /// Looks whether all ranks are out, or have had enough time, and says so to whoever waits for
    /// it.
    fn has_ended(&self, gates: &mut Gates<'_>) -> bool {
        let result = match gates.fleet.lines().iter().position(|line| !line.gate().is_empty()) {
            None => Ok(()),
            Some(rank) if self.since.elapsed() >= LEAVE_PATIENCE => {
                gates.open();
                Err(GateError::Inside(rank as u32))
            }
            Some(_) => return false,
        };
        // Whoever asked may be gone.
        let _ = self.reply.send(result);
        true
    }
}

//! Serves the rings of one job.
//!
//! One thread a job: jobs can not harm each other, and operations of one job never overlap, which makes
//! accumulates and read-modify-writes atomic. The thread waits until all ranks are attached, so that no
//! operation can meet an absent target; then it tells them and serves them in turn, a batch each. While
//! there is work it polls; then it asks to be woken, looks once more, and blocks.
//!
//! The first thing that a rank does wrong fails the job: all ranks are told, nothing more is done for them,
//! and the job hears who did what.

mod patience;
mod serve;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};

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

/// Epoll's name for the thread's own doorbell. Ranks have their numbers.
const WAKE: u64 = u64::MAX;

/// The engine of one job.
#[derive(Debug)]
pub struct Engine {
    attachments: Sender<(u32, Attachment)>,
    stopping: Arc<AtomicBool>,
    wake: Arc<OwnedFd>,
    thread: JoinHandle<Vec<Traffic>>,
}

impl Engine {
    /// Starts the engine of a job of `size` ranks, which pauses between two looks at their rings as `pause` says.
    /// `tell` is called from its thread.
    pub fn start(job: &str, size: u32, pause: Pause, tell: impl Fn(Notice) + Send + 'static) -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let stopping = Arc::new(AtomicBool::new(false));
        let (attachments, incoming) = channel();
        let worker = Worker { size, pause, incoming, stopping: stopping.clone(), wake: wake.clone() };
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
        Ok(Self { attachments, stopping, wake, thread })
    }

    /// Adds a rank. Each rank is added at most once.
    pub fn attach(&self, rank: u32, attachment: Attachment) {
        // An engine that has ended drops it, which detaches the rank.
        let _ = self.attachments.send((rank, attachment));
    }

    /// Ends it. When this returns no memory of a rank is mapped any more.
    pub fn stop(self) -> Vec<Traffic> {
        self.stopping.store(true, Ordering::Release);
        drop(self.attachments);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        self.thread.join().unwrap_or_default()
    }
}

/// The engine's thread.
struct Worker {
    size: u32,
    pause: Pause,
    incoming: Receiver<(u32, Attachment)>,
    stopping: Arc<AtomicBool>,
    wake: Arc<OwnedFd>,
}

impl Worker {
    fn run(self, traffic: &mut [Traffic], tell: &impl Fn(Notice)) -> io::Result<()> {
        let Some(fleet) = self.gather() else { return Ok(()) };
        let state = |state| fleet.lines().iter().for_each(|line| line.set_state(state));
        let doorbells = self.doorbells(&fleet)?;
        state(JobState::Attached);
        tell(Notice::Open);
        let violation = self.serve(&fleet, &doorbells, traffic)?;
        for (rank, line) in fleet.lines().iter().enumerate() {
            tracing::debug!(rank, rings = line.describe(), "served no more");
        }
        if let Some((rank, error)) = violation {
            // In this order, so that the job hears of the cause before any rank can end because of it.
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
            let (rank, attachment) = self.incoming.recv().ok()?;
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
            match epoll::add(&all, line.doorbell().fd(), epoll::EventData::new_u64(rank as u64), edge) {
                // Doorbells of several ranks may come through one descriptor, and are acknowledged together.
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
        while !self.stopping.load(Ordering::Acquire) {
            match server.round() {
                Err(violation) => return Ok(Some(violation)),
                Ok(true) => {
                    patience.worked();
                    continue;
                }
                Ok(false) if patience.look_again() => continue,
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

    /// Keeps the ranks' memory until the job has heard of its failure.
    fn wait_for_stop(&self) {
        while !self.stopping.load(Ordering::Acquire) {
            let patience = std::time::Duration::from_secs(1);
            if let Err(RecvTimeoutError::Disconnected) = self.incoming.recv_timeout(patience) {
                return;
            }
        }
    }
}

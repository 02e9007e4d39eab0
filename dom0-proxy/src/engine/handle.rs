//! The engine, as its job holds it.

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, eventfd};

use super::gates::GateError;
use super::notice::Notice;
use super::order::Order;
use super::patience::Pause;
use super::traffic::Traffic;
use super::worker::Worker;
use crate::attach::Attachment;

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

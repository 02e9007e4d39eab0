//! A job, as the rest of the daemon sees it.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::client::JobClient;
use super::event::{JobEvent, KillReason};
use crate::control::{JobInfo, JobSpec, RankKind};

/// A job as others see it.
#[derive(Debug)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// What it is to be.
    pub(super) spec: JobSpec,
    /// When it was asked for.
    pub(super) started: Instant,
    /// How many of its ranks have started.
    up: AtomicU32,
    /// Ranks that have attached, so that none does twice.
    attached: Mutex<BTreeSet<u32>>,
    /// Goes to its supervisor.
    pub(super) events: Sender<JobEvent>,
    /// The user's standard input, until the ranks have it.
    pub(super) input: Mutex<Option<OwnedFd>>,
    /// Who has asked for it.
    pub(super) client: Arc<JobClient>,
}

impl Job {
    /// A new job that `client` has asked for, and the events that its supervisor will take.
    pub fn new(
        name: String,
        spec: JobSpec,
        client: Arc<JobClient>,
    ) -> (Arc<Self>, Receiver<JobEvent>) {
        let (events, incoming) = channel();
        let job = Self {
            name,
            spec,
            started: Instant::now(),
            up: AtomicU32::new(0),
            attached: Mutex::new(BTreeSet::new()),
            events,
            input: Mutex::new(None),
            client,
        };
        (Arc::new(job), incoming)
    }

    /// Gives it the user's standard input.
    pub fn set_input(&self, input: OwnedFd) {
        *self.input.lock().unwrap_or_else(PoisonError::into_inner) = Some(input);
    }

    /// How it is.
    pub fn info(&self) -> JobInfo {
        JobInfo {
            job: self.name.clone(),
            kind: self.spec.kind,
            size: self.spec.size,
            up: self.up.load(Ordering::Relaxed),
            image: self.spec.image.clone(),
            seconds: self.started.elapsed().as_secs_f64(),
        }
    }

    /// One more of its ranks has started: how many those are now.
    pub(super) fn count_up(&self) -> u32 {
        self.up.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Tells the supervisor.
    pub fn send(&self, event: JobEvent) {
        // One that has ended does not care.
        let _ = self.events.send(event);
    }

    /// Its client has passed on output of this weight.
    pub fn client_has_taken(&self, weight: u64) {
        self.client.has_taken(weight);
    }

    /// Its client is gone, and with it the job.
    pub fn client_is_gone(&self) {
        self.client.cut_off();
        self.kill(KillReason::ClientGone);
    }

    /// Ends the job.
    pub fn kill(&self, reason: KillReason) {
        self.send(JobEvent::Kill(reason));
    }

    /// Whether this hosted rank may attach now. It may once.
    pub fn claim(&self, rank: u32) -> Result<(), String> {
        if self.spec.kind != RankKind::Hosted {
            return Err("this job's ranks are domains".into());
        }
        if rank >= self.spec.size {
            return Err(format!("no rank {rank} in a job of {}", self.spec.size));
        }
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        if attached.insert(rank) { Ok(()) } else { Err(format!("rank {rank} is attached already")) }
    }
}

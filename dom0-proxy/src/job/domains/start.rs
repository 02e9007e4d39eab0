//! The domains of a job: created, watched, destroyed.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, eventfd};

use super::create::Creators;
use super::destroy::destroy_all;
use super::record;
use super::watch::Watcher;
use crate::control::{JobSpec, RankSignal};
use crate::error::{Context, Result};
use crate::job::consoles::Consoles;
use crate::job::event::JobEvent;
use crate::job::ranks::Ranks;

/// The domains of one job.
pub struct Domains {
    job: String,
    spec: JobSpec,
    record: PathBuf,
    consoles: Consoles,
    events: Sender<JobEvent>,
    creators: Creators,
    /// Ends the watcher.
    stop: Arc<OwnedFd>,
    watcher: Option<JoinHandle<()>>,
}

impl Domains {
    /// The domains of `job`, whose record is the directory `record`.
    pub fn new(
        job: &str,
        spec: &JobSpec,
        record: PathBuf,
        consoles: Consoles,
        events: Sender<JobEvent>,
    ) -> Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self {
            job: job.into(),
            spec: spec.clone(),
            record,
            consoles,
            events,
            creators: Creators::default(),
            stop: Arc::new(eventfd(0, flags).context(|| "create an eventfd")?),
            watcher: None,
        })
    }
}

impl Ranks for Domains {
    fn start(&mut self) -> Result<()> {
        let configs = record::write(&self.job, &self.spec, &self.record)?;
        let watcher = Watcher::new(
            &self.job,
            self.spec.memory,
            self.stop.clone(),
            self.consoles.clone(),
            self.events.clone(),
        )?;
        self.watcher = Some(watcher.start()?);
        let memory_mib = self.spec.memory_mib();
        self.creators.start(configs, &self.record, memory_mib, &self.events)
    }

    /// Domains take none, of which `pgas` has told.
    fn signal(&mut self, _: RankSignal) {}

    fn stop(&mut self) {
        self.creators.stop();
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }

    fn end(&mut self) -> Result<()> {
        destroy_all(&self.job, &self.record)
    }
}

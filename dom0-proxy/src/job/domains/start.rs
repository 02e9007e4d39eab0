//! The domains of a job: created, watched, destroyed.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, eventfd};

use super::create::Creators;
use super::destroy::destroy_all;
use super::input::{self, InputFeed};
use super::record;
use super::watch::Watcher;
use crate::control::{JobSpec, RankSignal};
use crate::error::{Context, Result};
use crate::job::consoles::Consoles;
use crate::job::event::JobEvent;
use crate::job::ranks::Ranks;
use crate::job::saved::SavedJob;

/// The domains of one job.
pub struct Domains {
    job: String,
    spec: JobSpec,
    /// What they are to become, if the job is restored.
    saved: Option<Arc<SavedJob>>,
    record: PathBuf,
    consoles: Consoles,
    events: Sender<JobEvent>,
    creators: Creators,
    /// Ends the watcher.
    stop: Arc<OwnedFd>,
    watcher: Option<JoinHandle<()>>,
    /// The user's standard input, until ranks have it.
    input: Option<OwnedFd>,
    copier: Option<JoinHandle<()>>,
}

impl Domains {
    /// The domains of `job`, whose record is the directory `record`. Some of them may have `input`.
    /// Those of a job that was `saved` wait to become its ranks.
    pub fn new(
        job: &str,
        spec: &JobSpec,
        saved: Option<Arc<SavedJob>>,
        record: PathBuf,
        consoles: Consoles,
        events: Sender<JobEvent>,
        input: Option<OwnedFd>,
    ) -> Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self {
            job: job.into(),
            spec: spec.clone(),
            saved,
            record,
            consoles,
            events,
            creators: Creators::default(),
            stop: Arc::new(eventfd(0, flags).context(|| "create an eventfd")?),
            watcher: None,
            input,
            copier: None,
        })
    }

    /// Starts to pass the user's input on, if some rank is to have it.
    fn feed(&mut self) -> Result<Option<InputFeed>> {
        let whom = self.spec.input;
        let ranks = self.spec.ranks_here().filter(|rank| whom.is_for(*rank)).count();
        let Some(input) = self.input.take().filter(|_| ranks > 0) else { return Ok(None) };
        let (news, heard) = channel();
        let copier = input::start(input, ranks, heard, self.stop.clone());
        self.copier = Some(copier.context(|| "start a thread")?);
        Ok(Some(InputFeed { whom, news }))
    }
}

impl Ranks for Domains {
    fn start(&mut self) -> Result<()> {
        let configs = record::write(&self.job, &self.spec, self.saved.as_deref(), &self.record)?;
        let input = self.feed()?;
        let watcher = Watcher::new(
            &self.job,
            self.spec.memory,
            self.saved.clone(),
            self.stop.clone(),
            self.consoles.clone(),
            input,
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
        if let Some(copier) = self.copier.take() {
            let _ = copier.join();
        }
    }

    fn end(&mut self) -> Result<()> {
        destroy_all(&self.job, &self.record)
    }
}

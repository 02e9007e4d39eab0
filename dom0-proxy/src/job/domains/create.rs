//! The threads that create the domains of a job.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::parallel::workers;
use super::record::CREATING;
use crate::error::{Context, Error, Result};
use crate::job::event::JobEvent;
use crate::xl;

/// Those threads.
#[derive(Debug, Default)]
pub struct Creators {
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Creators {
    /// Starts them, for ranks and their configurations in the directory `record`. Each thread
    /// creates one domain after the other, until there are no more or it is told to stop.
    pub fn start(
        &mut self,
        configs: Vec<(u32, PathBuf)>,
        record: &Path,
        memory_mib: u64,
        events: &Sender<JobEvent>,
    ) -> Result<()> {
        let configs = Arc::new(configs);
        let next = Arc::new(AtomicUsize::new(0));
        for _ in 0..workers() {
            let (configs, next) = (configs.clone(), next.clone());
            let (stopping, events) = (self.stopping.clone(), events.clone());
            let token = record.join(CREATING);
            let create = move || {
                while !stopping.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&(rank, ref config)) = configs.get(index) else { break };
                    let _ = events.send(JobEvent::Begun { rank, at: Instant::now() });
                    if let Err(error) = create_domain(config, &token, memory_mib) {
                        let _ = events.send(JobEvent::NotCreated { rank, error });
                    }
                }
            };
            let thread = thread::Builder::new().name("create".into()).spawn(create);
            self.threads.push(thread.context(|| "start a thread")?);
        }
        Ok(())
    }

    /// When this returns no domain is being created any more.
    pub fn stop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn create_domain(config: &Path, token: &Path, memory_mib: u64) -> Result<()> {
    let token = File::open(token).context(|| format!("open {}", token.display()))?;
    token.lock_shared().context(|| "lock the job's record")?;
    xl::create(config, token).map_err(|error| match (&error, xl::more_grant_frames(memory_mib)) {
        // That is all that Xen's tools say of it.
        (Error::Tool { why, .. }, Some(frames)) if why == "Invalid argument" => {
            Error::GrantFrames { source: Box::new(error), memory_mib, frames }
        }
        _ => error,
    })
}

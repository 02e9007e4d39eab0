//! The thread that saves a job again and again.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::handle::Job;
use super::moment::{LastTenth, Step};
use crate::control::{CheckpointSpec, LineReport, Saving, WRITTEN_THROUGH};
use crate::error::{Error, Result};
use crate::images::ImageStore;

/// How long a job may take to end of which a line has failed for that.
const DOUBT: Duration = Duration::from_secs(2);

/// That thread.
#[derive(Debug)]
pub struct Keeper {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts it for a job that runs. Its first line is `every` from now, or a little earlier.
    pub fn start(job: &Arc<Job>, saving: &Saving, every: Duration) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let (job, saving) = (job.clone(), saving.clone());
        let thread = thread::Builder::new().name(format!("keeper-{}", job.name));
        let thread = thread.spawn(move || keep(&job, &saving, every, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Stops it; with `wait`, after the image that is being written.
    pub fn stop(self, wait: bool) {
        drop(self.stop);
        if wait {
            let _ = self.thread.join();
        }
    }
}

/// Saves the job `every` so often until it is stopped.
fn keep(job: &Job, saving: &Saving, every: Duration, stopped: &Receiver<()>) {
    let mut is_failing = false;
    let mut is_slow = false;
    let mut since = Instant::now();
    // So that the first line is not late. If there is none the line says so.
    let _ = job.make_room();
    // A time that never comes needs no thread.
    while let Some(last_tenth) = LastTenth::of(since, every) {
        while let Step::Wait(until) = last_tenth.step(Instant::now(), |left| job.is_quiet(left)) {
            match stopped.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        // An image that takes longer than the interval is followed by the next at once.
        since = Instant::now();
        let saved = job.keep(|| save(job, &saving.directory, saving.keep));
        let Some(saved) = saved else { continue };
        match saved {
            Ok(report) => {
                if std::mem::take(&mut is_failing) {
                    job.notify("the job is saved again".into());
                }
                // Once, until that has changed.
                if report.written_through && !is_slow {
                    job.notify(WRITTEN_THROUGH.into());
                }
                is_slow = report.written_through;
            }
            Err(error) => {
                tracing::warn!(job = job.name, %error, "not saved");
                // Once, however long the disk is full. A job that is ending cannot be saved either,
                // which is nobody's concern, and may be found out before its end.
                if !std::mem::replace(&mut is_failing, true) {
                    match stopped.recv_timeout(DOUBT) {
                        Err(RecvTimeoutError::Timeout) => {
                            job.notify(format!("{error}; that is tried again"));
                        }
                        Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
            }
        }
    }
}

fn save(job: &Job, directory: &Path, keep: u32) -> Result<LineReport> {
    let report = job.save(&CheckpointSpec {
        job: job.name.clone(),
        directory: Some(directory.into()),
        otherwise: directory.into(),
        stop: false,
    })?;
    let store = ImageStore::open(directory);
    let removed = store.and_then(|store| store.keep(keep.max(1) as usize));
    removed.map(|_| report).map_err(|error| Error::Refused {
        status: error.exit_status(),
        text: format!("old images are not removed: {error}"),
    })
}

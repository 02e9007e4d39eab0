//! The jobs that run.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::job::Job;
use crate::job::event::KillReason;

/// All jobs, by name.
#[derive(Debug, Default)]
pub struct Registry {
    jobs: Mutex<BTreeMap<String, Arc<Job>>>,
    ended: Condvar,
}

impl Registry {
    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Job>>> {
        // No operation under the lock can leave the map half changed.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job; false when there is one of that name.
    pub fn add(&self, job: &Arc<Job>) -> bool {
        let mut jobs = self.jobs();
        let free = !jobs.contains_key(&job.name);
        if free {
            jobs.insert(job.name.clone(), job.clone());
        }
        free
    }

    /// A job has ended.
    pub fn remove(&self, name: &str) {
        self.jobs().remove(name);
        self.ended.notify_all();
    }

    /// The job of that name.
    pub fn get(&self, name: &str) -> Option<Arc<Job>> {
        self.jobs().get(name).cloned()
    }

    /// All jobs.
    pub fn all(&self) -> Vec<Arc<Job>> {
        self.jobs().values().cloned().collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.jobs().is_empty()
    }

    /// Ends all jobs.
    pub fn kill_all(&self, reason: KillReason) {
        self.jobs().values().for_each(|job| job.kill(reason));
    }

    /// Waits until this job has ended; false when it has not in time.
    pub fn wait_for_end(&self, name: &str, patience: Duration) -> bool {
        self.wait(patience, |jobs| jobs.contains_key(name))
    }

    /// Waits until all jobs have ended; false when they have not in time.
    pub fn wait_until_empty(&self, patience: Duration) -> bool {
        self.wait(patience, |jobs| !jobs.is_empty())
    }

    fn wait(&self, patience: Duration, busy: impl Fn(&BTreeMap<String, Arc<Job>>) -> bool) -> bool {
        let waited = self.ended.wait_timeout_while(self.jobs(), patience, |jobs| busy(jobs));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

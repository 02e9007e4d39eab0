//! The jobs that run.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::job::Job;
use crate::job::event::KillReason;

/// All jobs, by name.
#[derive(Debug, Default)]
pub struct Registry {
    jobs: Mutex<Jobs>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Jobs {
    by_name: BTreeMap<String, Arc<Job>>,
    /// No more are taken.
    is_closed: bool,
}

impl Registry {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        // No operation under the lock can leave the map half changed.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job; false when there is one of that name.
    ///
    /// # Errors
    /// [`Error::DaemonEnds`] when all jobs have been told to end: nobody would tell this one.
    pub fn add(&self, job: &Arc<Job>) -> Result<bool> {
        let mut jobs = self.jobs();
        if jobs.is_closed {
            return Err(Error::DaemonEnds);
        }
        let free = !jobs.by_name.contains_key(&job.name);
        if free {
            jobs.by_name.insert(job.name.clone(), job.clone());
        }
        Ok(free)
    }

    /// A job has ended.
    pub fn remove(&self, name: &str) {
        self.jobs().by_name.remove(name);
        self.ended.notify_all();
    }

    /// The job of that name.
    pub fn get(&self, name: &str) -> Option<Arc<Job>> {
        self.jobs().by_name.get(name).cloned()
    }

    /// All jobs.
    pub fn all(&self) -> Vec<Arc<Job>> {
        self.jobs().by_name.values().cloned().collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.jobs().by_name.is_empty()
    }

    /// Ends all jobs, and takes no more.
    pub fn close(&self, reason: KillReason) {
        let mut jobs = self.jobs();
        jobs.is_closed = true;
        jobs.by_name.values().for_each(|job| job.kill(reason));
    }

    /// Waits until this job has ended; false when it has not in time.
    pub fn wait_for_end(&self, name: &str, patience: Duration) -> bool {
        self.wait(patience, |jobs| jobs.by_name.contains_key(name))
    }

    /// Waits until all jobs have ended; false when they have not in time.
    pub fn wait_until_empty(&self, patience: Duration) -> bool {
        self.wait(patience, |jobs| !jobs.by_name.is_empty())
    }

    fn wait(&self, patience: Duration, busy: impl Fn(&Jobs) -> bool) -> bool {
        let waited = self.ended.wait_timeout_while(self.jobs(), patience, |jobs| busy(jobs));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::control::JobSpec;
    use crate::job::JobClient;
    use crate::job::event::JobEvent;

    #[test]
    fn a_job_that_comes_after_the_end_is_refused() {
        let registry = Registry::default();
        let job = |name: &str| {
            let client = Arc::new(JobClient::new(UnixStream::pair().unwrap().0).unwrap());
            Job::new(name.into(), JobSpec::smallest(), client).unwrap()
        };
        let ((first, events), (second, _events)) = (job("abcdef"), job("fedcba"));
        assert!(registry.add(&first).unwrap() && !registry.add(&first).unwrap());
        registry.close(KillReason::DaemonEnds);
        assert!(matches!(events.try_recv(), Ok(JobEvent::Kill(KillReason::DaemonEnds))));
        assert!(matches!(registry.add(&second), Err(Error::DaemonEnds)));
        registry.remove("abcdef");
        assert!(registry.wait_until_empty(Duration::ZERO));
    }
}

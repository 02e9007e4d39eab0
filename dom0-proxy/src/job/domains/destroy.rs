//! Destroying what there is of a job.

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::parallel::in_parallel;
use super::record::CREATING;
use crate::error::{Error, Result};
use crate::xl;

/// How long to wait for an `xl create` of a daemon that has died.
const CREATION_PATIENCE: Duration = Duration::from_secs(60);

/// Destroys all domains of a job whose daemon may have died. `record` is the job's directory.
pub fn destroy_all(job: &str, record: &Path) -> Result<()> {
    wait_for_creations(record);
    for _ in 0..5 {
        let left: Vec<_> = xl::domains_of(job)?.into_iter().map(|(_, domain)| domain.id).collect();
        if left.is_empty() {
            return Ok(());
        }
        in_parallel(left.len(), |index| {
            if let Err(error) = xl::destroy(left[index]) {
                tracing::warn!(%error, domain = left[index], "a domain could not be destroyed");
            }
        });
    }
    Err(Error::Tool {
        command: "xl destroy".into(),
        why: format!("domains pgas-{job}-* are still there: see `xl list`"),
    })
}

/// Waits for every `xl create` that is under way in this job.
fn wait_for_creations(record: &Path) {
    let Ok(token) = File::open(record.join(CREATING)) else { return };
    let deadline = Instant::now() + CREATION_PATIENCE;
    while token.try_lock().is_err() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_creation_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CREATING);
        File::create(&path).unwrap();
        let creating = File::open(&path).unwrap();
        creating.lock_shared().unwrap();
        let started = Instant::now();
        let creation = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            drop(creating);
        });
        wait_for_creations(dir.path());
        assert!(started.elapsed() >= Duration::from_millis(100));
        creation.join().unwrap();
    }
}

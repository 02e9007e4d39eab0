//! What daemons that died have left behind.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use crate::error::Result;
use crate::job::domains::destroy_all;
use crate::job::processes::end_left_behind;
use crate::run_dir::{Lock, RunDir};
use crate::{xen, xl};

/// The lock that stands for all our domains on this host.
const LOCK: &str = "/run/xenolith-domains.lock";

/// The right to this host's domains of ours, which one daemon has at a time.
#[derive(Debug, Default)]
pub struct HostDomains {
    lock: Mutex<Option<Lock>>,
}

impl HostDomains {
    /// Not asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes sure that this daemon has the right, and that no domains of an earlier one are there.
    pub fn claim(&self) -> Result<()> {
        xen::check_privileged()?;
        let mut held = self.lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if held.is_none() {
            let lock = Lock::take(Path::new(LOCK), "this host's domains")?;
            reap_domains();
            *held = Some(lock);
        }
        Ok(())
    }
}

/// Removes what earlier daemons of this run directory have left.
pub fn reap(run_dir: &RunDir, host_domains: &HostDomains) {
    if xen::check_privileged().is_ok()
        && let Err(error) = host_domains.claim()
    {
        tracing::warn!(%error, "jobs of domains are not possible for now");
    }
    run_dir.remove_unfinished();
    for name in run_dir.abandoned_jobs() {
        tracing::info!(job = name, "cleaning up after a daemon that died");
        if let Err(error) = clean_up_after_daemon(run_dir, &name) {
            tracing::error!(%error, job = name, "could not clean up");
        }
    }
}

/// Ends what is left of a job whose daemon has died: its domains, its processes, its record.
pub fn clean_up_after_daemon(run_dir: &RunDir, job: &str) -> Result<()> {
    end_left_behind(job, &run_dir.job(job), &run_dir.ranks_socket());
    if xen::check_privileged().is_ok() {
        destroy_all(job, &run_dir.job(job))?;
    }
    run_dir.remove_record(job);
    Ok(())
}

/// Destroys all domains with one of our names.
fn reap_domains() {
    let domains = match xl::list() {
        Ok(domains) => domains,
        Err(error) => {
            return tracing::warn!(%error, "domains of an earlier daemon cannot be looked for");
        }
    };
    let jobs: BTreeSet<_> = domains
        .iter()
        .filter_map(|domain| xl::parse_domain_name(&domain.name))
        .map(|(job, _)| job)
        .collect();
    for job in jobs {
        tracing::info!(job, "destroying domains of a daemon that died");
        if let Err(error) = destroy_all(job, Path::new("/nonexistent")) {
            tracing::error!(%error, job, "could not clean up");
        }
    }
}

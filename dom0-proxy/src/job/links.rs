//! Which links to other hosts a part of a job still waits for. No I/O and no clock here.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::control::JobSpec;

/// Those links. When the ranks here are attached they wait for nothing else, and not forever.
#[derive(Debug)]
pub struct AwaitedLinks {
    /// Hosts that are not linked yet.
    missing: BTreeSet<u32>,
    /// Ranks of this host that are not attached yet.
    unattached: BTreeSet<u32>,
    /// Since when all of those are.
    since: Option<Instant>,
    patience: Duration,
}

impl AwaitedLinks {
    /// Of a job of which nothing is linked or attached. A job on one host waits for no link, others
    /// for `patience`.
    pub fn new(spec: &JobSpec, patience: Duration) -> Self {
        let missing = spec.part.as_ref().map(|part| part.linked_hosts()).unwrap_or_default();
        Self { missing, unattached: spec.ranks_here().collect(), since: None, patience }
    }

    /// This host is linked.
    pub fn linked(&mut self, host: u32) {
        self.missing.remove(&host);
    }

    /// This rank is attached.
    pub fn attached(&mut self, rank: u32, now: Instant) {
        self.unattached.remove(&rank);
        if self.unattached.is_empty() {
            self.since.get_or_insert(now);
        }
    }

    /// How long ranks that are attached wait for links.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// The first host that is missing, and when it is too late for it.
    pub fn deadline(&self) -> Option<(u32, Instant)> {
        Some((*self.missing.first()?, self.since?.checked_add(self.patience)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Part;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn links_are_waited_for_from_when_the_ranks_here_are_attached() {
        let part = Part { host: 1, placement: vec![0, 1, 3, 1], ..Part::smallest() };
        let spec = JobSpec { size: 4, part: Some(part), ..JobSpec::smallest() };
        let mut links = AwaitedLinks::new(&spec, PATIENCE);
        let now = Instant::now();
        links.attached(1, now);
        // One that is elsewhere.
        links.attached(2, now);
        assert_eq!(links.deadline(), None);
        let later = now + Duration::from_secs(5);
        links.attached(3, later);
        links.attached(3, later + PATIENCE);
        assert_eq!(links.deadline(), Some((0, later + PATIENCE)));
        links.linked(0);
        links.linked(2);
        assert_eq!(links.deadline(), Some((3, later + PATIENCE)));
        links.linked(3);
        assert_eq!(links.deadline(), None);
    }

    #[test]
    fn a_job_on_one_host_waits_for_none() {
        let part = Part { placement: vec![0], ..Part::smallest() };
        for part in [None, Some(part)] {
            let spec = JobSpec { part, ..JobSpec::smallest() };
            let mut links = AwaitedLinks::new(&spec, PATIENCE);
            links.attached(0, Instant::now());
            assert_eq!(links.deadline(), None);
        }
    }
}

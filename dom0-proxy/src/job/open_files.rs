//! Whether the daemon may have as many files open as its jobs take.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, getrlimit};

use crate::control::{JobSpec, RankKind};
use crate::error::{Error, Result};

/// Open files that are left for clients and tools, besides those that nobody has heard of yet.
const SPARE: u64 = 16;
/// The part of all that connections may have, of clients and of ranks each, of which nothing is
/// known yet; and the bounds of that.
const WAITING_PART: u64 = 32;
const WAITING: (u64, u64) = (8, 256);
/// What a job takes besides its ranks: its client's connection, the marks of its folders, wakers of
/// its threads; and for a moment what goes to a process that is started.
const A_JOB: u64 = 16;
/// What a link to another host takes: its connection, and a second handle of it.
const A_LINK: u64 = 2;

/// The files that the daemon may open, as they are promised to jobs. When they run out in the
/// middle of a job, it is hard to say whom that hits.
#[derive(Debug)]
pub struct OpenFiles {
    /// Open before the first job.
    others: u64,
    promised: Mutex<u64>,
}

/// Files that a job may open, until this is dropped.
#[derive(Debug)]
pub struct Promise<'a> {
    files: u64,
    of: &'a OpenFiles,
}

impl OpenFiles {
    /// Of a process that has no job yet.
    pub fn new() -> Self {
        Self { others: open_now(), promised: Mutex::new(0) }
    }

    /// Promises a job as many as it takes.
    ///
    /// # Errors
    /// [`Error::NotEnoughOpenFiles`] when there are too few besides those that other jobs have been
    /// promised.
    pub fn promise(&self, spec: &JobSpec) -> Result<Promise<'_>> {
        self.promise_of(needed(spec), most(), open_now())
    }

    fn promise_of(&self, needed: u64, most: u64, open: u64) -> Result<Promise<'_>> {
        let mut promised = self.promised();
        let spare = SPARE + 2 * waiting_of(most);
        let taken = open.max(self.others.saturating_add(*promised)).saturating_add(spare);
        let free = most.saturating_sub(taken);
        if needed > free {
            return Err(Error::NotEnoughOpenFiles { needed, free, most });
        }
        *promised += needed;
        Ok(Promise { files: needed, of: self })
    }

    fn promised(&self) -> MutexGuard<'_, u64> {
        self.promised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for OpenFiles {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        *self.of.promised() -= self.files;
    }
}

/// How many a job takes.
fn needed(spec: &JobSpec) -> u64 {
    let each = match spec.kind {
        // Log, console and its page, granted pages, and at times a tool's two pipes.
        RankKind::Xen => 6,
        // Log, two pipes, process, connection, window and two doorbells.
        RankKind::Hosted => 8,
    };
    let links = spec.part.as_ref().map_or(0, |part| part.linked_hosts().len() as u64);
    A_JOB + each * u64::from(spec.count_here()) + A_LINK * links
}

/// How many files may be open.
fn most() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many connections there may be of clients, and of ranks, of which nothing is known yet.
pub fn most_waiting() -> usize {
    waiting_of(most()) as usize
}

fn waiting_of(most: u64) -> u64 {
    (most / WAITING_PART).clamp(WAITING.0, WAITING.1)
}

fn open_now() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Part;

    #[test]
    fn a_part_takes_what_its_own_ranks_and_its_links_take() {
        let part = Part { placement: vec![0, 1, 1, 2], host: 1, ..Part::smallest() };
        let whole = JobSpec { size: 4, ..JobSpec::smallest() };
        assert_eq!(needed(&whole), A_JOB + 4 * 8);
        let part = JobSpec { part: Some(part), ..whole };
        assert_eq!(needed(&part), A_JOB + 2 * 8 + 2 * A_LINK);
    }

    #[test]
    fn what_is_promised_to_one_job_is_not_promised_to_another() {
        let files = OpenFiles { others: 10, promised: Mutex::new(0) };
        // Of 100, 16 and twice 8 are spare.
        let first = files.promise_of(40, 100, 10).unwrap();
        // The first one has not opened them yet, or has opened some.
        for open in [10, 40, 50] {
            let error = files.promise_of(19, 100, open).unwrap_err();
            assert!(error.to_string().contains("has 18 of 100 left"), "{error}");
        }
        let second = files.promise_of(18, 100, 10).unwrap();
        drop(first);
        drop(files.promise_of(40, 100, 28).unwrap());
        // Whatever else is open counts too.
        assert!(files.promise_of(40, 100, 30).is_err());
        drop(second);
        assert_eq!(*files.promised(), 0);
    }
}

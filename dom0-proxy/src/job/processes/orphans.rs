//! Processes whose parent has ended, where there are no control groups to find them by.
//!
//! The daemon asks the kernel for being their parent. Then it knows that all its children are
//! ranks, or come from some. Which job an orphan comes from nobody can tell; but it is of one that
//! ran when it began, so it is ended when none of those runs any more.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, pidfd_open, pidfd_send_signal,
    set_child_subreaper, waitid,
};
use rustix::time::{ClockId, clock_gettime};

/// Clock ticks of `/proc/PID/stat` in a second, on x86-64.
const TICKS: u64 = 100;
/// Times that orphans are looked for: ending one makes orphans of its children.
const LOOKS: u32 = 100;

/// When something began, in clock ticks since the system did.
type Ticks = u64;

/// What is known of this process's children. The kernel keeps one list of them for the whole
/// process, so there is one of these.
static CHILDREN: Mutex<Children> = Mutex::new(Children { adopted: None, jobs: Vec::new() });

struct Children {
    /// Since when orphans become children of this process.
    adopted: Option<Ticks>,
    /// When the jobs began that have processes here.
    jobs: Vec<Ticks>,
}

impl Children {
    /// Whether a child that began then can be of no job that runs, but of one that did.
    fn is_orphan(&self, begun: Ticks) -> bool {
        self.adopted.is_some_and(|adopted| begun >= adopted)
            && self.jobs.iter().all(|job| begun < *job)
    }
}

/// Has orphans become children of this process, which from now on has no others but ranks.
pub fn adopt_orphans() {
    match set_child_subreaper(Some(getpid())) {
        Ok(()) => children().adopted = Some(now()),
        Err(error) => tracing::warn!(%error, "what ranks leave behind may not be found"),
    }
}

/// A job whose processes are children of this one, until this is dropped.
#[derive(Debug)]
pub struct Family {
    since: Ticks,
}

impl Family {
    /// A job whose ranks are still to be started.
    pub fn begin() -> Self {
        let mut children = children();
        let since = now();
        children.jobs.push(since);
        Self { since }
    }

    /// All ranks of the job have ended: ends whatever can be of no job but those that have ended.
    pub fn end(self) {
        drop(self);
        // Held, so that no job begins whose ranks would be taken for orphans.
        let children = children();
        for _ in 0..LOOKS {
            let mut orphans = list().filter(|(_, begun)| children.is_orphan(*begun)).peekable();
            if orphans.peek().is_none() {
                return;
            }
            orphans.for_each(|(pid, _)| end_child(pid));
        }
        tracing::warn!("ranks have left more processes behind than could be ended");
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let jobs = &mut children().jobs;
        if let Some(at) = jobs.iter().position(|since| *since == self.since) {
            jobs.swap_remove(at);
        }
    }
}

fn children() -> MutexGuard<'static, Children> {
    // No operation under the lock can leave it half changed.
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills a child and waits for its end. Its number is its own until then.
fn end_child(pid: Pid) {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let _ = pidfd_send_signal(&process, Signal::KILL);
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    // One that is stuck in the kernel is a matter of later looks.
    for _ in 0..100 {
        match waitid(WaitId::Pid(pid), look) {
            Ok(None) => thread::sleep(Duration::from_millis(1)),
            Ok(Some(_)) | Err(_) => return,
        }
    }
}

/// All children of this process, and when they began.
fn list() -> impl Iterator<Item = (Pid, Ticks)> {
    let own = getpid().as_raw_nonzero().get();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    pids.filter_map(move |pid| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        let (parent, begun) = parse(&stat)?;
        (parent == own).then_some((pid, begun))
    })
}

/// A process's parent, and when it began, from its `/proc/PID/stat` (proc_pid_stat(5): fields 4 and
/// 22; the name, which may hold anything, is field 2).
fn parse(stat: &str) -> Option<(i32, Ticks)> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(1);
    let parent = fields.next()?.parse().ok()?;
    Some((parent, fields.nth(17)?.parse().ok()?))
}

/// Clock ticks since the system began.
fn now() -> Ticks {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec as u64 * TICKS + time.tv_nsec as u64 * TICKS / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_of_a_job_that_runs_is_no_orphan() {
        let jobs = vec![20, 30];
        assert!(!Children { adopted: None, jobs: jobs.clone() }.is_orphan(15));
        let mut children = Children { adopted: Some(10), jobs };
        // Children that this process had before it was a daemon are nobody's business.
        assert_eq!(
            [9, 10, 19, 20, 40].map(|at| children.is_orphan(at)),
            [false, true, true, false, false]
        );
        children.jobs.remove(0);
        assert_eq!([20, 29, 30].map(|at| children.is_orphan(at)), [true, true, false]);
        children.jobs.clear();
        assert!(children.is_orphan(40));
    }

    #[test]
    fn parent_and_beginning_are_found_behind_any_name() {
        let stat = "7 (a) b) S 5 7 7 0 -1 4194304 1 0 0 0 2 3 0 0 20 0 1 0 4711 1 2 3";
        assert_eq!(parse(stat), Some((5, 4711)));
        assert_eq!(parse("7 (a) S 5"), None);
        let own = fs::read_to_string("/proc/self/stat").unwrap();
        let (_, begun) = parse(&own).unwrap();
        assert!(begun <= now() && now() - begun < 3600 * TICKS, "{begun} {}", now());
    }
}

//! What a process hands down to those that it starts: a hosted rank gets all of it from the `pgas`
//! that runs the job, not from the daemon, which somebody else may have started.

use std::io;
use std::sync::Arc;

use rustix::fs::Mode;
use rustix::process::{
    Resource, Rlimit, getpriority_process, getrlimit, setpriority_process, setrlimit, umask,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGXCPU, SIGXFSZ};

/// Linux's resources, in the order of [`Inheritance::limits`], with people's words for them.
const RESOURCES: [(Resource, &str); 16] = [
    (Resource::Cpu, "processor time"),
    (Resource::Fsize, "file size"),
    (Resource::Data, "data size"),
    (Resource::Stack, "stack size"),
    (Resource::Core, "core file size"),
    (Resource::Rss, "resident memory"),
    (Resource::Nproc, "processes"),
    (Resource::Nofile, "open files"),
    (Resource::Memlock, "locked memory"),
    (Resource::As, "virtual memory"),
    (Resource::Locks, "file locks"),
    (Resource::Sigpending, "pending signals"),
    (Resource::Msgqueue, "message queues"),
    (Resource::Nice, "niceness"),
    (Resource::Rtprio, "real-time priority"),
    (Resource::Rttime, "real-time processor time"),
];

/// One limit: the soft one and the hard one; none is no limit.
type Limit = (Option<u64>, Option<u64>);

/// What a process hands down, besides environment and working directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inheritance {
    /// The rights that new files do not get.
    umask: u32,
    /// From -20 to 19.
    niceness: i32,
    /// The processors that it may use.
    processors: Vec<usize>,
    /// By [`RESOURCES`].
    limits: Vec<Limit>,
}

impl Inheritance {
    /// That of this process. Called while it has one thread: it sets the umask for a moment.
    pub fn of_this_process() -> Self {
        let mask = umask(Mode::RWXG | Mode::RWXO);
        umask(mask);
        let set = sched_getaffinity(None).unwrap_or_default();
        Self {
            umask: mask.as_raw_mode(),
            niceness: getpriority_process(None).unwrap_or(0),
            processors: (0..CpuSet::MAX_CPU).filter(|processor| set.is_set(*processor)).collect(),
            limits: RESOURCES.map(|(resource, _)| limit(resource)).into(),
        }
    }

    /// Takes it on in this process, as far as the system allows; a line for each thing that it does
    /// not.
    pub fn take_on(&self) -> Vec<String> {
        let mut missing = Vec::new();
        umask(Mode::from_raw_mode(self.umask));
        if getpriority_process(None) != Ok(self.niceness)
            && let Err(error) = setpriority_process(None, self.niceness)
        {
            let has = getpriority_process(None).unwrap_or(0);
            missing.push(format!("niceness stays {has} instead of {}: {error}", self.niceness));
        }
        let mut set = CpuSet::new();
        let known = self.processors.iter().filter(|processor| **processor < CpuSet::MAX_CPU);
        known.for_each(|processor| set.set(*processor));
        if sched_getaffinity(None).ok().as_ref() != Some(&set)
            && let Err(error) = sched_setaffinity(None, &set)
        {
            missing.push(format!("processors stay the daemon's: {error}"));
        }
        for ((resource, name), wanted) in RESOURCES.into_iter().zip(&self.limits) {
            if let Err(error) = set_limit(resource, *wanted) {
                let has = limit(resource);
                missing.push(format!(
                    "limit of {name} is {} instead of {}, which the daemon cannot raise: {error}",
                    describe(has),
                    describe(*wanted)
                ));
            }
        }
        missing
    }
}

/// Raises this process's limits as far as they go without privilege, and makes its files its user's
/// alone. What is beyond a limit is an error from then on, and no signal that ends the process.
pub fn raise_limits() -> io::Result<()> {
    umask(Mode::RWXG | Mode::RWXO);
    for (resource, _) in RESOURCES {
        let (_, hard) = limit(resource);
        // Raising a soft limit as far as the hard one is always allowed. What is not raised stays.
        let _ = set_limit(resource, (hard, hard));
    }
    for signal in [SIGXFSZ, SIGXCPU] {
        // A handler, since programs that are started have the default again, which they would not
        // for a signal that is ignored.
        signal_hook::flag::register(signal, Arc::default())?;
    }
    Ok(())
}

/// Frees a daemon from what whoever started it was limited to, as far as the system allows: it
/// serves others too.
pub fn let_go() {
    for (resource, _) in RESOURCES {
        // Root may have all that there is; others what the hard limit says.
        let _ = set_limit(resource, (None, None));
    }
    if getpriority_process(None).is_ok_and(|niceness| niceness > 0) {
        let _ = setpriority_process(None, 0);
    }
    let mut all = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|processor| all.set(processor));
    let _ = sched_setaffinity(None, &all);
}

fn limit(resource: Resource) -> Limit {
    let Rlimit { current, maximum } = getrlimit(resource);
    (current, maximum)
}

/// Sets a limit; where the hard one cannot be raised so far, as much as can be had.
fn set_limit(resource: Resource, wanted: Limit) -> rustix::io::Result<()> {
    if limit(resource) == wanted {
        return Ok(());
    }
    let set = |(current, maximum)| setrlimit(resource, Rlimit { current, maximum });
    let Err(error) = set(wanted) else { return Ok(()) };
    let (_, most) = limit(resource);
    let soft = least(wanted.0, most);
    set((soft, least(wanted.1, most)))?;
    // The soft limit is what counts.
    if soft == wanted.0 { Ok(()) } else { Err(error) }
}

/// The lower of two limits.
fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

fn describe((soft, _): Limit) -> String {
    soft.map_or("none".into(), |limit| limit.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_has_it_can_take_on() {
        let own = Inheritance::of_this_process();
        assert_eq!(own.limits.len(), RESOURCES.len());
        assert!(!own.processors.is_empty());
        assert_eq!(own.take_on(), [""; 0]);
        assert_eq!(Inheritance::of_this_process(), own);
    }

    #[test]
    fn no_limit_is_the_highest() {
        assert_eq!(least(None, None), None);
        assert_eq!(least(Some(3), None), Some(3));
        assert_eq!(least(Some(3), Some(2)), Some(2));
    }
}

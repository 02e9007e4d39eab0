//! Ending whatever a job has started.

use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::control_group::ControlGroups;

/// Ends what is left of a job of a daemon that has died, or of a job about which nothing but its
/// name and its `record` is known.
pub fn end_left_behind(job: &str, record: &Path) {
    ControlGroups::of_record(job, record).end();
    sweep(job);
}

/// Kills every process that carries a job's name in its environment: ranks, and what they have
/// started.
pub fn sweep(job: &str) {
    let mark = format!("XENOLITH_JOB={job}").into_bytes();
    let is_marked = |pid: Pid| {
        let environment = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
        environment
            .is_ok_and(|environment| environment.split(|&byte| byte == 0).any(|word| word == mark))
    };
    // Again, for those that were started meanwhile.
    for _ in 0..5 {
        let Ok(entries) = std::fs::read_dir("/proc") else { return };
        let numbers =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let marked: Vec<Pid> =
            numbers.filter_map(Pid::from_raw).filter(|pid| is_marked(*pid)).collect();
        if marked.is_empty() {
            return;
        }
        for pid in marked {
            // The number may mean another process by now, but what is opened here stays what it is.
            if let Ok(process) = pidfd_open(pid, PidfdFlags::empty())
                && is_marked(pid)
            {
                let _ = pidfd_send_signal(&process, Signal::KILL);
            }
        }
    }
}

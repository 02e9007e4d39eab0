//! Ending whatever a job has started.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::control_group::ControlGroups;

/// Ends what is left of a job of a daemon that has died, or of a job about which nothing but its
/// name and its `record` is known. `socket` is where its ranks attach.
pub fn end_left_behind(job: &str, record: &Path, socket: &Path) {
    ControlGroups::of_record(job, record).end();
    sweep(job, socket);
}

/// Kills every process that carries a job's name in its environment: ranks, and what they have
/// started. Those that attach through another daemon's socket are of another part of the job, and
/// stay.
pub fn sweep(job: &str, socket: &Path) {
    let directory = directory(socket);
    let is_marked = |pid: Pid| {
        let environment = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
        environment.is_ok_and(|environment| is_of(&environment, job, directory.as_deref()))
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

/// Whether a process with this environment is of a job whose socket is in `directory`, if that is
/// still there.
fn is_of(environment: &[u8], job: &str, directory: Option<&Path>) -> bool {
    let words = || environment.split(|&byte| byte == 0);
    let mark = format!("XENOLITH_JOB={job}").into_bytes();
    let its_socket = words().find_map(|word| word.strip_prefix(b"XENOLITH_SOCKET="));
    let its_directory =
        its_socket.and_then(|socket| self::directory(Path::new(OsStr::from_bytes(socket))));
    let is_elsewhere = its_directory.is_some_and(|its| directory.is_some_and(|ours| its != ours));
    words().any(|word| word == mark) && !is_elsewhere
}

/// The directory that a socket is in, or was.
fn directory(socket: &Path) -> Option<PathBuf> {
    std::fs::canonicalize(socket.parent()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_daemons_part_of_the_job_is_left_alone() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let environment = |job: &str, run_dir: &Path| {
            let socket = run_dir.join("ranks.sock");
            format!("A=B\0XENOLITH_SOCKET={}\0XENOLITH_JOB={job}\0", socket.display())
        };
        let directory = directory(&ours.path().join("ranks.sock"));
        let is_ours = |job: &str, run_dir: &Path| {
            is_of(environment(job, run_dir).as_bytes(), "abcdef", directory.as_deref())
        };
        assert!(is_ours("abcdef", ours.path()));
        assert!(!is_ours("abcdef", theirs.path()) && !is_ours("fedcba", ours.path()));
        // The same by another path; one that has no daemon any more.
        let link = theirs.path().join("link");
        std::os::unix::fs::symlink(ours.path(), &link).unwrap();
        assert!(is_ours("abcdef", &link));
        assert!(is_ours("abcdef", Path::new("/nonexistent")));
        assert!(is_of(b"XENOLITH_JOB=abcdef", "abcdef", directory.as_deref()));
    }
}

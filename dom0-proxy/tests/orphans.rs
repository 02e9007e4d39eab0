//! What ranks leave behind is ended with their job, or with the last that it can be of.

#[path = "support/host.rs"]
mod host;

use std::process::Command;

use host::{Host, end, wait_until};

/// Without a variable by which it could be found, and in a session of its own.
const LEAVE: &str = "env -i setsid /bin/sleep 1000 </dev/null >/dev/null 2>&1 & echo $!";

fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[test]
fn a_process_without_a_name_ends_with_its_job() {
    let mut host = Host::new(":");
    let other = host.shell(1, "sleep 2; echo done").spawn().unwrap();
    let ended = end(host.shell(2, LEAVE).spawn().unwrap());
    assert_eq!(ended.status, 0, "{ended:?}");
    let left: Vec<_> = ended.output.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(left.len(), 2);
    // Where there are no control groups nobody can tell whether they are of the other job.
    assert_eq!(end(other).output, "[0] done\n");
    for pid in left {
        assert!(!runs(pid), "{pid}");
    }
    wait_until("the end of all threads but one", || host.count("task") == 1);
    host.assert_daemon_runs();
}

#[test]
fn a_job_of_a_daemon_that_died_leaves_no_process() {
    let mut host = Host::new(":");
    // Its parent has ended before the daemon does.
    let script = format!("{LEAVE}; exec sleep 1000");
    let mut job = host.shell(1, &script).spawn().unwrap();
    let log = || Some(std::fs::read_dir(host.path().join("log")).ok()?.next()?.ok()?.path());
    let line = || {
        let log = log().unwrap_or_default();
        std::fs::read_to_string(log.join("rank-0.log")).unwrap_or_default()
    };
    wait_until("the rank's line", || line().ends_with('\n'));
    let left = line().trim().to_owned();
    assert!(runs(&left));
    let has_groups = std::fs::read_to_string(format!("/proc/{left}/cgroup")).unwrap();
    host.daemon.kill().unwrap();
    host.daemon.wait().unwrap();
    assert_eq!(job.wait().unwrap().code(), Some(121));
    if has_groups.contains("xenolith-") {
        wait_until("its end", || !runs(&left));
    } else {
        Command::new("kill").arg(&left).status().unwrap();
    }
}

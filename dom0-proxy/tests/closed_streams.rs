//! `pgas` ends quietly when nobody reads what it writes, as `... | head` does it.

use std::io::{self, PipeWriter};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const SIGPIPE: i32 = 13;

/// A run directory; its daemon ends with the test.
struct Host(TempDir);

impl Host {
    fn pgas(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgas"));
        command.args(arguments).env("XENOLITH_RUN_DIR", self.0.path()).stdin(Stdio::null());
        command
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let lock = std::fs::read_to_string(self.0.path().join("lock")).unwrap_or_default();
        let pid = lock.strip_prefix("process ").and_then(|pid| pid.parse().ok());
        if let Some(daemon) = pid.and_then(Pid::from_raw) {
            let _ = kill_process(daemon, Signal::TERM);
        }
    }
}

/// The writing end of a pipe that nobody reads.
fn unread() -> PipeWriter {
    io::pipe().unwrap().1
}

fn ends_by_sigpipe(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert_eq!(output.status.signal(), Some(SIGPIPE), "{command:?}: {output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{command:?}: {output:?}");
    output
}

#[test]
fn every_verb_ends_quietly_when_nobody_reads_its_output() {
    let host = Host(tempfile::tempdir().unwrap());
    let lines = ["run", "--hosted", "-n", "1", "/bin/echo", "--", "a line"];
    let json = ["run", "--hosted", "--json", "-n", "1", "/bin/true"];
    let table = ["run", "--hosted", "--table", "-n", "1", "/bin/true"];
    for arguments in [&lines[..], &json, &table, &["ps"], &["ps", "--json"], &["--help"]] {
        ends_by_sigpipe(host.pgas(arguments).stdout(unread()).stderr(Stdio::piped()));
    }
    host.pgas(&lines).output().unwrap();
    let job = std::fs::read_dir(host.0.path().join("log")).unwrap().flatten().find(|job| {
        std::fs::metadata(job.path().join("rank-0.log")).is_ok_and(|log| log.len() > 0)
    });
    let job = job.unwrap().file_name().into_string().unwrap();
    for arguments in [&["logs", &job][..], &["logs", &job, "--json"]] {
        ends_by_sigpipe(host.pgas(arguments).stdout(unread()).stderr(Stdio::piped()));
    }
}

#[test]
fn every_verb_ends_quietly_when_nobody_reads_its_errors() {
    let host = Host(tempfile::tempdir().unwrap());
    let lines = ["run", "--hosted", "-n", "1", "/bin/sh", "--", "-c", "echo a line >&2"];
    let fails = ["run", "--hosted", "-n", "1", "/bin/false"];
    let missing = ["run", "--hosted", "-n", "1", "/nowhere"];
    let wrong = ["run", "--no-such-option"];
    let no_job = ["kill", "abcdef"];
    let no_log = ["logs", "abcdef"];
    for arguments in [&lines[..], &fails, &missing, &wrong, &no_job, &no_log] {
        ends_by_sigpipe(host.pgas(arguments).stderr(unread()).stdout(Stdio::piped()));
    }
}

#[test]
fn a_daemon_whose_log_nobody_reads_serves_on() {
    let host = Host(tempfile::tempdir().unwrap());
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_dom0-proxy"))
        .env("XENOLITH_RUN_DIR", host.0.path())
        .stderr(unread())
        .spawn()
        .unwrap();
    while !host.0.path().join("proxy.sock").exists() {
        assert_eq!(daemon.try_wait().unwrap(), None);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for _ in 0..3 {
        let output = host.pgas(&["run", "--hosted", "-n", "1", "/bin/true"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(daemon.try_wait().unwrap(), None);
    kill_process(Pid::from_child(&daemon), Signal::TERM).unwrap();
    daemon.wait().unwrap();
}

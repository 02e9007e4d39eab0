//! What is left when all jobs have ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Signal, geteuid};

use super::MARK;
use super::lanes::Ground;
use crate::processes::{self, Process};

/// How long the last jobs may take to vanish, on a machine that is slow.
const PATIENCE: Duration = Duration::from_secs(300);
/// Files that a daemon has open, and threads that it has, without a job. Seen: 13 and 4.
const OPEN_FILES: usize = 30;
const THREADS: usize = 10;
/// Bytes that a log of the daemon may have, of which there are two, and a line more.
const DAEMON_LOG: u64 = (4 << 20) + (64 << 10);
/// Where Linux shows control groups.
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// A line for each thing that is there and should not be. Waits a while until there is none.
pub(super) fn remains(ground: &Ground) -> Result<Vec<String>> {
    let start = Instant::now();
    loop {
        let left = remains_now(ground)?;
        if left.is_empty() || start.elapsed() > PATIENCE {
            for process in escaped(ground)? {
                process.signal(Signal::KILL);
            }
            return Ok(left);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn remains_now(ground: &Ground) -> Result<Vec<String>> {
    let mut left = Vec::new();
    let daemon = ground.host.daemon().map(Process::new);
    let own = ground.mark("");
    for (process, mark) in processes::with_variable(MARK)? {
        if mark.starts_with(&own) && Some(process) != daemon {
            left.push(describe(process));
        }
    }
    // A daemon that makes no control groups adopts what escapes; when it is killed, nobody knows of
    // that any more.
    let is_ordinary = ground.platform.user().is_some() || !geteuid().is_root();
    if !is_ordinary || ground.daemon_kills() == 0 {
        left.extend(escaped(ground)?.into_iter().map(describe));
    }
    if let Some(daemon) = daemon {
        let (files, threads) = (daemon.open_files(), daemon.threads());
        if files > OPEN_FILES || threads > THREADS {
            left.push(format!("the daemon: {files} open files, {threads} threads"));
        }
    }
    let log = fs::read(ground.host.run_dir().join("daemon.log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    for record in ground.host.job_records()? {
        left.push(format!("record {}", record.display()));
        let job = record.file_name().unwrap_or_default().to_string_lossy();
        left.extend(log.lines().filter(|line| line.contains(&*job)).map(str::to_owned));
    }
    // Their names end with their job's; other daemons have some too.
    let is_ours = |group: &&PathBuf| {
        let name = group.file_name().unwrap_or_default().to_string_lossy();
        name.rsplit_once('-').is_some_and(|(_, job)| log.contains(job))
    };
    let groups = control_groups();
    let groups = groups.iter().filter(is_ours);
    left.extend(groups.map(|group| format!("control group {}", group.display())));
    // Not a rank, whose cause is there too.
    let panicked = |line: &&str| line.contains("panicked") && !line.contains("asked to panic");
    left.extend(log.lines().filter(panicked).map(str::to_owned));
    for name in ["daemon.log", "daemon.log.1"] {
        let path = ground.host.run_dir().join(name);
        let bytes = fs::metadata(path).map_or(0, |found| found.len());
        if bytes > DAEMON_LOG {
            left.push(format!("{name}: {bytes} bytes"));
        }
    }
    if ground.platform.is_xen() {
        left.extend(domains()?);
    }
    Ok(left)
}

/// Processes that hostile ranks have left, without a trace of where they come from.
fn escaped(ground: &Ground) -> Result<Vec<Process>> {
    let words = ["sleep".to_owned(), ground.sleep_of_escaped()];
    Ok(processes::all()?.into_iter().filter(|process| process.command_line() == words).collect())
}

fn describe(process: Process) -> String {
    let number = process.pid().as_raw_nonzero();
    format!("process {number}: {}", process.command_line().join(" "))
}

/// Domains of ranks, and those that have ended and of which somebody still holds a page: these have
/// no name any more.
fn domains() -> Result<Vec<String>> {
    let list = Command::new("xl").arg("list").output().context("run xl")?;
    ensure!(list.status.success(), "xl list: {}", String::from_utf8_lossy(&list.stderr));
    let text = String::from_utf8_lossy(&list.stdout).into_owned();
    let is_ours = |line: &&str| line.starts_with("pgas-") || line.starts_with("(null)");
    Ok(text.lines().filter(is_ours).map(|line| format!("domain {line}")).collect())
}

/// All that could be ours: by their names.
fn control_groups() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(CONTROL_GROUPS).to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name();
            if ["xenolith", "pgas"].iter().any(|part| name.to_string_lossy().contains(part)) {
                found.push(entry.path());
            }
            folders.push(entry.path());
        }
    }
    found
}

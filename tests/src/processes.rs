//! Processes of this machine, found by what they were started with.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// A process that runs, or has just ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(Pid);

impl Process {
    /// That of this number.
    pub fn new(pid: Pid) -> Self {
        Self(pid)
    }

    /// Its number.
    pub fn pid(self) -> Pid {
        self.0
    }

    /// A variable of the environment that it was started with.
    pub fn variable(self, name: &str) -> Option<String> {
        let environment = fs::read(self.file("environ")).ok()?;
        environment.split(|&byte| byte == 0).find_map(|word| {
            let value = word.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(String::from_utf8_lossy(value).into_owned())
        })
    }

    /// Its program and arguments.
    pub fn command_line(self) -> Vec<String> {
        let bytes = fs::read(self.file("cmdline")).unwrap_or_default();
        let words = bytes.split_inclusive(|&byte| byte == 0);
        words.map(|word| String::from_utf8_lossy(word).trim_end_matches('\0').to_owned()).collect()
    }

    /// How many files it has open; none if it has ended.
    pub fn open_files(self) -> usize {
        fs::read_dir(self.file("fd")).map_or(0, Iterator::count)
    }

    /// How many threads it has; none if it has ended.
    pub fn threads(self) -> usize {
        fs::read_dir(self.file("task")).map_or(0, Iterator::count)
    }

    /// Sends it a signal. False if it has ended already.
    pub fn signal(self, signal: Signal) -> bool {
        kill_process(self.0, signal).is_ok()
    }

    fn file(self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.0.as_raw_nonzero()).into()
    }
}

/// All processes but this one.
pub fn all() -> Result<Vec<Process>> {
    let entries = fs::read_dir("/proc").context("list processes")?;
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let own = rustix::process::getpid();
    Ok(numbers.filter_map(Pid::from_raw).filter(|pid| *pid != own).map(Process).collect())
}

/// Those that were started with this variable, whatever is its value.
pub fn with_variable(name: &str) -> Result<Vec<(Process, String)>> {
    let marked = |process: Process| Some((process, process.variable(name)?));
    Ok(all()?.into_iter().filter_map(marked).collect())
}

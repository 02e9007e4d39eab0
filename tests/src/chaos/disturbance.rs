//! What happens to the host while jobs run: its clock steps, its disk is full, its daemon dies.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use rustix::process::{Resource, Rlimit, Signal, prlimit};

use super::lanes::Ground;
use crate::processes::Process;
use crate::small_disk::SmallDisk;

/// What is preloaded into all programs.
const SOURCE: &str = include_str!("stepped_clock.c");
/// The most by which the clock is wrong: ten years, in seconds.
const MOST_WRONG: i64 = 10 * 365 * 86_400;
/// KiB of the disk for logs.
const DISK: usize = 4096;
/// Where a disk of its own is not to be had: bytes that a file of the daemon's may have, usually
/// and when the disk is full.
const FILE_SIZES: [u64; 2] = [1 << 20, 64];

/// The time of day that `pgas`, the daemon and ranks find.
pub(super) struct Clock {
    library: PathBuf,
    offset: PathBuf,
    file: File,
}

impl Clock {
    /// One that is right, for now.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let (library, offset) = (folder.join("stepped_clock.so"), folder.join("clock"));
        let source = folder.join("stepped_clock.c");
        fs::write(&source, SOURCE).context("write the clock's source")?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(&library);
        let status = compiler.arg(&source).status().context("run cc")?;
        ensure!(status.success(), "cc could not compile the clock (see above)");
        let file = File::create(&offset).context("make the clock")?;
        let clock = Self { library, offset, file };
        clock.step(0)?;
        Ok(clock)
    }

    /// Has a program find this clock, and all that it starts.
    pub(super) fn set_for(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("CHAOS_CLOCK", &self.offset);
    }

    /// From now on it is wrong by these seconds.
    fn step(&self, seconds: i64) -> Result<()> {
        self.file.write_all_at(&seconds.to_ne_bytes(), 0).context("step the clock")
    }
}

/// Where logs go.
enum Disk {
    /// A small file system of their own.
    Own(SmallDisk),
    /// A larger one: the daemon's files are limited instead.
    Shared,
}

impl Disk {
    fn new(folder: PathBuf, user: Option<u32>) -> Result<Self> {
        Ok(SmallDisk::mount(folder, DISK, user)?.map_or(Self::Shared, Self::Own))
    }

    /// Leaves no room, or all that there is.
    fn set_full(&self, full: bool, daemon: Option<Process>) -> Result<()> {
        match self {
            Self::Own(disk) if full => disk.fill(),
            Self::Own(disk) => disk.empty(),
            Self::Shared => {
                let most = Some(FILE_SIZES[usize::from(full)]);
                // It may just have ended.
                let _ = daemon.map(|daemon| {
                    let limit = Rlimit { current: most, maximum: None };
                    prlimit(Some(daemon.pid()), Resource::Fsize, limit)
                });
                Ok(())
            }
        }
    }
}

/// All of it.
pub(super) struct Disturbance<'a> {
    ground: &'a Ground,
    random: Rng,
    disk: Disk,
    daemon_kills: usize,
    count: usize,
}

impl<'a> Disturbance<'a> {
    /// Nothing of it yet. The daemon is to be killed `daemon_kills` times.
    pub(super) fn new(ground: &'a Ground, random: Rng, daemon_kills: usize) -> Result<Self> {
        let disk = Disk::new(ground.host.run_dir().join("log"), ground.platform.user())?;
        Ok(Self { ground, random, disk, daemon_kills, count: 0 })
    }

    /// Until all is over. `begun` says how many of all `jobs` have begun.
    pub(super) fn go_on(&mut self, begun: impl Fn() -> usize, jobs: usize) -> Result<()> {
        let mut killed = 0;
        while !self.ground.is_over() {
            thread::sleep(Duration::from_millis(self.random.u64(50..400)));
            let daemon = self.daemon();
            if killed < self.daemon_kills
                && begun() * (self.daemon_kills + 1) > jobs * (killed + 1)
                && let Some(daemon) = daemon
            {
                killed += 1;
                self.ground.count_daemon_kill();
                daemon.signal(if self.random.bool() { Signal::KILL } else { Signal::TERM });
                continue;
            }
            self.count += 1;
            match self.random.u32(..3) {
                0 => self.step_clock()?,
                1 => self.disk.set_full(true, daemon)?,
                _ => self.disk.set_full(false, daemon)?,
            }
        }
        Ok(())
    }

    /// Ends it all: the clock is right and the disk has room. Says how often something was done.
    pub(super) fn end(self) -> Result<usize> {
        if let Some(clock) = &self.ground.clock {
            clock.step(0)?;
        }
        self.disk.set_full(false, self.daemon())?;
        Ok(self.count)
    }

    fn step_clock(&mut self) -> Result<()> {
        let seconds = self.random.i64(-MOST_WRONG..MOST_WRONG);
        self.ground.clock.as_ref().map_or(Ok(()), |clock| clock.step(seconds))
    }

    fn daemon(&self) -> Option<Process> {
        self.ground.host.daemon().map(Process::new)
    }
}

//! Ranks as Linux processes.

use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::console::Consoles;
use super::event::{End, Event};
use super::ranks::Ranks;
use crate::control::{JobSpec, Stream};
use crate::error::{Context, Error, Result};

/// The argument by which this program, started again, becomes a rank: see [`become_rank`].
pub const RANK_ARGUMENT: &str = "__rank";

/// The processes of one job.
pub struct Processes {
    job: String,
    spec: JobSpec,
    socket: PathBuf,
    consoles: Consoles,
    events: Sender<Event>,
    running: Vec<Running>,
}

/// A process that has been started, and the thread that waits for its end.
struct Running {
    process: OwnedFd,
    waiter: JoinHandle<()>,
}

impl Processes {
    /// The processes of `job`, which are to attach through `socket`.
    pub fn new(
        job: &str,
        spec: &JobSpec,
        socket: PathBuf,
        consoles: Consoles,
        events: Sender<Event>,
    ) -> Self {
        Self { job: job.into(), spec: spec.clone(), socket, consoles, events, running: Vec::new() }
    }

    fn spawn(&self, rank: u32) -> Result<Running> {
        let context = || format!("start {}", self.spec.image.display());
        let files = std::env::join_paths(&self.spec.files).map_err(|_| Error::BadFile {
            path: self
                .spec
                .files
                .iter()
                .find(|path| path.to_string_lossy().contains(':'))
                .cloned()
                .unwrap_or_default(),
            why: "a path with a colon cannot be passed to a hosted rank".into(),
        })?;
        let mut child = Command::new("/proc/self/exe")
            .arg0("pgas-rank")
            .arg(RANK_ARGUMENT)
            .arg(std::process::id().to_string())
            .arg(&self.spec.image)
            .args(&self.spec.args)
            .current_dir(&self.spec.directory)
            .env_clear()
            .envs(self.spec.environment.iter().map(|(name, value)| (name, value)))
            .env("XENOLITH_SOCKET", &self.socket)
            .env("XENOLITH_JOB", &self.job)
            .env("XENOLITH_RANK", rank.to_string())
            .env("XENOLITH_SIZE", self.spec.size.to_string())
            .env("XENOLITH_MEM", self.spec.memory.to_string())
            .env("XENOLITH_FILES", files)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .context(context)?;
        let watched = self.watch(rank, &mut child);
        match watched {
            Ok(process) => {
                let waiter = self.wait_for(rank, child);
                Ok(Running { process, waiter: waiter.context(context)? })
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error).context(context)
            }
        }
    }

    /// Reads what the process writes; a handle by which to kill it.
    fn watch(&self, rank: u32, child: &mut Child) -> std::io::Result<OwnedFd> {
        let output = child.stdout.take().map(OwnedFd::from);
        let errors = child.stderr.take().map(OwnedFd::from);
        for (stream, fd) in [(Stream::Output, output), (Stream::Error, errors)] {
            if let Some(fd) = fd {
                fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
                self.consoles.add(rank, stream, fd);
            }
        }
        Ok(pidfd_open(pid(child)?, PidfdFlags::empty())?)
    }

    fn wait_for(&self, rank: u32, mut child: Child) -> std::io::Result<JoinHandle<()>> {
        let events = self.events.clone();
        thread::Builder::new().name(format!("rank-{rank}")).spawn(move || {
            let end = match child.wait() {
                Ok(status) => match (status.code(), status.signal()) {
                    (Some(code), _) => End::Exited(code),
                    (None, signal) => End::Signalled(signal.unwrap_or(0)),
                },
                Err(error) => {
                    tracing::error!(%error, rank, "a rank's end could not be waited for");
                    End::Vanished
                }
            };
            let _ = events.send(Event::Ended { rank, end });
        })
    }
}

fn pid(child: &Child) -> std::io::Result<Pid> {
    Pid::from_raw(child.id() as i32)
        .ok_or_else(|| std::io::Error::other("a process without a number"))
}

impl Ranks for Processes {
    fn start(&mut self) -> Result<()> {
        for rank in 0..self.spec.size {
            let at = Instant::now();
            let _ = self.events.send(Event::Begun { rank, at });
            match self.spawn(rank) {
                Ok(running) => self.running.push(running),
                Err(error) => {
                    let _ = self.events.send(Event::NotCreated { rank, error });
                    break;
                }
            }
        }
        Ok(())
    }

    /// All were started by [`start`](Ranks::start); what attaches from now on is turned away by the
    /// engine's absence.
    fn stop(&mut self) {}

    fn end(&mut self) {
        for running in &self.running {
            // Those that have ended already are no error.
            let _ = pidfd_send_signal(&running.process, Signal::KILL);
        }
        for running in self.running.drain(..) {
            let _ = running.waiter.join();
        }
        sweep(&self.job);
    }
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

/// What the daemon's program does when it is started as a rank: binds its life to the daemon's,
/// then becomes the application. `arguments` are those after [`RANK_ARGUMENT`]. Returns only when
/// that fails, with the reason.
pub fn become_rank(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> String {
    let parent = arguments.next().and_then(|word| word.to_str()?.parse().ok());
    let Some(program) = arguments.next() else { return "no program".into() };
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return format!("bind the rank's life to the daemon's: {error}");
    }
    // If the daemon died before that call, nobody will send the signal.
    if rustix::process::getppid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok())
        != parent
    {
        return "the daemon is gone".into();
    }
    let error = Command::new(&program).args(arguments).exec();
    format!("{}: {error}", program.to_string_lossy())
}

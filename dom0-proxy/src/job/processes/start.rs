//! The processes of a job: started, watched, ended.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open,
    pidfd_send_signal, waitid,
};

use super::become_rank::{RANK_ARGUMENT, identity};
use super::control_group::ControlGroups;
use super::input::InputCopier;
use super::memory::MemoryProcess;
use super::orphans::Family;
use super::sweep::sweep;
use crate::control::{InputFor, OutputStream, RankSignal};
use crate::error::{Context, Error, Result};
use crate::job::consoles::Consoles;
use crate::job::event::{End, JobEvent};
use crate::job::handle::Job;
use crate::job::ranks::Ranks;

/// The processes of one job.
pub struct Processes {
    job: Arc<Job>,
    socket: PathBuf,
    consoles: Consoles,
    running: Vec<RankProcess>,
    /// The user's standard input, until ranks have it.
    input: Option<OwnedFd>,
    copier: Option<InputCopier>,
    groups: ControlGroups,
    memory: Option<MemoryProcess>,
    /// From the first start to the last end.
    family: Option<Family>,
}

/// A process that has been started, and the thread that waits for its end.
struct RankProcess {
    process: OwnedFd,
    group: Arc<ProcessGroup>,
    /// Where a copy of the user's input goes.
    input: Option<ChildStdin>,
    waiter: JoinHandle<()>,
}

/// The process group that a rank leads, until the rank has ended: then its number may come to mean
/// something else.
#[derive(Debug)]
struct ProcessGroup(Mutex<Option<Pid>>);

impl ProcessGroup {
    fn signal(&self, signal: Signal) {
        let group = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = *group {
            // One that is just ending is no error.
            let _ = kill_process_group(group, signal);
        }
    }

    fn ended(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Processes {
    /// The processes of `job`, which has the directory `record` and is to attach through `socket`.
    pub fn new(job: Arc<Job>, socket: PathBuf, record: &Path, consoles: Consoles) -> Self {
        let host = job.spec.part.as_ref().map(|part| part.host);
        let groups = ControlGroups::create(&job.name, host, record);
        let input = job.take_input();
        let running = Vec::new();
        let (copier, memory, family) = (None, None, None);
        Self { job, socket, consoles, running, input, copier, groups, memory, family }
    }

    /// What a rank gets as standard input.
    fn input(&self, rank: u32) -> std::io::Result<Stdio> {
        match (&self.input, self.job.spec.input) {
            (Some(input), InputFor::Rank0) if rank == 0 => Ok(input.try_clone()?.into()),
            (Some(_), InputFor::All) => Ok(Stdio::piped()),
            _ => Ok(Stdio::null()),
        }
    }

    fn spawn(&self, rank: u32, program: &str) -> Result<RankProcess> {
        let spec = &self.job.spec;
        let context = || format!("start {}", spec.image.display());
        let files = std::env::join_paths(&spec.files).map_err(|_| Error::BadFile {
            path: spec
                .files
                .iter()
                .find(|path| path.to_string_lossy().contains(':'))
                .cloned()
                .unwrap_or_default(),
            why: "a path with a colon cannot be passed to a hosted rank".into(),
        })?;
        let inheritance = serde_json::to_string(&spec.inheritance)
            .map_err(std::io::Error::other)
            .context(context)?;
        let mut child = Command::new("/proc/self/exe")
            .arg0("pgas-rank")
            .arg(RANK_ARGUMENT)
            .arg(std::process::id().to_string())
            .arg(inheritance)
            .arg(program)
            .arg(self.groups.to_text())
            .arg(&spec.image)
            .args(&spec.args)
            .current_dir(&spec.directory)
            .env_clear()
            .envs(spec.environment.iter().map(|(name, value)| (name, value)))
            .env("XENOLITH_SOCKET", &self.socket)
            .env("XENOLITH_JOB", &self.job.name)
            .env("XENOLITH_RANK", rank.to_string())
            .env("XENOLITH_TOKEN", self.job.token(rank))
            .env("XENOLITH_SIZE", spec.size.to_string())
            .env("XENOLITH_MEM", spec.memory.to_string())
            .env("XENOLITH_FILES", files)
            .stdin(self.input(rank).context(context)?)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .context(context)?;
        let watched = self.watch(rank, &mut child);
        match watched {
            Ok(process) => {
                // Not the waiter's, who would close it.
                let input = child.stdin.take();
                let group = Arc::new(ProcessGroup(Mutex::new(pid(&child).ok())));
                match self.wait_for(rank, child, group.clone()) {
                    Ok(waiter) => Ok(RankProcess { process, group, input, waiter }),
                    Err(error) => {
                        // Nobody else will.
                        let _ = pidfd_send_signal(&process, Signal::KILL);
                        let _ = waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED);
                        Err(error).context(context)
                    }
                }
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
        for (stream, fd) in [(OutputStream::Output, output), (OutputStream::Error, errors)] {
            if let Some(fd) = fd {
                fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
                self.consoles.add_pipe(rank, stream, fd);
            }
        }
        Ok(pidfd_open(pid(child)?, PidfdFlags::empty())?)
    }

    fn wait_for(
        &self,
        rank: u32,
        mut child: Child,
        group: Arc<ProcessGroup>,
    ) -> std::io::Result<JoinHandle<()>> {
        let events = self.job.events.clone();
        let pid = pid(&child)?;
        thread::Builder::new().name(format!("rank-{rank}")).spawn(move || {
            // Its number stays its own until it is waited for in earnest.
            let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while waitid(WaitId::Pid(pid), look).err() == Some(rustix::io::Errno::INTR) {}
            group.ended();
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
            let _ = events.send(JobEvent::Ended { rank, end });
        })
    }
}

fn pid(child: &Child) -> std::io::Result<Pid> {
    Pid::from_raw(child.id() as i32)
        .ok_or_else(|| std::io::Error::other("a process without a number"))
}

impl Ranks for Processes {
    fn start(&mut self) -> Result<()> {
        self.family = Some(Family::begin());
        let memory = MemoryProcess::start(&self.groups).context(|| "start the job's memory")?;
        let _ = self.job.memory.set(memory.1);
        self.memory = Some(memory.0);
        let program = identity(&self.job.spec.image);
        for rank in self.job.spec.ranks_here() {
            let at = Instant::now();
            let _ = self.job.events.send(JobEvent::Begun { rank, at });
            match self.spawn(rank, &program) {
                Ok(running) => self.running.push(running),
                Err(error) => {
                    let _ = self.job.events.send(JobEvent::NotCreated { rank, error });
                    break;
                }
            }
        }
        let copies: Vec<_> = self.running.iter_mut().filter_map(|it| it.input.take()).collect();
        if let (Some(input), InputFor::All) = (self.input.take(), self.job.spec.input) {
            let copier = InputCopier::start(input, copies);
            self.copier = Some(copier.context(|| "copy the user's standard input")?);
        }
        Ok(())
    }

    fn signal(&mut self, signal: RankSignal) {
        let signal = match signal {
            RankSignal::User1 => Signal::USR1,
            RankSignal::User2 => Signal::USR2,
            RankSignal::Stop => Signal::STOP,
            RankSignal::GoOn => Signal::CONT,
        };
        self.running.iter().for_each(|running| running.group.signal(signal));
    }

    /// All were started by [`start`](Ranks::start); what attaches from now on is turned away by the
    /// engine's absence. What they have written stays in their pipes.
    fn stop(&mut self) {
        for running in &self.running {
            // Those that have ended already are no error.
            let _ = pidfd_send_signal(&running.process, Signal::KILL);
        }
    }

    fn end(&mut self) -> Result<()> {
        self.stop();
        self.memory = None;
        self.groups.end();
        for running in self.running.drain(..) {
            let _ = running.waiter.join();
        }
        sweep(&self.job.name, &self.socket);
        if let Some(family) = self.family.take() {
            family.end();
        }
        if let Some(copier) = self.copier.take() {
            copier.end();
        }
        Ok(())
    }
}

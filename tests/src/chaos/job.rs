//! One job: started, disturbed, and its end judged.

use std::fmt;
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal};

use super::MARK;
use super::lanes::Ground;
use super::plan::{Harm, Plan};
use crate::processes::{self, Process};

/// How often a job is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Statuses of `pgas`: see docs/operations.md.
const DAEMON_LOST: i32 = 121;
const HOST: i32 = 123;
const INTERRUPTED: i32 = 130;
const KILLED: i32 = 137;
const TERMINATED: i32 = 143;

/// A job that has ended, and what had been done to it.
#[derive(Debug)]
pub(super) struct Record {
    pub plan: Plan,
    /// The status that the job has of itself.
    pub own_status: i32,
    /// The harm came before the end.
    pub harmed: bool,
    /// A daemon was killed while the job was there.
    pub lost_its_daemon: bool,
    /// The status of `pgas`; of one that was killed the signal's number, below zero.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Plan {
    /// Runs the job to its end.
    pub(super) fn run(&self, ground: &Ground) -> Result<Record> {
        let kills = ground.daemon_kills();
        let started = Instant::now();
        // A job that takes longer is stuck. Its own limit comes long before.
        let patience = 2 * Duration::from_secs(ground.platform.seconds().into());
        let mut pgas = self.command(ground)?.spawn().context("start pgas")?;
        let stdout = read_all(pgas.stdout.take());
        let stderr = read_all(pgas.stderr.take());
        let mut harmed = false;
        let mut asked_to_end = false;
        let status = loop {
            if let Some(status) = pgas.try_wait().context("wait for pgas")? {
                break status;
            }
            if !harmed && self.harm != Harm::None && started.elapsed() > self.harm_after {
                harmed = self.harm(&pgas, ground)?;
            }
            if !asked_to_end && started.elapsed() > patience {
                asked_to_end = true;
                pgas.kill().context("end pgas")?;
            }
            thread::sleep(LOOK);
        };
        let status = match (status.code(), status.signal()) {
            (Some(status), _) => status,
            (None, signal) => -signal.unwrap_or_default(),
        };
        Ok(Record {
            plan: self.clone(),
            own_status: self.status(&ground.platform),
            harmed,
            lost_its_daemon: ground.daemon_kills() != kills,
            status,
            stdout: stdout.join().unwrap_or_default(),
            stderr: stderr.join().unwrap_or_default(),
            took: started.elapsed(),
        })
    }

    fn command(&self, ground: &Ground) -> Result<Command> {
        let (program, arguments) = self.program();
        let program = ground.platform.application(&ground.host, program);
        let (ranks, seconds) = (self.ranks.to_string(), ground.platform.seconds().to_string());
        let words = ["run", "--timeout", &seconds, "-n", &ranks];
        let mut pgas = ground.pgas(words, self.number)?;
        pgas.args(ground.platform.options());
        // By which a domain's job is found; a process has it from `pgas`.
        pgas.args(["--env", &format!("{MARK}={}", ground.mark(self.number))]);
        pgas.arg(program).arg("--").args(arguments);
        let mut command = match self.limit.command() {
            Some(limit) => {
                let mut limited = limited(&limit, &pgas);
                ground.host.give_to_user(&mut limited);
                limited
            }
            None => pgas,
        };
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    /// Does the harm, if there is something that it can be done to. Says whether it has.
    fn harm(&self, pgas: &Child, ground: &Ground) -> Result<bool> {
        let client = Process::new(Pid::from_child(pgas));
        let rank = |rank: usize, signal| ground.end_rank(self.number, rank, signal);
        match self.harm {
            Harm::None => Ok(false),
            Harm::KillClient => Ok(client.signal(Signal::KILL)),
            Harm::TerminateClient => Ok(client.signal(Signal::TERM)),
            Harm::KillRank(number) => rank(number, Signal::KILL),
            Harm::TerminateRank(number) => rank(number, Signal::TERM),
            Harm::KillJob => {
                let Some(job) = ground.job_of(self.number)? else { return Ok(false) };
                let mut kill = ground.pgas(["kill", &job], self.number)?;
                // The job may have ended meanwhile, which `pgas kill` says.
                Ok(kill.output().context("run pgas kill")?.status.success())
            }
        }
    }
}

impl Record {
    /// What is wrong with how the job has ended; `None` if nothing is.
    pub(super) fn fault(&self) -> Option<String> {
        let allowed = self.allowed();
        if !allowed.contains(&self.status) {
            return Some(format!("status {}, not one of {allowed:?}", self.status));
        }
        // What a killed client has written is nobody's.
        if self.status == 0
            && let Some(missing) = self.plan.missing(&self.stdout)
        {
            return Some(format!("status 0, and its output lacks: {missing}"));
        }
        let said = self.stderr.lines().last().unwrap_or_default();
        // Whoever interrupts a job knows why it has ended.
        if self.status > 0 && self.status != INTERRUPTED && !said.starts_with("pgas: ") {
            return Some(format!("status {} without a cause in the last line", self.status));
        }
        (self.stderr.contains("panicked at") && !self.stderr.contains("asked to panic"))
            .then(|| "something panicked".into())
    }

    /// The statuses that are true of what has happened.
    fn allowed(&self) -> Vec<i32> {
        // Whatever was done to it may have come too late.
        let mut allowed = vec![self.own_status];
        if self.harmed {
            match self.plan.harm {
                Harm::KillClient => allowed.push(-Signal::KILL.as_raw()),
                // It may not have come as far as taking signals.
                Harm::TerminateClient => allowed.extend([INTERRUPTED, -Signal::TERM.as_raw()]),
                // A domain that is gone is the host's doing.
                Harm::KillRank(_) => allowed.extend([KILLED, HOST]),
                Harm::KillJob | Harm::None => allowed.push(KILLED),
                Harm::TerminateRank(_) => allowed.push(TERMINATED),
            }
        }
        if self.lost_its_daemon {
            allowed.extend([DAEMON_LOST, KILLED]);
        }
        allowed
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.plan)?;
        let (harmed, lost) = (self.harmed, self.lost_its_daemon);
        writeln!(f, "harmed: {harmed}, lost its daemon: {lost}, took {:?}", self.took)?;
        writeln!(f, "status {}", self.status)?;
        for (name, text) in [("output", &self.stdout), ("errors", &self.stderr)] {
            let lines: Vec<_> = text.lines().collect();
            writeln!(f, "--- {name}, {} lines, the last ones:", lines.len())?;
            for line in &lines[lines.len().saturating_sub(10)..] {
                writeln!(f, "{line}")?;
            }
        }
        Ok(())
    }
}

/// All that comes, as text.
fn read_all(stream: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What has come before an error counts.
        let _ = stream.map(|mut stream| stream.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The same command in a shell that first limits itself.
fn limited(limit: &str, command: &Command) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("{limit} && exec \"$0\" \"$@\"")]);
    shell.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

impl Ground {
    /// The name of the job with this number, if it has begun.
    fn job_of(&self, number: usize) -> Result<Option<String>> {
        if self.platform.is_xen() {
            return self.job_of_domains(number);
        }
        Ok(self.process_of(number, 0)?.and_then(|process| process.variable("XENOLITH_JOB")))
    }

    /// The same where ranks are domains: by what is said to them.
    fn job_of_domains(&self, number: usize) -> Result<Option<String>> {
        let said = format!("{MARK}={} ", self.mark(number));
        // There is no folder before the first job.
        let records = self.host.job_records().unwrap_or_default();
        let is_it = |record: &PathBuf| {
            let config = fs::read_to_string(record.join("rank-0.cfg"));
            config.is_ok_and(|text| text.contains(&said))
        };
        let name = |record: PathBuf| Some(record.file_name()?.to_str()?.to_owned());
        Ok(records.into_iter().find(is_it).and_then(name))
    }

    /// Ends a rank, if it is there: a process by this signal, a domain by `xl destroy`. Says
    /// whether it was.
    fn end_rank(&self, number: usize, rank: usize, signal: Signal) -> Result<bool> {
        if !self.platform.is_xen() {
            let found = self.process_of(number, rank)?;
            return Ok(found.is_some_and(|process| process.signal(signal)));
        }
        let Some(job) = self.job_of_domains(number)? else { return Ok(false) };
        let mut xl = Command::new("xl");
        xl.args(["destroy", &format!("pgas-{job}-{rank}")]);
        Ok(xl.output().context("run xl")?.status.success())
    }

    /// The process of a rank of the job with this number, if there is one.
    fn process_of(&self, number: usize, rank: usize) -> Result<Option<Process>> {
        let (mark, rank) = (self.mark(number), rank.to_string());
        let marked = processes::with_variable(MARK)?.into_iter();
        Ok(marked
            .filter(|(_, value)| *value == mark)
            .map(|(process, _)| process)
            .find(|process| process.variable("XENOLITH_RANK").as_ref() == Some(&rank)))
    }
}

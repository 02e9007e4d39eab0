//! Who runs which job when, and the hostile ranks beside them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use rustix::process::{Pid, Signal};

use super::MARK;
use super::disturbance::{Clock, Disturbance};
use super::job::DAEMON_ENDS;
use super::plan::Plan;
use super::remains::remains;
use crate::Host;
use crate::processes::Process;

/// A kind of hostile job: the program, its argument, how many ranks, and the statuses that are true
/// of it. Each has a limit of [`HOSTILE_SECONDS`] and ends by it, unless it ends itself.
struct Hostile {
    program: HostileProgram,
    kind: &'static str,
    ranks: usize,
    statuses: &'static [i32],
}

/// Whose kinds they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HostileProgram {
    /// A process that attaches as it likes.
    Process,
    /// An application that writes wrong requests.
    Application,
}

use HostileProgram::{Application, Process as Raw};

const BROKE_THE_PROTOCOL: i32 = 122;
const HOST: i32 = 123;
const TIMED_OUT: i32 = 124;

const fn raw(kind: &'static str, ranks: usize, statuses: &'static [i32]) -> Hostile {
    Hostile { program: Raw, kind, ranks, statuses }
}

const fn application(kind: &'static str) -> Hostile {
    Hostile { program: Application, kind, ranks: 2, statuses: &[BROKE_THE_PROTOCOL] }
}

const HOSTILE: &[Hostile] = &[
    raw("deaf", 3, &[BROKE_THE_PROTOCOL, HOST, TIMED_OUT]),
    raw("full-doorbell", 1, &[TIMED_OUT]),
    raw("ringing", 1, &[TIMED_OUT]),
    raw("garbage", 2, &[BROKE_THE_PROTOCOL, TIMED_OUT]),
    raw("large-window", 2, &[BROKE_THE_PROTOCOL]),
    raw("lock-holder", 2, &[BROKE_THE_PROTOCOL, TIMED_OUT]),
    raw("intruder", 1, &[TIMED_OUT]),
    raw("escape", 2, &[0]),
    raw("flood", 2, &[TIMED_OUT]),
    application("bad-opcode"),
    application("wrapping-address"),
    application("submission-tail-jumps"),
    application("completion-head-jumps"),
];

/// A hostile job's own limit, in seconds.
const HOSTILE_SECONDS: &str = "6";
/// Hostile jobs at a time.
const HOSTILE_LANES: usize = 5;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Chaos {
    /// All of it follows from this number, but for what happens at the same time.
    pub seed: u64,
    /// Jobs, beside the hostile ones.
    pub jobs: usize,
    /// How many of them at a time.
    pub at_a_time: usize,
    /// How often the daemon is killed.
    pub daemon_kills: usize,
    /// The program `hostile_process`.
    pub hostile_process: PathBuf,
}

/// What has come of it. `Display` is the report.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Each fault, with its job's record.
    pub faults: Vec<String>,
    ended: usize,
    /// Jobs to which nothing was done.
    innocent: usize,
    /// The job that took longest.
    longest: (Duration, String),
    hostile: BTreeMap<&'static str, usize>,
    daemon_kills: usize,
    disturbances: usize,
    took: Duration,
    /// The same until all jobs had ended.
    jobs_took: Duration,
}

impl Outcome {
    /// A job has ended.
    fn took(&mut self, time: Duration, job: &str) {
        if time > self.longest.0 {
            self.longest = (time, job.into());
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(f, "{fault}")?;
        }
        let hostile: usize = self.hostile.values().sum();
        writeln!(
            f,
            "{} jobs, {} of them innocent, beside {hostile} hostile ones, in {:.0} of {:.0} s",
            self.ended,
            self.innocent,
            self.jobs_took.as_secs_f64(),
            self.took.as_secs_f64()
        )?;
        let kinds = self.hostile.iter().map(|(kind, count)| format!("{kind} {count}"));
        writeln!(f, "hostile: {}", kinds.collect::<Vec<_>>().join(", "))?;
        writeln!(f, "the longest took {:.1} s: {}", self.longest.0.as_secs_f64(), self.longest.1)?;
        let (kills, others) = (self.daemon_kills, self.disturbances);
        write!(f, "daemons killed: {kills}, other disturbances: {others}, ")?;
        write!(f, "faults: {}", self.faults.len())
    }
}

/// The daemon's host, and what all lanes share.
pub(super) struct Ground {
    pub host: Host,
    pub clock: Clock,
    hostile_process: PathBuf,
    kills: AtomicUsize,
    over: AtomicBool,
    outcome: Mutex<Outcome>,
}

impl Ground {
    /// Daemons that were killed so far.
    pub(super) fn daemon_kills(&self) -> usize {
        self.kills.load(Ordering::SeqCst)
    }

    /// A daemon is about to be killed.
    pub(super) fn count_daemon_kill(&self) {
        self.kills.fetch_add(1, Ordering::SeqCst);
    }

    /// All jobs have ended.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// The mark of what belongs to the job with this number, or to a hostile kind.
    pub(super) fn mark(&self, name: impl fmt::Display) -> String {
        format!("{}-{name}", std::process::id())
    }

    /// How long a process sleeps that has escaped: a number that nobody else uses.
    pub(super) fn sleep_of_escaped(&self) -> String {
        format!("1{:09}", std::process::id())
    }

    /// `pgas`, marked, with the clock that steps.
    pub(super) fn pgas<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        name: impl fmt::Display,
    ) -> Result<Command> {
        let mut pgas = self.host.pgas(arguments)?;
        pgas.env(MARK, self.mark(name)).env("CHAOS_SLEEP", self.sleep_of_escaped());
        self.clock.set_for(&mut pgas);
        Ok(pgas)
    }

    fn outcome(&self) -> std::sync::MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Notes what is wrong.
    pub(super) fn fault(&self, what: &str, record: &dyn fmt::Display) {
        self.outcome().faults.push(format!("FAULT: {what}\n{record}"));
    }

    fn run_hostile(&self, hostile: &Hostile) -> Result<()> {
        let kills = self.daemon_kills();
        let started = Instant::now();
        let ranks = hostile.ranks.to_string();
        let words = ["run", "--hosted", "--timeout", HOSTILE_SECONDS, "-n", &ranks];
        let mut pgas = self.pgas(words, hostile.kind)?;
        pgas.arg(match hostile.program {
            Raw => self.hostile_process.clone(),
            Application => self.host.application("hostile"),
        });
        pgas.args(["--", hostile.kind]).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = pgas.spawn().context("start pgas")?;
        let (output, interrupted) = self.wait_for_hostile(child)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let status = output.status.code().unwrap_or(-1);
        let daemon_lost = (self.daemon_kills() != kills && [121, 137].contains(&status))
            || (status == 121 && said.contains(DAEMON_ENDS));
        let true_status = hostile.statuses.contains(&status);
        // It may not have come as far as taking signals.
        let interrupted = interrupted && (status == 130 || output.status.code().is_none());
        if !true_status && !daemon_lost && !interrupted {
            let wanted = hostile.statuses;
            let what = format!("hostile {}: status {status}, not one of {wanted:?}", hostile.kind);
            let lines: Vec<_> = said.lines().collect();
            self.fault(&what, &lines[lines.len().saturating_sub(5)..].join("\n"));
        }
        self.outcome().took(started.elapsed(), &format!("hostile {}: {status}", hostile.kind));
        *self.outcome().hostile.entry(hostile.kind).or_default() += 1;
        Ok(())
    }

    /// Interrupts it when all is over. Says whether it has.
    fn wait_for_hostile(&self, child: Child) -> Result<(std::process::Output, bool)> {
        let process = Process::new(Pid::from_child(&child));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let interrupter = scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    if self.is_over() {
                        return process.signal(Signal::INT);
                    }
                    thread::sleep(Duration::from_millis(20));
                }
                false
            });
            let output = child.wait_with_output().context("wait for pgas");
            done.store(true, Ordering::SeqCst);
            Ok((output?, interrupter.join().unwrap_or(false)))
        })
    }
}

impl Chaos {
    /// Runs it; `progress` is told a line now and then.
    ///
    /// # Errors
    /// When it cannot be run. What it finds is in the outcome.
    pub fn run(&self, progress: impl Fn(&str) + Sync) -> Result<Outcome> {
        if !self.hostile_process.is_file() {
            bail!("{} is not there", self.hostile_process.display());
        }
        let mut random = Rng::with_seed(self.seed);
        let plans: Vec<_> = (0..self.jobs).map(|number| Plan::draw(number, &mut random)).collect();
        let host = Host::new()?;
        let started = Instant::now();
        let clock = Clock::new(host.run_dir())?;
        let ground = Ground {
            clock,
            host,
            hostile_process: self.hostile_process.clone(),
            kills: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            outcome: Mutex::default(),
        };
        let mut disturbance = Disturbance::new(&ground, random.fork(), self.daemon_kills)?;
        let next = AtomicUsize::new(0);
        let failed = thread::scope(|scope| {
            let lanes: Vec<_> = (0..self.at_a_time.max(1))
                .map(|_| scope.spawn(|| self.run_jobs(&ground, &plans, &next, &progress)))
                .collect();
            let mut others: Vec<_> = (0..HOSTILE_LANES)
                .map(|_| random.fork())
                .map(|mut random| {
                    let ground = &ground;
                    scope.spawn(move || {
                        while !ground.is_over() {
                            ground.run_hostile(&HOSTILE[random.usize(..HOSTILE.len())])?;
                        }
                        Ok(())
                    })
                })
                .collect();
            others
                .push(scope.spawn(|| disturbance.go_on(|| next.load(Ordering::SeqCst), self.jobs)));
            let ended: Vec<Result<()>> = lanes.into_iter().map(joined).collect();
            ground.over.store(true, Ordering::SeqCst);
            ended.into_iter().chain(others.into_iter().map(joined)).find_map(Result::err)
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let jobs_took = started.elapsed();
        let disturbances = disturbance.end()?;
        // What a daemon leaves that is killed, the next one removes.
        let last = Plan::last().run(&ground)?;
        if let Some(fault) = last.fault() {
            ground.fault(&fault, &last);
        }
        for left in remains(&ground)? {
            ground.fault("left behind", &left);
        }
        let kills = ground.daemon_kills();
        let outcome = std::mem::take(&mut *ground.outcome());
        Ok(Outcome {
            daemon_kills: kills,
            disturbances,
            took: started.elapsed(),
            jobs_took,
            ..outcome
        })
    }

    fn run_jobs(
        &self,
        ground: &Ground,
        plans: &[Plan],
        next: &AtomicUsize,
        progress: &(impl Fn(&str) + Sync),
    ) -> Result<()> {
        while let Some(plan) = plans.get(next.fetch_add(1, Ordering::SeqCst)) {
            let record = plan.run(ground)?;
            if let Some(fault) = record.fault() {
                ground.fault(&fault, &record);
            }
            let mut outcome = ground.outcome();
            outcome.ended += 1;
            outcome.took(record.took, &format!("{:?}", record.plan));
            outcome.innocent += usize::from(!record.harmed && !record.lost_its_daemon);
            if outcome.ended.is_multiple_of(10) || outcome.ended == plans.len() {
                let (ended, faults) = (outcome.ended, outcome.faults.len());
                let kills = ground.daemon_kills();
                progress(&format!(
                    "seed {}: {ended} of {} jobs, {kills} daemons killed, {faults} faults",
                    self.seed,
                    plans.len()
                ));
            }
        }
        Ok(())
    }
}

fn joined(thread: thread::ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    thread.join().unwrap_or_else(|_| bail!("a thread panicked"))
}

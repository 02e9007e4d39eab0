//! Who runs which job when, and the hostile ranks beside them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
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
use super::hostile::{Hostile, Program, TIMED_OUT};
use super::plan::Plan;
use super::platform::Platform;
use super::remains::remains;
use crate::Host;
use crate::processes::Process;

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
    /// What runs the ranks.
    pub platform: Platform,
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
    /// What came of holding a job, and how often.
    holds: BTreeMap<String, usize>,
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
        for (end, count) in &self.holds {
            writeln!(f, "held {count} times: {end}")?;
        }
        let (kills, others) = (self.daemon_kills, self.disturbances);
        write!(f, "daemons killed: {kills}, other disturbances: {others}, ")?;
        write!(f, "faults: {}", self.faults.len())
    }
}

/// The daemon's host, and what all lanes share.
pub(super) struct Ground {
    pub platform: Platform,
    pub host: Host,
    /// If it is to step.
    pub clock: Option<Clock>,
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

    /// `pgas`, marked, with the clock that steps if there is one.
    pub(super) fn pgas<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        name: impl fmt::Display,
    ) -> Result<Command> {
        let mut pgas = self.host.pgas(arguments)?;
        pgas.env(MARK, self.mark(name)).env("CHAOS_SLEEP", self.sleep_of_escaped());
        if let Some(clock) = &self.clock {
            clock.set_for(&mut pgas);
        }
        Ok(pgas)
    }

    fn outcome(&self) -> std::sync::MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Notes what is wrong.
    pub(super) fn fault(&self, what: &str, record: &dyn fmt::Display) {
        self.outcome().faults.push(format!("FAULT: {what}\n{record}"));
    }

    fn run_hostile(&self, hostile: &Hostile, random: &mut Rng) -> Result<()> {
        let kills = self.daemon_kills();
        let started = Instant::now();
        let (ranks, arguments) = (hostile.ranks.to_string(), hostile.arguments(random));
        let words = ["run", "--timeout", self.platform.hostile_seconds(), "-n", &ranks];
        let mut pgas = self.pgas(words, hostile.kind)?;
        pgas.args(self.platform.options()).arg(match hostile.program {
            Program::Process => self.platform.hostile_process(&self.host),
            Program::WrongRequests => self.platform.application(&self.host, "hostile"),
            Program::Vandal => self.platform.application(&self.host, "vandal"),
        });
        pgas.arg("--").args(&arguments).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = pgas.spawn().context("start pgas")?;
        let (output, interrupted) = self.wait_for_hostile(child)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let status = output.status.code().unwrap_or(-1);
        let daemon_lost = self.daemon_kills() != kills && [121, 137].contains(&status);
        let true_status = status == TIMED_OUT || hostile.statuses.contains(&status);
        // It may not have come as far as taking signals.
        let interrupted = interrupted && (status == 130 || output.status.code().is_none());
        if !true_status && !daemon_lost && !interrupted {
            let (words, wanted) = (arguments.join(" "), hostile.statuses);
            let what = format!("hostile {words}: status {status}, not one of {wanted:?}");
            let lines: Vec<_> = said.lines().collect();
            self.fault(&what, &lines[lines.len().saturating_sub(5)..].join("\n"));
        }
        self.outcome().took(started.elapsed(), &format!("hostile {}: {status}", hostile.kind));
        *self.outcome().hostile.entry(hostile.kind).or_default() += 1;
        Ok(())
    }

    /// Holds any jobs, hostile ones too, and lets them go on. Whether that can be done depends on
    /// how far a job is; a job that is left held would not end.
    fn hold_jobs(&self, random: &mut Rng) -> Result<()> {
        let run = |verb, job: &str| {
            let output = self.pgas([verb, job], verb)?.output().context("run pgas")?;
            let said = String::from_utf8_lossy(&output.stderr).replace(job, "J");
            let done = output.status.success();
            Ok::<_, anyhow::Error>(if done { "done".into() } else { said.trim().to_owned() })
        };
        while !self.is_over() {
            thread::sleep(Duration::from_millis(random.u64(50..1000)));
            let jobs = self.host.job_records().unwrap_or_default();
            let Some(job) = random.choice(&jobs).and_then(|job| job.file_name()?.to_str()) else {
                continue;
            };
            let held = run("hold", job)?;
            thread::sleep(Duration::from_millis(random.u64(..300)));
            // Even if it was said not to be held, and whoever may have ended it.
            run("release", job)?;
            *self.outcome().holds.entry(held).or_default() += 1;
        }
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
        let mut random = Rng::with_seed(self.seed);
        let draw = |number| Plan::draw(number, &self.platform, &mut random);
        let plans: Vec<_> = (0..self.jobs).map(draw).collect();
        let host = self.platform.host()?;
        let started = Instant::now();
        let has_clock = !self.platform.is_xen();
        let ground = Ground {
            clock: has_clock.then(|| Clock::new(host.run_dir())).transpose()?,
            host,
            platform: self.platform.clone(),
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
            let mut others: Vec<_> = (0..self.platform.hostile_lanes())
                .map(|_| random.fork())
                .map(|mut random| {
                    let ground = &ground;
                    scope.spawn(move || {
                        let kinds = ground.platform.hostile();
                        while !ground.is_over() {
                            let kind = &kinds[random.usize(..kinds.len())];
                            ground.run_hostile(kind, &mut random)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            let (ground, mut for_holds) = (&ground, random.fork());
            others.push(scope.spawn(move || ground.hold_jobs(&mut for_holds)));
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
            // Ten lines a run, and no more than one a job.
            if outcome.ended.is_multiple_of((plans.len() / 10).max(1)) {
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

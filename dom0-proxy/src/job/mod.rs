//! A job's life: its ranks are started, served, watched, and ended.
//!
//! ```text
//! supervisor thread --- takes events, decides (`verdict`), cleans up
//!   |-- console thread    reads what ranks write, keeps logs, shows lines
//!   |-- engine thread     serves the rings
//!   `-- ranks             `processes`: a waiter each; `domains`: creators and a watcher
//! ```
//!
//! Whatever happens, the end is the same: engine stopped and memory unmapped, ranks ended, consoles
//! read to the end, the job's record removed, the client told.

mod client;
mod console;
mod cpio;
pub mod domains;
pub mod event;
mod lines;
pub mod processes;
mod ranks;
mod verdict;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::control::{JobInfo, JobSpec, RankKind, RankSummary, Reply, Summary};
use crate::engine::{Engine, Pause};
use crate::error::{Context, Error, Result, status};
use crate::run_dir::RunDir;
pub use client::Client;
use console::Consoles;
use domains::Domains;
use event::{Event, KillReason};
use processes::Processes;
use ranks::Ranks;
use verdict::Verdict;

/// How long a client that does not read its lines may hold up a job that is to be killed.
const CLIENT_PATIENCE: Duration = Duration::from_secs(3);

/// A job as others see it.
#[derive(Debug)]
pub struct Job {
    /// Its name.
    pub name: String,
    spec: JobSpec,
    started: Instant,
    up: AtomicU32,
    /// Ranks that have attached, so that none does twice.
    attached: Mutex<BTreeSet<u32>>,
    events: Sender<Event>,
}

impl Job {
    /// A new job, and the events that its supervisor will take.
    pub fn new(name: String, spec: JobSpec) -> (Arc<Self>, Receiver<Event>) {
        let (events, incoming) = channel();
        let job = Self {
            name,
            spec,
            started: Instant::now(),
            up: AtomicU32::new(0),
            attached: Mutex::new(BTreeSet::new()),
            events,
        };
        (Arc::new(job), incoming)
    }

    /// How it is.
    pub fn info(&self) -> JobInfo {
        JobInfo {
            job: self.name.clone(),
            kind: self.spec.kind,
            size: self.spec.size,
            up: self.up.load(Ordering::Relaxed),
            image: self.spec.image.clone(),
            seconds: self.started.elapsed().as_secs_f64(),
        }
    }

    /// Tells the supervisor.
    pub fn send(&self, event: Event) {
        // One that has ended does not care.
        let _ = self.events.send(event);
    }

    /// Ends the job.
    pub fn kill(&self, reason: KillReason) {
        self.send(Event::Kill(reason));
    }

    /// Whether this hosted rank may attach now. It may once.
    pub fn claim(&self, rank: u32) -> Result<(), String> {
        if self.spec.kind != RankKind::Hosted {
            return Err("this job's ranks are domains".into());
        }
        if rank >= self.spec.size {
            return Err(format!("no rank {rank} in a job of {}", self.spec.size));
        }
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        if attached.insert(rank) { Ok(()) } else { Err(format!("rank {rank} is attached already")) }
    }
}

/// Runs a job to its end, in this thread, which must live as long as the job: ranks that are
/// processes are killed when it ends. `ended` is called when nothing of the job is left, before the
/// client hears of it.
pub fn supervise(
    job: &Arc<Job>,
    incoming: Receiver<Event>,
    run_dir: &RunDir,
    stream: UnixStream,
    ended: impl FnOnce(),
) {
    let client = Arc::new(Client::new(stream));
    let record = run_dir.job(&job.name);
    let result = Supervisor::start(job, incoming, run_dir, client.clone()).map(Supervisor::run);
    if let Err(error) = fs::remove_dir_all(&record)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, record = %record.display(), "the job's record could not be removed");
    }
    ended();
    match result {
        Ok(summary) => {
            let cause = summary.cause.as_deref().unwrap_or("none");
            tracing::info!(job = job.name, status = summary.status, cause, "the job has ended");
            client.send(&Reply::Ended(summary));
        }
        Err(error) => {
            tracing::info!(job = job.name, %error, "the job could not be started");
            client.send(&Reply::Refused { status: error.exit_status(), text: error.to_string() });
        }
    }
}

struct Supervisor {
    job: Arc<Job>,
    incoming: Receiver<Event>,
    client: Arc<Client>,
    consoles: Consoles,
    console_thread: JoinHandle<()>,
    engine: Engine,
    ranks: Box<dyn Ranks>,
    verdict: Verdict,
    begun: Vec<Option<Instant>>,
    summaries: Vec<RankSummary>,
}

impl Supervisor {
    /// Sets everything up but starts no rank.
    fn start(
        job: &Arc<Job>,
        incoming: Receiver<Event>,
        run_dir: &RunDir,
        client: Arc<Client>,
    ) -> Result<Self> {
        let spec = &job.spec;
        if spec.kind == RankKind::Xen {
            domains::check(spec)?;
        }
        let (record, logs) = (run_dir.job(&job.name), run_dir.job_logs(&job.name));
        for dir in [&record, &logs] {
            fs::create_dir_all(dir).context(|| format!("create directory {}", dir.display()))?;
        }
        run_dir.prune_logs();
        let (consoles, console_thread) =
            Consoles::start(&job.name, spec, &logs, client.clone(), job.events.clone())?;
        let events = job.events.clone();
        let tell = move |notice| drop(events.send(Event::Engine(notice)));
        let pause = match spec.kind {
            RankKind::Hosted => Pause::Yield,
            RankKind::Xen => Pause::Spin,
        };
        let engine =
            Engine::start(&job.name, spec.size, pause, tell).context(|| "start the engine")?;
        let events = job.events.clone();
        let ranks: Box<dyn Ranks> = match spec.kind {
            RankKind::Hosted => Box::new(Processes::new(
                &job.name,
                spec,
                run_dir.ranks_socket(),
                consoles.clone(),
                events,
            )),
            RankKind::Xen => {
                Box::new(Domains::new(&job.name, spec, record, consoles.clone(), events)?)
            }
        };
        let summary = RankSummary { memory: spec.memory, ..RankSummary::default() };
        Ok(Self {
            job: job.clone(),
            incoming,
            client,
            consoles,
            console_thread,
            engine,
            ranks,
            verdict: Verdict::new(spec.size),
            begun: vec![None; spec.size as usize],
            summaries: vec![summary; spec.size as usize],
        })
    }

    fn run(mut self) -> Summary {
        self.client.send(&Reply::Started(self.job.name.clone()));
        let refused = self.ranks.start().err();
        let deadline = self.job.spec.timeout.map(|limit| (self.job.started + limit, limit));
        while refused.is_none() && self.verdict.ending().is_none() {
            let event = match deadline {
                Some((at, _)) => {
                    self.incoming.recv_timeout(at.saturating_duration_since(Instant::now()))
                }
                None => self.incoming.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match (event, deadline) {
                (Ok(event), _) => self.take(event),
                (Err(_), Some((_, limit))) => self.verdict.timed_out(limit),
                (Err(_), None) => break,
            }
        }
        self.finish(refused)
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Begun { rank, at } => {
                self.begun[rank as usize] = Some(at);
                if self.job.spec.kind == RankKind::Hosted {
                    self.count_up();
                }
            }
            Event::Up { rank, at } => {
                if self.booted(rank, at) {
                    self.count_up();
                }
            }
            Event::NotCreated { rank, error } => self.verdict.not_created(rank, &error),
            Event::Attached { rank, attachment } => {
                if self.job.spec.kind == RankKind::Hosted {
                    self.booted(rank, Instant::now());
                }
                self.engine.attach(rank, attachment);
                self.verdict.attached(rank);
            }
            Event::AttachRefused { rank, cause } => self.verdict.attach_refused(rank, &cause),
            Event::Fatal { rank, cause } => {
                self.verdict.fatal(rank, cause);
                self.consoles.drain(rank);
            }
            Event::Ended { rank, end } => {
                self.verdict.ended(rank, end);
                self.consoles.drain(rank);
            }
            Event::Drained { rank } => self.verdict.drained(rank),
            Event::Engine(notice) => self.verdict.engine(notice),
            Event::Kill(reason) => self.verdict.kill(reason),
        }
    }

    /// Notes how long a rank took to start, once.
    fn booted(&mut self, rank: u32, at: Instant) -> bool {
        let (Some(begun), boot) =
            (self.begun[rank as usize], &mut self.summaries[rank as usize].boot_seconds)
        else {
            return false;
        };
        let first = boot.is_none();
        boot.get_or_insert(at.saturating_duration_since(begun).as_secs_f64());
        first
    }

    fn count_up(&self) {
        let up = self.job.up.fetch_add(1, Ordering::Relaxed) + 1;
        self.consoles.progress(up);
    }

    /// The same at every end: nothing of the job stays but its logs.
    fn finish(mut self, refused: Option<Error>) -> Summary {
        let ending =
            self.verdict.ending().cloned().unwrap_or_else(|| verdict::Ending {
                status: refused.as_ref().map_or(status::HOST, Error::exit_status),
                cause: Some(refused.map_or_else(
                    || "the job's supervisor failed".into(),
                    |error| error.to_string(),
                )),
            });
        // What other ranks' kernels say because their job has failed would only hide the cause.
        self.consoles.hide_kernels();
        // The memory of domains is given back before they are destroyed, or they would linger.
        // Attachments that came too late for the engine are among the events.
        let traffic = self.engine.stop();
        self.ranks.stop();
        while self.incoming.try_recv().is_ok() {}
        self.ranks.end();
        self.consoles.finish();
        let killed = matches!(ending.status, status::INTERRUPTED | status::KILLED);
        wait_for_client(&self.console_thread, &self.incoming, &self.client, killed);
        for (rank, summary) in (0..).zip(&mut self.summaries) {
            summary.status = self.verdict.exit_status(rank);
            summary.traffic = traffic.get(rank as usize).copied().unwrap_or_default();
        }
        Summary {
            job: self.job.name.clone(),
            status: ending.status,
            cause: ending.cause,
            seconds: self.job.started.elapsed().as_secs_f64(),
            ranks: self.summaries,
        }
    }
}

/// Waits until the client has been sent all lines. One that takes its time may, unless the job is
/// to be killed.
fn wait_for_client(
    consoles: &JoinHandle<()>,
    incoming: &Receiver<Event>,
    client: &Client,
    mut killed: bool,
) {
    let mut since = Instant::now();
    while !consoles.is_finished() {
        if !killed && incoming.try_iter().any(|event| matches!(event, Event::Kill(_))) {
            (killed, since) = (true, Instant::now());
        }
        if killed && since.elapsed() > CLIENT_PATIENCE {
            client.cut_off();
        }
        thread::sleep(Duration::from_millis(2));
    }
}

//! Runs one job from its start to its end, and leaves nothing of it.

use std::fs;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::client::JobClient;
use super::consoles::Consoles;
use super::domains::{self, Domains};
use super::event::JobEvent;
use super::handle::Job;
use super::processes::Processes;
use super::ranks::Ranks;
use super::summary::Summaries;
use super::verdict::{Ending, Verdict};
use crate::control::{RankKind, Reply, Summary};
use crate::engine::{Engine, Pause};
use crate::error::{Context, Error, Result, status};
use crate::run_dir::RunDir;

/// How long a client that does not read its lines may hold up a job that is to be killed.
const CLIENT_PATIENCE: Duration = Duration::from_secs(3);

/// Runs a job to its end, in this thread, which must live as long as the job: ranks that are
/// processes are killed when it ends. `ended` is called when nothing of the job is left, before the
/// client hears of it.
pub fn supervise(
    job: &Arc<Job>,
    incoming: Receiver<JobEvent>,
    run_dir: &RunDir,
    stream: UnixStream,
    ended: impl FnOnce(),
) {
    let client = Arc::new(JobClient::new(stream));
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
    incoming: Receiver<JobEvent>,
    client: Arc<JobClient>,
    consoles: Consoles,
    console_thread: JoinHandle<()>,
    engine: Engine,
    ranks: Box<dyn Ranks>,
    verdict: Verdict,
    summaries: Summaries,
}

impl Supervisor {
    /// Sets everything up but starts no rank.
    fn start(
        job: &Arc<Job>,
        incoming: Receiver<JobEvent>,
        run_dir: &RunDir,
        client: Arc<JobClient>,
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
        let tell = move |notice| drop(events.send(JobEvent::Engine(notice)));
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
        Ok(Self {
            job: job.clone(),
            incoming,
            client,
            consoles,
            console_thread,
            engine,
            ranks,
            verdict: Verdict::new(spec.size),
            summaries: Summaries::new(spec),
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

    fn take(&mut self, event: JobEvent) {
        match event {
            JobEvent::Begun { rank, at } => {
                self.summaries.begun(rank, at);
                if self.job.spec.kind == RankKind::Hosted {
                    self.count_up();
                }
            }
            JobEvent::Up { rank, at } => {
                if self.summaries.booted(rank, at) {
                    self.count_up();
                }
            }
            JobEvent::NotCreated { rank, error } => self.verdict.not_created(rank, &error),
            JobEvent::Attached { rank, attachment } => {
                if self.job.spec.kind == RankKind::Hosted {
                    self.summaries.booted(rank, Instant::now());
                }
                self.engine.attach(rank, attachment);
                self.verdict.attached(rank);
            }
            JobEvent::AttachRefused { rank, cause } => self.verdict.attach_refused(rank, &cause),
            JobEvent::Fatal { rank, cause } => {
                self.verdict.fatal(rank, cause);
                self.consoles.drain(rank);
            }
            JobEvent::Ended { rank, end } => {
                self.verdict.ended(rank, end);
                self.consoles.drain(rank);
            }
            JobEvent::Drained { rank } => self.verdict.drained(rank),
            JobEvent::Engine(notice) => self.verdict.engine(notice),
            JobEvent::Kill(reason) => self.verdict.kill(reason),
        }
    }

    fn count_up(&self) {
        let up = self.job.count_up();
        self.consoles.progress(up);
    }

    /// The same at every end: nothing of the job stays but its logs.
    fn finish(mut self, refused: Option<Error>) -> Summary {
        let ending =
            self.verdict.ending().cloned().unwrap_or_else(|| Ending {
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
        let traffic = self.engine.end();
        self.ranks.stop();
        while self.incoming.try_recv().is_ok() {}
        self.ranks.end();
        self.consoles.finish();
        let killed = matches!(ending.status, status::INTERRUPTED | status::KILLED);
        wait_for_client(&self.console_thread, &self.incoming, &self.client, killed);
        Summary {
            job: self.job.name.clone(),
            status: ending.status,
            cause: ending.cause,
            seconds: self.job.started.elapsed().as_secs_f64(),
            ranks: self.summaries.finish(&self.verdict, &traffic),
        }
    }
}

/// Waits until the client has been sent all lines. One that takes its time may, unless the job is
/// to be killed.
fn wait_for_client(
    consoles: &JoinHandle<()>,
    incoming: &Receiver<JobEvent>,
    client: &JobClient,
    mut killed: bool,
) {
    let mut since = Instant::now();
    while !consoles.is_finished() {
        if !killed && incoming.try_iter().any(|event| matches!(event, JobEvent::Kill(_))) {
            (killed, since) = (true, Instant::now());
        }
        if killed && since.elapsed() > CLIENT_PATIENCE {
            client.cut_off();
        }
        thread::sleep(Duration::from_millis(2));
    }
}

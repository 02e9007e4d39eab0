//! Runs one job from its start to its end, and leaves nothing of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::client::JobClient;
use super::clock::JobClock;
use super::consoles::{ConsoleReport, Consoles};
use super::domains::{self, Domains};
use super::event::{End, JobEvent};
use super::handle::Job;
use super::keeper::Keeper;
use super::open_files::OpenFiles;
use super::processes::{self, Processes};
use super::ranks::Ranks;
use super::restoring;
use super::summary::Summaries;
use super::verdict::{JobEnding, Verdict, crash};
use crate::control::{JobSpec, OutputSummary, RankKind, RankSignal, Reply, Summary};
use crate::engine::{Engine, Notice, Pause};
use crate::error::{Context, Error, Result, status};
use crate::recovery::Lines;
use crate::run_dir::{JobFolder, JobFolders, RunDir};

/// How long a client that takes nothing may hold up a job that is to be killed.
const CLIENT_PATIENCE: Duration = Duration::from_millis(500);
/// How long xenconsoled may pass on nothing of what it has to, and in a job that is to be killed.
const CONSOLE_PATIENCE: Duration = Duration::from_secs(20);
const CONSOLE_PATIENCE_KILLED: Duration = Duration::from_secs(1);

/// How often to look whether ranks wait for one that has left.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Runs a job to its end, in this thread, which must live as long as the job: ranks that are
/// processes are killed when it ends. `ended` is called when nothing of the job is left, before the
/// client hears of it.
pub fn supervise(
    job: &Arc<Job>,
    incoming: Receiver<JobEvent>,
    run_dir: &RunDir,
    open_files: &OpenFiles,
    ended: impl FnOnce(),
) {
    let client = job.client.clone();
    let promise = open_files.promise(&job.spec);
    let checked = promise.and_then(|promise| check(&job.spec).map(|()| promise));
    let begun = checked.and_then(|promise| Ok((promise, run_dir.begin_job(&job.name)?)));
    let result = begun.and_then(|(_promise, JobFolders { record, logs })| {
        let record_path = record.path().to_owned();
        let logs = logs.as_ref().map(JobFolder::path);
        let kept = logs.zip(job.origin()).map_or(Ok(()), |(logs, origin)| origin.keep(logs));
        if let Err(error) = kept {
            tracing::warn!(%error, job = job.name, "`pgas logs` will not know the runs before");
        }
        let socket = run_dir.ranks_socket();
        let run = || {
            let client = client.clone();
            let set_up =
                Supervisor::set_up(job, incoming, socket, record_path.clone(), logs, client);
            set_up.map(Supervisor::run)
        };
        let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
            // In the middle of setting up or of cleaning up: whatever is left has the job's name.
            end_by_name(job, &record_path);
            Err(Error::SupervisorPanicked)
        });
        record.remove();
        result
    });
    ended();
    match result {
        Ok(summary) => {
            let cause = summary.cause.as_deref().unwrap_or("none");
            tracing::info!(job = job.name, status = summary.status, cause, "the job has ended");
            let sum = |bytes: fn(&OutputSummary) -> u64| -> u64 {
                summary.ranks.iter().map(|rank| bytes(&rank.output)).sum()
            };
            let (lost, unsent) = (sum(|output| output.lost), sum(|output| output.unsent));
            if lost + unsent > 0 {
                tracing::warn!(job = job.name, lost, unsent, "bytes of its output were not shown");
            }
            client.send(&Reply::Ended(summary));
        }
        Err(error) => {
            tracing::info!(job = job.name, %error, "the job could not be started");
            client.send(&Reply::Refused { status: error.exit_status(), text: error.to_string() });
        }
    }
}

/// Whether the host can run such a job.
fn check(spec: &JobSpec) -> Result<()> {
    match spec.kind {
        RankKind::Xen => domains::check(spec),
        RankKind::Hosted => Ok(()),
    }
}

/// Ends ranks of which nothing but the job is known.
fn end_by_name(job: &Job, record: &Path) {
    match job.spec.kind {
        RankKind::Hosted => processes::end_left_behind(&job.name, record),
        RankKind::Xen => {
            if let Err(error) = domains::destroy_all(&job.name, record) {
                tracing::error!(%error, job = job.name, "domains may be left behind");
            }
        }
    }
}

struct Supervisor {
    job: Arc<Job>,
    incoming: Receiver<JobEvent>,
    client: Arc<JobClient>,
    consoles: Consoles,
    console_thread: JoinHandle<ConsoleReport>,
    engine: Engine,
    ranks: Box<dyn Ranks>,
    verdict: Verdict,
    clock: JobClock,
    summaries: Summaries,
    keeper: Option<Keeper>,
}

impl Supervisor {
    /// Sets everything up but starts no rank.
    fn set_up(
        job: &Arc<Job>,
        incoming: Receiver<JobEvent>,
        ranks_socket: PathBuf,
        record: PathBuf,
        logs: Option<&Path>,
        client: Arc<JobClient>,
    ) -> Result<Self> {
        let spec = &job.spec;
        let written = job.saved.as_ref().map_or(&[][..], |saved| saved.written());
        let (consoles, console_thread) =
            Consoles::start(&job.name, spec, logs, client.clone(), written)?;
        let parts = Self::engine_and_ranks(job, ranks_socket, record, &consoles);
        let (engine, ranks) = match parts {
            Ok(parts) => parts,
            Err(error) => {
                consoles.finish();
                let _ = console_thread.join();
                return Err(error);
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
            clock: JobClock::new(job.started),
            summaries: Summaries::new(spec),
            keeper: None,
        })
    }

    fn engine_and_ranks(
        job: &Arc<Job>,
        ranks_socket: PathBuf,
        record: PathBuf,
        consoles: &Consoles,
    ) -> Result<(Engine, Box<dyn Ranks>)> {
        let spec = &job.spec;
        let events = job.events.clone();
        let tell = move |notice| drop(events.send(JobEvent::Engine(notice)));
        let pause = match spec.kind {
            RankKind::Hosted => Pause::Yield,
            RankKind::Xen => Pause::Spin,
        };
        let engine = match &job.saved {
            Some(saved) => Engine::restore(&job.name, saved.traffic().to_vec(), pause, tell),
            None => Engine::start(&job.name, spec.size, pause, tell),
        };
        let engine = engine.context(|| "start the engine")?;
        job.record.get_or_init(|| record.clone());
        job.consoles.get_or_init(|| consoles.clone());
        if job.saved.is_none() {
            job.lines.get_or_init(|| Lines::new(engine.orders(), 0));
        }
        let (consoles, events) = (consoles.clone(), job.events.clone());
        let ranks: Box<dyn Ranks> = match spec.kind {
            RankKind::Hosted => {
                Box::new(Processes::new(job.clone(), ranks_socket, &record, consoles))
            }
            RankKind::Xen => {
                let input = job.take_input();
                let saved = job.saved.clone();
                Box::new(Domains::new(&job.name, spec, saved, record, consoles, events, input)?)
            }
        };
        Ok((engine, ranks))
    }

    fn run(mut self) -> Summary {
        self.client.send(&Reply::Started(self.job.name.clone()));
        let followed = catch_unwind(AssertUnwindSafe(|| self.follow()));
        let failed = followed.unwrap_or(Err(Error::SupervisorPanicked)).err();
        self.finish(failed)
    }

    /// Starts the ranks, and takes events until the job's end is certain.
    fn follow(&mut self) -> Result<()> {
        self.ranks.start()?;
        let mut next_look = Instant::now();
        while self.verdict.ending().is_none() {
            let limit = self.job.spec.timeout;
            let deadline = limit.and_then(|limit| Some((self.clock.deadline(limit)?, limit)));
            let look = self.verdict.wants_standings().then_some(next_look);
            let until = deadline.map(|(at, _)| at).into_iter().chain(look).min();
            let event = match until {
                Some(at) => {
                    self.incoming.recv_timeout(at.saturating_duration_since(Instant::now()))
                }
                None => self.incoming.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            if let Some((_, limit)) = deadline.filter(|(at, _)| now >= *at) {
                self.verdict.timed_out(limit);
            }
            if look.is_some_and(|at| now >= at) {
                // An engine that has ended has said so already.
                self.verdict.standings(&self.engine.standings().unwrap_or_default());
                next_look = Instant::now() + LOOK_EVERY;
            }
        }
        Ok(())
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
            JobEvent::Fatal { rank, cause } => self.verdict.fatal(rank, cause),
            JobEvent::Ended { rank, end } => {
                // Before it counts as one that stands still.
                if let End::Exited(status) = end {
                    self.job.note_end(rank, status);
                }
                // Only one that has ended by itself is what its memory says; with one that has
                // crashed there is no line.
                if matches!(end, End::Exited(_)) {
                    self.engine.ended(rank);
                }
                self.verdict.ended(rank, end);
            }
            JobEvent::Engine(Notice::Open) => {
                self.verdict.engine(Notice::Open);
                self.runs();
            }
            JobEvent::Engine(Notice::Waiting) => self.restore(),
            JobEvent::Engine(notice) => self.verdict.engine(notice),
            JobEvent::Landed(Ok(())) => self.landed(),
            JobEvent::Landed(Err(why)) => self.verdict.not_restored(&why),
            JobEvent::Saved(words) => self.verdict.saved(words),
            JobEvent::Signal(signal) => {
                self.ranks.signal(signal);
                self.clock.take(signal, Instant::now());
                match signal {
                    // Domains go on.
                    _ if self.job.spec.kind == RankKind::Xen => {}
                    RankSignal::Stop => self.engine.ranks_are_stopped(true),
                    RankSignal::GoOn => self.engine.ranks_are_stopped(false),
                    RankSignal::User1 | RankSignal::User2 => {}
                }
            }
            // No time passes for a job that is held, as for one that is stopped.
            JobEvent::Held => self.clock.take(RankSignal::Stop, Instant::now()),
            JobEvent::Released => self.clock.take(RankSignal::GoOn, Instant::now()),
            // Nothing is asked of other hosts yet: with this the other proxy sees the link end.
            JobEvent::Link { host, stream } => {
                tracing::warn!(job = self.job.name, host, "a link is not used yet");
                drop(stream);
            }
            JobEvent::Kill(reason) => self.verdict.kill(reason),
        }
    }

    /// All domains of a restored job wait for their memory.
    fn restore(&mut self) {
        let Some(saved) = self.job.saved.clone() else { return };
        let (engine, events) = (self.engine.orders(), self.job.events.clone());
        if let Err(error) = restoring::start(&self.job.name, saved, engine, events) {
            self.verdict.not_restored(&format!("start a thread: {error}"));
        }
    }

    /// The domains of a restored job are its ranks now.
    fn landed(&mut self) {
        let Some(saved) = self.job.saved.clone() else { return };
        self.verdict.engine(Notice::Open);
        for (rank, status) in saved.ended() {
            self.job.note_end(rank, status);
            self.verdict.ended(rank, End::Exited(status));
        }
        self.job.lines.get_or_init(|| Lines::new(self.engine.orders(), saved.incarnation()));
        tracing::info!(job = self.job.name, seconds = ?self.job.started.elapsed(), "restored");
        self.runs();
    }

    /// All ranks are served, and the job can be saved now; has that done again and again, if it is
    /// wanted.
    fn runs(&mut self) {
        self.client.send(&Reply::Running);
        self.job.note_open();
        let Some(saving) = self.job.spec.saving.clone() else { return };
        let Some(every) = saving.every.filter(|_| self.keeper.is_none()) else { return };
        match Keeper::start(&self.job, &saving, every) {
            Ok(keeper) => self.keeper = Some(keeper),
            Err(error) => {
                let notice = format!("the job is not saved: start a thread: {error}");
                self.client.send(&Reply::Notice(notice));
            }
        }
    }

    /// Logs how the ranks are, of a job that may hang.
    fn log_states(&self) {
        match self.engine.describe() {
            Ok(ranks) => ranks.iter().for_each(|(rank, state)| {
                tracing::info!(job = self.job.name, rank, state, "ended from outside");
            }),
            Err(error) => {
                tracing::info!(
                    job = self.job.name,
                    %error,
                    up = self.job.info().up,
                    "ended from outside before all ranks were attached"
                );
            }
        }
    }

    fn count_up(&self) {
        let up = self.job.count_up();
        self.consoles.progress(up);
    }

    /// The same at every end: nothing of the job stays but its logs.
    fn finish(mut self, failed: Option<Error>) -> Summary {
        let ending_seconds = self.job.started.elapsed().as_secs_f64();
        let mut ending = self.verdict.ending().cloned().unwrap_or_else(|| {
            let error = failed.unwrap_or(Error::SupervisorPanicked);
            JobEnding::failure(error.exit_status(), error.to_string())
        });
        let is_killed = matches!(ending.status, status::INTERRUPTED | status::KILLED);
        if is_killed || ending.status == status::TIMEOUT {
            self.log_states();
        }
        // Before the engine ends, or ranks would say that the proxy is gone.
        self.ranks.stop();
        // The memory of domains is given back before they are destroyed, or they would linger.
        // Attachments that came too late for the engine are among the events.
        let traffic = self.engine.end();
        let is_killed = is_killed || is_killed_by_now(&self.incoming);
        if let Some(keeper) = self.keeper.take() {
            // What was copied before is good to go back to.
            keeper.stop(!is_killed && ending.is_accident);
        }
        // What domains have written is read before they are destroyed, or it would be lost.
        let patience = if is_killed { CONSOLE_PATIENCE_KILLED } else { CONSOLE_PATIENCE };
        self.consoles.settle(patience);
        let left = self.ranks.end().err();
        self.consoles.finish();
        let (incoming, client) = (&self.incoming, &self.client);
        let report =
            wait_for_client(self.console_thread, incoming, &self.consoles, client, is_killed);
        if let Some(rank) = self.verdict.silent_crash()
            && let Some(Some(cause)) = report.last_words.get(rank as usize)
        {
            ending.cause = Some(crash(rank, cause));
        }
        let mut ranks = self.summaries.finish(self.job.started, &self.verdict, &traffic);
        for (rank, output) in ranks.iter_mut().zip(&report.output) {
            rank.output = *output;
        }
        if ending.status == 0
            && let Some(ending_with_loss) = loss(&report)
        {
            ending = ending_with_loss;
        }
        if let Some(error) = left {
            tracing::error!(%error, job = self.job.name, "ranks may be left behind");
            ending = with_ranks_left(ending, &error);
        }
        Summary {
            job: self.job.name.clone(),
            status: ending.status,
            cause: ending.cause,
            is_accident: ending.is_accident,
            lost_host: None,
            seconds: self.job.started.elapsed().as_secs_f64(),
            ending_seconds,
            ranks,
        }
    }
}

/// Whether somebody wants a job to end that is ending already. Forgets all other events.
fn is_killed_by_now(incoming: &Receiver<JobEvent>) -> bool {
    // Looks at all of them: attachments have memory mapped.
    incoming.try_iter().filter(|event| matches!(event, JobEvent::Kill(_))).count() > 0
}

/// Waits until the client has taken all output. One that takes its time may, unless the job is to
/// be killed.
fn wait_for_client(
    console_thread: JoinHandle<ConsoleReport>,
    incoming: &Receiver<JobEvent>,
    consoles: &Consoles,
    client: &JobClient,
    mut killed: bool,
) -> ConsoleReport {
    let (mut taken, mut since) = (client.taken(), Instant::now());
    while !console_thread.is_finished() {
        if !killed && is_killed_by_now(incoming) {
            (killed, since) = (true, Instant::now());
        }
        if client.taken() != taken {
            (taken, since) = (client.taken(), Instant::now());
        }
        if killed && since.elapsed() > CLIENT_PATIENCE {
            consoles.abandon();
            since = Instant::now();
        }
        thread::sleep(Duration::from_millis(2));
    }
    console_thread.join().unwrap_or_default()
}

/// The end of a job of which there may still be ranks on the host.
fn with_ranks_left(ending: JobEnding, why: &Error) -> JobEnding {
    let JobEnding { status, cause, is_accident } = ending;
    let status = if status == 0 { status::HOST } else { status };
    let before = cause.map_or(String::new(), |cause| format!("{cause}; "));
    let cause = Some(format!("{before}its ranks may be left behind: {why}"));
    JobEnding { status, cause, is_accident }
}

/// The end of a job whose ranks have all ended well, and of whose output something was lost.
fn loss(report: &ConsoleReport) -> Option<JobEnding> {
    let ranks = || (0u32..).zip(&report.output);
    let total =
        |bytes: fn(&OutputSummary) -> u64| ranks().map(|(_, rank)| bytes(rank)).sum::<u64>();
    if let Some((rank, _)) = ranks().find(|(_, output)| output.lost > 0) {
        let cause = format!(
            "{} bytes of its ranks' output were lost, first of rank {rank}'s: \
             they could not be read from the console",
            total(|output| output.lost)
        );
        return Some(JobEnding::failure(status::HOST, cause));
    }
    let unsent = total(|output| output.unsent);
    (unsent > 0).then(|| {
        let cause = format!("it was ended with {unsent} bytes of output still to be shown");
        JobEnding::failure(status::KILLED, cause)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::job::event::End;

    fn spec(timeout: Option<Duration>) -> JobSpec {
        JobSpec { timeout, ..JobSpec::smallest() }
    }

    /// Ranks that do as they are told when they are started, and note that they are ended.
    struct Scripted<S> {
        start: S,
        end: Option<Error>,
        ended: Arc<AtomicBool>,
    }

    impl<S: FnMut() -> Result<()> + Send> Ranks for Scripted<S> {
        fn start(&mut self) -> Result<()> {
            (self.start)()
        }

        fn signal(&mut self, _: RankSignal) {}

        fn stop(&mut self) {}

        fn end(&mut self) -> Result<()> {
            self.ended.store(true, Ordering::Relaxed);
            self.end.take().map_or(Ok(()), Err)
        }
    }

    /// Runs a job whose ranks do so when they are started.
    fn run(spec: JobSpec, start: impl Fn(&Job) -> Result<()> + Send + Sync + 'static) -> Summary {
        run_to(spec, start, None)
    }

    /// The same, of ranks that cannot be ended for that reason.
    fn run_to(
        spec: JobSpec,
        start: impl Fn(&Job) -> Result<()> + Send + Sync + 'static,
        end: Option<Error>,
    ) -> Summary {
        let logs = tempfile::tempdir().unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let client = Arc::new(JobClient::new(ours).unwrap());
        let (job, incoming) = Job::new("abcdef".into(), spec.clone(), client.clone()).unwrap();
        let (consoles, console_thread) =
            Consoles::start(&job.name, &spec, Some(logs.path()), client.clone(), &[]).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let started = job.clone();
        let clock = JobClock::new(job.started);
        let supervisor = Supervisor {
            job,
            clock,
            incoming,
            client,
            consoles,
            console_thread,
            engine: Engine::start("test", spec.size, Pause::Yield, |_| {}).unwrap(),
            ranks: Box::new(Scripted { start: move || start(&started), end, ended: ended.clone() }),
            verdict: Verdict::new(spec.size),
            summaries: Summaries::new(&spec),
            keeper: None,
        };
        let summary = supervisor.run();
        assert!(ended.load(Ordering::Relaxed), "the ranks are left");
        summary
    }

    #[test]
    fn a_panic_ends_the_ranks_and_is_told() {
        let summary = run(spec(None), |_| panic!("as the test wants"));
        assert_eq!(summary.status, status::HOST);
        assert!(summary.cause.unwrap().contains("panicked"));
    }

    #[test]
    fn a_limit_beyond_all_time_is_none() {
        for limit in [Duration::MAX, Duration::from_secs_f64(1e19)] {
            let summary = run(spec(Some(limit)), |job| {
                job.send(JobEvent::Ended { rank: 0, end: End::Exited(3) });
                Ok(())
            });
            assert_eq!(summary.status, 3, "{summary:?}");
        }
    }

    #[test]
    fn ranks_that_are_left_are_told_of() {
        for (exit, status, cause) in [
            (0, status::HOST, "its ranks may be left behind: `xl destroy` failed: busy"),
            (3, 3, "rank 0 exited with status 3; its ranks may be left behind: `xl"),
        ] {
            let busy = Error::Tool { command: "xl destroy".into(), why: "busy".into() };
            let start = move |job: &Job| {
                job.send(JobEvent::Ended { rank: 0, end: End::Exited(exit) });
                Ok(())
            };
            let summary = run_to(spec(None), start, Some(busy));
            assert_eq!(summary.status, status);
            assert!(summary.cause.as_ref().unwrap().starts_with(cause), "{summary:?}");
        }
    }

    #[test]
    fn a_limit_is_kept() {
        let summary = run(spec(Some(Duration::from_millis(30))), |_| Ok(()));
        assert_eq!(summary.status, status::TIMEOUT);
    }

    #[test]
    fn a_start_that_fails_ends_the_ranks() {
        let summary = run(spec(None), |_| Err(Error::NotRoot));
        assert_eq!(summary.status, Error::NotRoot.exit_status());
    }
}

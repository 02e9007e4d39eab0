//! Runs one job from its start to its end, and leaves nothing of it.

use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::client::JobClient;
use super::clock::JobClock;
use super::consoles::{ConsoleReport, Consoles};
use super::dialling::{Dialling, NotConnected, dialled_hosts};
use super::domains::{self, Domains};
use super::event::{End, JobEvent};
use super::handle::Job;
use super::keeper::Keeper;
use super::links::AwaitedLinks;
use super::open_files::OpenFiles;
use super::processes::{self, Processes};
use super::ranks::Ranks;
use super::restoring;
use super::summary::Summaries;
use super::verdict::{JobEnding, Verdict, crash};
use crate::control::{JobSpec, OutputSummary, Part, RankKind, RankSignal, Reply, Summary};
use crate::engine::{Engine, Notice, Pause, Placement};
use crate::error::{Context, Error, Result, status};
use crate::membership::{self, MembershipError, Purpose};
use crate::recovery::Lines;
use crate::run_dir::{JobFolder, JobFolders, RunDir};

/// How long a client that takes nothing may hold up a job that is to be killed.
const CLIENT_PATIENCE: Duration = Duration::from_millis(500);
/// How long xenconsoled may pass on nothing of what it has to, and in a job that is to be killed.
const CONSOLE_PATIENCE: Duration = Duration::from_secs(20);
const CONSOLE_PATIENCE_KILLED: Duration = Duration::from_secs(1);

/// How often to look whether ranks wait for one that has left.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long to try to connect with another host; and how long ranks that are attached here may wait
/// for its link.
const LINK_PATIENCE: Duration = Duration::from_secs(60);

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
            end_by_name(job, &record_path, &run_dir.ranks_socket());
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
fn end_by_name(job: &Job, record: &Path, ranks_socket: &Path) {
    match job.spec.kind {
        RankKind::Hosted => processes::end_left_behind(&job.name, record, ranks_socket),
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
    links: AwaitedLinks,
    /// Tries to connect with other hosts.
    dialling: Option<Dialling>,
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
            verdict: verdict_of(spec),
            clock: JobClock::new(job.started),
            summaries: Summaries::new(spec),
            keeper: None,
            links: AwaitedLinks::new(spec, LINK_PATIENCE),
            dialling: None,
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
        let engine = match (&job.saved, &spec.part) {
            (Some(saved), _) => Engine::restore(&job.name, saved.traffic().to_vec(), pause, tell),
            (None, Some(part)) => Engine::start_part(&job.name, placement_of(part), pause, tell),
            (None, None) => Engine::start(&job.name, spec.size, pause, tell),
        };
        let engine = engine.context(|| "start the engine")?;
        job.record.get_or_init(|| record.clone());
        job.consoles.get_or_init(|| consoles.clone());
        if job.saved.is_none() && spec.part.is_none() {
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
        self.dial()?;
        self.ranks.start()?;
        let mut next_look = Instant::now();
        let mut has_told = false;
        while self.verdict.ending().is_none() {
            // A part whose ranks have ended waits for those of other hosts, whose time it is.
            let waits = self.verdict.ranks_have_ended();
            if waits && !has_told {
                self.client.send(&Reply::RanksEnded);
                has_told = true;
            }
            let limit = self.job.spec.timeout.filter(|_| !waits);
            let deadline = limit.and_then(|limit| Some((self.clock.deadline(limit)?, limit)));
            let link = self.links.deadline().filter(|_| !waits);
            let look = self.verdict.wants_standings().then_some(next_look);
            let until = [deadline.map(|(at, _)| at), link.map(|(_, at)| at), look];
            let until = until.into_iter().flatten().min();
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
            if let Some((host, _)) = self.links.deadline().filter(|(_, at)| now >= *at) {
                let address = self.job.spec.part.as_ref().map_or("", |part| part.address(host));
                self.verdict.not_linked(host, address, self.links.patience());
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
                self.links.attached(rank, Instant::now());
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
            JobEvent::Link { host, stream } => {
                self.links.linked(host);
                self.engine.link(host, stream);
            }
            JobEvent::Finish => {
                if !self.verdict.finish() {
                    let job = &self.job.name;
                    tracing::warn!(job, "a client says that all ranks have ended, and some run");
                }
            }
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
            JobEvent::Kill(reason) => self.verdict.kill(reason),
        }
    }

    /// Begins to connect with other hosts, if the job is over several.
    fn dial(&mut self) -> Result<()> {
        let Some(part) = self.job.spec.part.clone() else { return Ok(()) };
        let job = self.job.name.clone();
        let hosts = dialled_hosts(&part);
        let connect = move |host| connect(&job, &part, host);
        let dialling = Dialling::start(&hosts, LINK_PATIENCE, connect, &self.job.events);
        self.dialling = Some(dialling.context(|| "start a thread")?);
        Ok(())
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
        self.dialling = None;
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
            lost_host: ending.lost_host,
            seconds: self.job.started.elapsed().as_secs_f64(),
            ending_seconds,
            ranks,
        }
    }
}

/// Which ranks of a job are on which host.
fn placement_of(part: &Part) -> Placement {
    Placement { host: part.host, of: part.placement.clone() }
}

/// What this host has of a job of which nothing is known.
fn verdict_of(spec: &JobSpec) -> Verdict {
    match spec.part {
        Some(_) => Verdict::of_part(spec.size, |rank| spec.is_here(rank)),
        None => Verdict::new(spec.size),
    }
}

/// Connects with the proxy of another host, for the job that it has a part of too.
fn connect(job: &str, part: &Part, host: u32) -> Result<TcpStream, NotConnected> {
    let purpose = Purpose::Fabric { job: job.into(), from: part.host };
    let member = membership::connect(part.address(host), &part.secret, &purpose);
    Ok(member.map_err(|error| not_connected(&error))?.into_plain())
}

/// Whether that is worth another try. A proxy that does not know the job yet hangs up, which may
/// be seen in several ways.
fn not_connected(error: &MembershipError) -> NotConnected {
    let is_final = matches!(
        error,
        MembershipError::Unresolved { .. }
            | MembershipError::Stranger { .. }
            | MembershipError::WrongSecret { .. }
            | MembershipError::OtherVersion { .. }
    );
    NotConnected { may_pass: !is_final, why: error.to_string() }
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
    let JobEnding { status, cause, is_accident, lost_host } = ending;
    let status = if status == 0 { status::HOST } else { status };
    let before = cause.map_or(String::new(), |cause| format!("{cause}; "));
    let cause = Some(format!("{before}its ranks may be left behind: {why}"));
    JobEnding { status, cause, is_accident, lost_host }
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
    use crate::attach::made_up::MadeUpDomain;
    use crate::control::RankSummary;
    use crate::job::event::{End, KillReason};

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
        run_to(spec, start, None).0
    }

    /// The same, of ranks that cannot be ended for that reason. What the client has heard, too.
    fn run_to(
        spec: JobSpec,
        start: impl Fn(&Job) -> Result<()> + Send + Sync + 'static,
        end: Option<Error>,
    ) -> (Summary, Vec<Reply>) {
        let logs = tempfile::tempdir().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
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
            engine: match &spec.part {
                Some(part) => Engine::start_part("test", placement_of(part), Pause::Yield, |_| {}),
                None => Engine::start("test", spec.size, Pause::Yield, |_| {}),
            }
            .unwrap(),
            ranks: Box::new(Scripted { start: move || start(&started), end, ended: ended.clone() }),
            verdict: verdict_of(&spec),
            summaries: Summaries::new(&spec),
            keeper: None,
            links: AwaitedLinks::new(&spec, Duration::from_millis(30)),
            dialling: None,
        };
        let summary = supervisor.run();
        assert!(ended.load(Ordering::Relaxed), "the ranks are left");
        theirs.set_nonblocking(true).unwrap();
        let heard = std::iter::from_fn(|| message_frame::receive(&theirs).ok().flatten());
        (summary, heard.collect())
    }

    /// A part of a job of three ranks, of which 0 and 2 are here, on host 0. Nobody dials.
    fn part() -> JobSpec {
        let part = Part { placement: vec![0, 1, 0], ..Part::smallest() };
        JobSpec { size: 3, part: Some(part), ..spec(None) }
    }

    fn has_ended(job: &Job, rank: u32, status: i32) {
        job.send(JobEvent::Ended { rank, end: End::Exited(status) });
    }

    fn count_of_ranks_ended(heard: &[Reply]) -> usize {
        heard.iter().filter(|reply| matches!(reply, Reply::RanksEnded)).count()
    }

    #[test]
    fn a_part_says_once_that_its_ranks_have_ended_and_ends_when_it_is_told() {
        let start = |job: &Job| {
            let at = Instant::now();
            [0, 2].into_iter().for_each(|rank| job.send(JobEvent::Begun { rank, at }));
            has_ended(job, 0, 0);
            // Too early, and not heeded.
            job.send(JobEvent::Finish);
            has_ended(job, 2, 0);
            let events = job.events.clone();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(30));
                let lost = Notice::HostLost { host: 1, why: "it was told first".into() };
                let _ = events.send(JobEvent::Engine(lost));
                let _ = events.send(JobEvent::Finish);
            });
            Ok(())
        };
        let (summary, heard) = run_to(part(), start, None);
        assert_eq!((summary.status, summary.cause.as_deref()), (0, None), "{heard:?}");
        assert_eq!(count_of_ranks_ended(&heard), 1, "{heard:?}");
        let statuses: Vec<_> = summary.ranks.iter().map(|rank| rank.status).collect();
        assert_eq!(statuses, [Some(0), None, Some(0)]);
        assert_eq!(summary.ranks[1], RankSummary::default());
        let ups: Vec<_> = heard.iter().filter(|reply| matches!(reply, Reply::Up(_))).collect();
        assert_eq!(ups.last(), Some(&&Reply::Up(2)));
    }

    #[test]
    fn a_part_ends_at_once_when_a_rank_fails_or_its_client_is_gone() {
        let (summary, heard) = run_to(
            part(),
            |job| {
                has_ended(job, 0, 3);
                Ok(())
            },
            None,
        );
        assert_eq!((summary.status, count_of_ranks_ended(&heard)), (3, 0), "{summary:?}");
        let (summary, heard) = run_to(
            part(),
            |job| {
                [0, 2].into_iter().for_each(|rank| has_ended(job, rank, 0));
                job.kill(KillReason::ClientGone);
                Ok(())
            },
            None,
        );
        assert_eq!((summary.status, count_of_ranks_ended(&heard)), (status::KILLED, 1));
    }

    #[test]
    fn a_whole_job_does_not_wait_to_be_told() {
        let (summary, heard) = run_to(
            spec(None),
            |job| {
                has_ended(job, 0, 0);
                Ok(())
            },
            None,
        );
        assert_eq!((summary.status, count_of_ranks_ended(&heard)), (0, 0));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let (address, source) = ("node0:7200".to_owned(), std::io::ErrorKind::Other.into());
        let away = not_connected(&MembershipError::Unreachable { address, source });
        assert!(away.may_pass && away.why.starts_with("node0:7200"));
        let stranger = MembershipError::WrongSecret { address: "node0:7200".into() };
        assert!(!not_connected(&stranger).may_pass);
    }

    #[test]
    fn ranks_that_are_attached_do_not_wait_forever_for_a_host() {
        let summary = run(part(), |job| {
            for rank in [0, 2] {
                let (_, attachment) = MadeUpDomain::new(rank + 1);
                job.send(JobEvent::Attached { rank, attachment });
            }
            Ok(())
        });
        assert_eq!((summary.status, summary.lost_host), (status::HOST, Some(1)), "{summary:?}");
        let expected = "no link with the proxy at 127.0.0.1:1 (host 1) in 0.03 s";
        assert_eq!(summary.cause.as_deref(), Some(expected));
        assert!(summary.is_accident);
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
            let (summary, _) = run_to(spec(None), start, Some(busy));
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

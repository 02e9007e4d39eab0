//! A job, as the rest of the daemon sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use armci_nostd::wire::attach::Attach;
use rustix::rand::{GetRandomFlags, getrandom};

use super::client::JobClient;
use super::consoles::Consoles;
use super::event::{JobEvent, KillReason};
use super::part::no_lines;
use super::saved::{self, SavedJob};
use super::saving::JobImage;
use crate::attach::MemoryProvider;
use crate::control::{CheckpointSpec, JobInfo, JobSpec, LineReport, RankKind, Reply};
use crate::engine::OrderError;
use crate::error::{Context, Error, Result};
use crate::images::{ImageStore, Line, as_argument};
use crate::membership::Secret;
use crate::recovery::{LineError, Lines};
use crate::run_dir::JobOrigin;

/// How often to look whether the ranks of a job have started that is to be saved.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A job as others see it.
#[derive(Debug)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// What it is to be.
    pub(super) spec: JobSpec,
    /// When it was asked for.
    pub(super) started: Instant,
    /// How many of its ranks have started here.
    up: AtomicU32,
    /// What ranks of this host that are processes attach with, by rank. Only they know, and whoever
    /// may read their environment.
    tokens: BTreeMap<u32, String>,
    /// Ranks that have attached, so that none does twice.
    attached: Mutex<BTreeSet<u32>>,
    /// Hosts that have connected with this one for its sake, so that none does twice.
    linked: Mutex<BTreeSet<u32>>,
    /// Who touches the memory of ranks that are processes before the daemon does.
    pub(super) memory: OnceLock<Arc<MemoryProvider>>,
    /// Goes to its supervisor.
    pub(super) events: Sender<JobEvent>,
    /// The user's standard input, until the ranks have it.
    input: Mutex<Option<OwnedFd>>,
    /// Who has asked for it.
    pub(super) client: Arc<JobClient>,
    /// The image that it is restored from, if it is.
    pub(super) saved: Option<Arc<SavedJob>>,
    /// The directory of its record, once it has one.
    pub(super) record: OnceLock<PathBuf>,
    /// What its ranks write, once they may.
    pub(super) consoles: OnceLock<Consoles>,
    /// Its recovery lines, once its engine serves it.
    pub(super) lines: OnceLock<Lines>,
    /// The statuses of ranks that have ended by themselves, by rank.
    ends: Mutex<Vec<Option<i32>>>,
    /// The directory of its newest image.
    images: Mutex<Option<PathBuf>>,
    /// Whether all of its ranks have started, or landed: before it cannot be saved.
    open: AtomicBool,
    /// Held while it is saved, old images being removed included.
    saving: Mutex<()>,
    /// How many have asked for it to be saved, and wait for their turn.
    askers: AtomicU32,
    /// Whether it is being saved for the last time: then it is not saved otherwise.
    leaves: AtomicBool,
}

impl Job {
    /// A new job that `client` has asked for, and the events that its supervisor will take.
    pub fn new(
        name: String,
        spec: JobSpec,
        client: Arc<JobClient>,
    ) -> Result<(Arc<Self>, Receiver<JobEvent>)> {
        Self::of(name, spec, None, client)
    }

    /// The same, of a job that was saved.
    pub fn restore(
        name: String,
        saved: Arc<SavedJob>,
        client: Arc<JobClient>,
    ) -> Result<(Arc<Self>, Receiver<JobEvent>)> {
        Self::of(name, saved.spec().clone(), Some(saved), client)
    }

    fn of(
        name: String,
        spec: JobSpec,
        saved: Option<Arc<SavedJob>>,
        client: Arc<JobClient>,
    ) -> Result<(Arc<Self>, Receiver<JobEvent>)> {
        let (events, incoming) = channel();
        let tokens = match spec.kind {
            RankKind::Hosted => {
                spec.ranks_here().map(|rank| Ok((rank, token()?))).collect::<Result<_>>()?
            }
            RankKind::Xen => BTreeMap::new(),
        };
        let job = Self {
            name,
            ends: Mutex::new(vec![None; spec.size as usize]),
            images: Mutex::new(match (&spec.saving, &saved) {
                (Some(saving), _) => Some(saving.directory.clone()),
                (None, saved) => saved.as_ref().map(|saved| saved.directory().to_owned()),
            }),
            saved,
            record: OnceLock::new(),
            consoles: OnceLock::new(),
            spec,
            started: Instant::now(),
            up: AtomicU32::new(0),
            tokens,
            attached: Mutex::default(),
            linked: Mutex::default(),
            memory: OnceLock::new(),
            events,
            input: Mutex::new(None),
            client,
            lines: OnceLock::new(),
            open: AtomicBool::new(false),
            saving: Mutex::default(),
            askers: AtomicU32::new(0),
            leaves: AtomicBool::new(false),
        };
        Ok((Arc::new(job), incoming))
    }

    /// What it goes on with, if it does.
    pub(super) fn origin(&self) -> Option<JobOrigin> {
        let after = self.spec.after.clone();
        (self.saved.is_some() || after.is_some()).then(|| JobOrigin {
            after,
            restored: self.saved.as_ref().map(|saved| saved.restored_line()),
            begins: self.saved.as_ref().map(|saved| saved.begins()).unwrap_or_default(),
        })
    }

    /// Takes the user's standard input, for its ranks.
    pub(super) fn take_input(&self) -> Option<OwnedFd> {
        self.input.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Gives it the user's standard input.
    pub fn set_input(&self, input: OwnedFd) {
        *self.input.lock().unwrap_or_else(PoisonError::into_inner) = Some(input);
    }

    /// How it is.
    pub fn info(&self) -> JobInfo {
        JobInfo {
            job: self.name.clone(),
            kind: self.spec.kind,
            size: self.spec.size,
            here: self.spec.count_here(),
            up: self.up.load(Ordering::Relaxed),
            image: self.spec.image.clone(),
            seconds: self.started.elapsed().as_secs_f64(),
            held: self.lines.get().is_some_and(Lines::is_held),
        }
    }

    /// How its ranks run.
    pub fn kind(&self) -> RankKind {
        self.spec.kind
    }

    /// Stops it at a recovery line, and keeps it there; ranks that are domains stand still.
    pub fn hold(&self) -> Result<()> {
        let parks = self.spec.kind == RankKind::Xen;
        self.with_lines("held", |lines| lines.hold(parks))?;
        self.send(JobEvent::Held);
        Ok(())
    }

    /// Lets it go on.
    pub fn release(&self) -> Result<()> {
        self.with_lines("released", Lines::release)?;
        self.send(JobEvent::Released);
        Ok(())
    }

    /// Whether a recovery line would have nothing to drain now, as far as can be told within
    /// `patience`.
    pub(super) fn is_quiet(&self, patience: Duration) -> bool {
        self.lines.get().is_some_and(|lines| lines.is_quiet(patience))
    }

    /// Saves it at a recovery line; with `stop` it ends there. Whoever saves it already comes to
    /// the end first.
    pub fn checkpoint(&self, asked: &CheckpointSpec) -> Result<LineReport> {
        self.askers.fetch_add(1, Ordering::Relaxed);
        let _turn = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        self.askers.fetch_sub(1, Ordering::Relaxed);
        self.save(asked)
    }

    /// The same, of whoever's turn it is.
    pub(super) fn save(&self, asked: &CheckpointSpec) -> Result<LineReport> {
        self.check_lines("saved")?;
        if self.spec.kind == RankKind::Hosted {
            let why = "its ranks are processes, and only domains can be".into();
            return Err(Error::NoLine { job: self.name.clone(), what: "saved", why });
        }
        let last = || self.images.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = asked.directory.clone().or_else(|| last().clone());
        let directory = directory.unwrap_or_else(|| asked.otherwise.clone());
        let (epoch, took, sizes) = self.with_lines("saved", |lines| {
            // It has all of them, or none.
            let record = self.record.get().ok_or(OrderError::NotRunning)?;
            let consoles = self.consoles.get().ok_or(OrderError::NotRunning)?;
            let store = ImageStore::open_or_create(&directory);
            let store =
                store.map_err(|error| LineError::Image(saved::refused(error).to_string()))?;
            let ends = || self.ends();
            let mut image = JobImage::new(&store, &self.name, &self.spec, record, consoles, &ends);
            let (epoch, took) = lines.save(asked.stop, &mut image)?;
            Ok((epoch, took, image.sizes()))
        })?;
        let line = Line { incarnation: epoch.incarnation.into(), number: epoch.number };
        *last() = Some(directory.clone());
        let report = LineReport {
            job: self.name.clone(),
            line: line.to_string(),
            stopped: asked.stop,
            written_through: took.through,
            at: took.at.as_millis() as u64,
            to_the_line: took.line.as_secs_f64(),
            drained: took.drained,
            park: took.park.as_secs_f64(),
            copy: took.copy.as_secs_f64(),
            stall: took.stall.as_secs_f64(),
            stalls: took.stalls.iter().map(Duration::as_secs_f64).collect(),
            write: took.write.as_secs_f64(),
            commit: took.commit.as_secs_f64(),
            sizes,
            directory,
        };
        let directory = report.directory.display();
        tracing::info!(
            job = self.name,
            %line,
            %directory,
            to_the_line = ?took.line,
            drained = took.drained,
            park = ?took.park,
            copy = ?took.copy,
            stall = ?took.stall,
            stalls = ?took.stalls,
            write = ?took.write,
            commit = ?took.commit,
            written_through = took.through,
            memory = sizes.memory,
            zero = sizes.zero,
            free = sizes.free,
            shared = sizes.shared,
            new = sizes.new,
            packed = sizes.packed,
            "saved"
        );
        self.client.saved(report.clone());
        if asked.stop {
            let directory = as_argument(&report.directory);
            self.send(JobEvent::Saved(format!(
                "saved as line {line}, and stopped: `pgas restore {directory}` goes on with it"
            )));
        }
        Ok(report)
    }

    /// Makes room for saving it.
    pub(super) fn make_room(&self) -> Result<()> {
        self.with_lines("saved", Lines::make_room)
    }

    /// Does what saves it without anybody having asked, after those who have; not when it is saved
    /// for the last time.
    pub(super) fn keep<T>(&self, save: impl FnOnce() -> T) -> Option<T> {
        while self.askers.load(Ordering::Relaxed) > 0 {
            thread::sleep(LOOK_AGAIN);
        }
        let _turn = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        if self.leaves.load(Ordering::Relaxed) { None } else { Some(save()) }
    }

    /// Its ranks have all started, or landed.
    pub(super) fn note_open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    /// Saves it where it was last saved, and ends it then. Ranks that are still to start are waited
    /// for, as long as somebody wants to hear of the job; and whoever saves it already comes to the
    /// end first.
    pub fn leave(&self) -> Result<LineReport> {
        self.check_lines("saved")?;
        while !self.open.load(Ordering::Relaxed) && !self.client.is_gone() {
            thread::sleep(LOOK_AGAIN);
        }
        self.leaves.store(true, Ordering::Relaxed);
        let turn = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.save_and_end();
        drop(turn);
        if left.is_err() {
            // It goes on.
            self.leaves.store(false, Ordering::Relaxed);
        }
        left
    }

    fn save_and_end(&self) -> Result<LineReport> {
        let directory = self.images.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let otherwise = PathBuf::from("/");
        self.save(&CheckpointSpec { job: self.name.clone(), directory, otherwise, stop: true })
    }

    /// Whether there can be recovery lines of it.
    fn check_lines(&self, what: &'static str) -> Result<()> {
        match self.spec.part {
            Some(_) => Err(no_lines(&self.name, what)),
            None => Ok(()),
        }
    }

    fn with_lines<T>(
        &self,
        what: &'static str,
        run: impl FnOnce(&Lines) -> std::result::Result<T, LineError>,
    ) -> Result<T> {
        self.check_lines(what)?;
        // A job that is being set up has no engine yet.
        let result = self.lines.get().map_or(Err(OrderError::NotRunning.into()), run);
        result.map_err(|why| Error::NoLine { job: self.name.clone(), what, why: why.to_string() })
    }

    /// The statuses of ranks that have ended by themselves, by rank.
    fn ends(&self) -> Vec<Option<i32>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// This rank has ended by itself.
    pub(super) fn note_end(&self, rank: u32, status: i32) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(end) = ends.get_mut(rank as usize) {
            end.get_or_insert(status);
        }
    }

    /// One more of its ranks has started here: how many those are now.
    pub(super) fn count_up(&self) -> u32 {
        self.up.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Tells the supervisor.
    pub fn send(&self, event: JobEvent) {
        // One that has ended does not care.
        let _ = self.events.send(event);
    }

    /// Tells the user something of it, in one line.
    pub fn notify(&self, line: String) {
        self.client.send(&Reply::Notice(line));
    }

    /// Its client has passed on output of this weight.
    pub fn client_has_taken(&self, weight: u64) {
        self.client.has_taken(weight);
    }

    /// Its client has passed on what it was told of a line.
    pub fn client_has_taken_report(&self) {
        self.client.has_taken_report();
    }

    /// Its client is gone, and with it the job.
    pub fn client_is_gone(&self) {
        self.client.cut_off();
        self.kill(KillReason::ClientGone);
    }

    /// Ends the job.
    pub fn kill(&self, reason: KillReason) {
        self.send(JobEvent::Kill(reason));
    }

    /// How many of its ranks run on this host.
    pub fn count_here(&self) -> u32 {
        self.spec.count_here()
    }

    /// Who touches its ranks' memory first.
    pub fn memory_provider(&self) -> Option<Arc<MemoryProvider>> {
        self.memory.get().cloned()
    }

    /// What this rank is to attach with, if it is a process.
    pub(super) fn token(&self, rank: u32) -> &str {
        self.tokens.get(&rank).map_or("", String::as_str)
    }

    /// The rank that attaches with this token; `None` for whoever is no rank of this job.
    pub fn rank_of(&self, token: &str) -> Option<u32> {
        self.tokens.iter().find(|(_, own)| *own == token).map(|(rank, _)| *rank)
    }

    /// By what the proxies of other hosts prove that they are of this job; none if it is on one
    /// host.
    pub fn fabric_secret(&self) -> Option<Secret> {
        self.spec.part.as_ref().map(|part| part.secret.clone())
    }

    /// The proxy of another host, which has proved that it is of this job, has connected with this
    /// one. Of two hosts the one with the greater number does so, once.
    ///
    /// # Errors
    /// [`Error::Protocol`] for any other; then the connection is closed.
    pub fn link(&self, host: u32, stream: TcpStream) -> Result<()> {
        let refuse = |why: String| Err(Error::Protocol { peer: format!("host {host}"), why });
        let Some(part) = &self.spec.part else {
            return refuse(format!("job {} runs on this host alone", self.name));
        };
        if !part.linked_hosts().contains(&host) {
            return refuse(format!("job {} has no ranks there", self.name));
        }
        if host < part.host {
            return refuse(format!("it is for host {} to connect with that one", part.host));
        }
        if !self.linked.lock().unwrap_or_else(PoisonError::into_inner).insert(host) {
            return refuse(format!("it is linked already for job {}", self.name));
        }
        self.send(JobEvent::Link { host, stream });
        Ok(())
    }

    /// Whether this rank, which asks so, may attach now. It may once.
    pub fn claim(&self, rank: u32, attach: &Attach) -> Result<(), String> {
        if attach.rank != rank {
            return Err(format!("it says that it is rank {}", attach.rank));
        }
        // Addresses of the daemon are for all jobs.
        let (len, memory) = (attach.layout.len, self.spec.memory);
        if len > memory {
            return Err(format!("its window has {len} bytes, and its memory {memory}"));
        }
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        if attached.insert(rank) { Ok(()) } else { Err("it is attached already".into()) }
    }
}

/// 32 random digits of base 16.
fn token() -> Result<String> {
    let mut bytes = [0u8; 16];
    getrandom(&mut bytes, GetRandomFlags::empty()).context(|| "make a token")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::control::Part;

    fn job_of(spec: JobSpec) -> (Arc<Job>, Receiver<JobEvent>) {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let client = Arc::new(JobClient::new(ours).unwrap());
        Job::new("abcdef".into(), spec, client).unwrap()
    }

    /// A part of a job of which ranks 1 and 2 of 4 are here, on host 1.
    fn part() -> JobSpec {
        let part = Part { host: 1, placement: vec![0, 1, 1, 2], ..Part::smallest() };
        JobSpec { size: 4, part: Some(part), ..JobSpec::smallest() }
    }

    #[test]
    fn links_come_from_greater_hosts_once() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (job, events) = job_of(part());
        let refused = |job: &Job, host| job.link(host, stream()).unwrap_err().to_string();
        assert!(refused(&job, 0).contains("for host 1 to connect"));
        for host in [1, 3, u32::MAX] {
            assert!(refused(&job, host).contains("has no ranks there"));
        }
        assert!(events.try_recv().is_err());
        job.link(2, stream()).unwrap();
        assert!(matches!(events.try_recv(), Ok(JobEvent::Link { host: 2, .. })));
        assert!(refused(&job, 2).contains("linked already"));
        assert!(events.try_recv().is_err());
        assert!(job.fabric_secret().is_some());
        let (whole, _events) = job_of(JobSpec::smallest());
        assert!(refused(&whole, 1).contains("on this host alone"));
        assert!(whole.fabric_secret().is_none());
    }

    #[test]
    fn only_ranks_of_this_host_have_tokens() {
        let (job, _events) = job_of(part());
        for rank in [1, 2] {
            assert_eq!(job.rank_of(job.token(rank)), Some(rank));
        }
        for rank in [0, 3] {
            assert_eq!(job.rank_of(job.token(rank)), None);
        }
        let info = job.info();
        assert_eq!((info.size, info.here, info.up), (4, 2, 0));
    }

    #[test]
    fn a_part_cannot_be_held_or_saved_yet() {
        let (job, _events) = job_of(JobSpec { kind: RankKind::Xen, ..part() });
        let asked = CheckpointSpec {
            job: job.name.clone(),
            directory: None,
            otherwise: "/".into(),
            stop: false,
        };
        for refused in [job.hold(), job.release(), job.checkpoint(&asked).map(drop)] {
            let error = refused.unwrap_err().to_string();
            assert!(error.ends_with("over several hosts are still to come"), "{error}");
        }
        assert!(job.leave().is_err());
    }

    #[test]
    fn who_has_asked_saves_it_before_who_has_not() {
        let (job, _events) = job_of(JobSpec::smallest());
        let turn = job.saving.lock().unwrap();
        thread::scope(|scope| {
            // It is of processes: this fails as soon as it has its turn.
            let asked = scope.spawn(|| {
                job.checkpoint(&CheckpointSpec {
                    job: job.name.clone(),
                    directory: None,
                    otherwise: "/".into(),
                    stop: false,
                })
            });
            while job.askers.load(Ordering::Relaxed) == 0 {
                thread::yield_now();
            }
            let kept = scope.spawn(|| job.keep(|| job.askers.load(Ordering::Relaxed)));
            drop(turn);
            assert!(asked.join().unwrap().is_err());
            assert_eq!(kept.join().unwrap(), Some(0));
        });
    }
}

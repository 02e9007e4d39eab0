//! Ranks as PVH domains, one each.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use super::console::Consoles;
use super::cpio;
use super::event::{End, Event};
use super::ranks::Ranks;
use crate::attach;
use crate::control::{JobSpec, Stream};
use crate::error::{Context, Error, Result};
use crate::xen::{self, EventDevice, Store};
use crate::xl::{self, DomainConfig, Shutdown};

/// A file in a job's record on which every running `xl create` holds a lock.
const CREATING: &str = "creating";
/// How long to wait for an `xl create` of a daemon that has died.
const CREATION_PATIENCE: Duration = Duration::from_secs(60);
/// How long after a sign of a domain's end to look at its state: the console usually tells before.
const SETTLE: Duration = Duration::from_millis(150);
/// How often to look at the domains' state when nothing happens.
const LOOK: Duration = Duration::from_secs(10);
const MIB: u64 = 1 << 20;

/// Whether the host can run such a job: it is Xen's domain 0, and there is enough memory.
pub fn check(spec: &JobSpec) -> Result<()> {
    xen::check_privileged()?;
    xl::check_installed()?;
    let each_mib = spec.memory / MIB;
    let needed_mib = xl::host_memory_mib(each_mib) * u64::from(spec.size);
    let mut free_mib = xl::free_memory_mib()?;
    if free_mib < needed_mib {
        // Xen cleans the memory of domains that have just ended before it counts as free.
        thread::sleep(Duration::from_secs(1));
        free_mib = xl::free_memory_mib()?;
    }
    if free_mib < needed_mib {
        return Err(Error::NotEnoughMemory { ranks: spec.size, each_mib, needed_mib, free_mib });
    }
    Ok(())
}

/// Destroys all domains of a job whose daemon may have died. `record` is the job's directory.
pub fn destroy_all(job: &str, record: &Path) -> Result<()> {
    wait_for_creations(record);
    for _ in 0..5 {
        let left: Vec<_> = xl::domains_of(job)?.into_iter().map(|(_, domain)| domain.id).collect();
        if left.is_empty() {
            return Ok(());
        }
        in_parallel(left.len(), |index| {
            if let Err(error) = xl::destroy(left[index]) {
                tracing::warn!(%error, domain = left[index], "a domain could not be destroyed");
            }
        });
    }
    Err(Error::Tool {
        command: "xl destroy".into(),
        why: format!("domains pgas-{job}-* are still there: see `xl list`"),
    })
}

/// Waits for every `xl create` that is under way in this job.
fn wait_for_creations(record: &Path) {
    let Ok(token) = File::open(record.join(CREATING)) else { return };
    let deadline = Instant::now() + CREATION_PATIENCE;
    while token.try_lock().is_err() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
}

/// Does `work` for all indices below `count`, a few at a time.
fn in_parallel(count: usize, work: impl Fn(usize) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..workers().min(count) {
            scope.spawn(|| {
                while let index = next.fetch_add(1, Ordering::Relaxed)
                    && index < count
                {
                    work(index);
                }
            });
        }
    });
}

/// How many tools to run at a time: most of their work is in one lock of Xen's tools.
fn workers() -> usize {
    thread::available_parallelism().map_or(1, usize::from).clamp(1, 4)
}

/// The domains of one job.
pub struct Domains {
    job: String,
    spec: JobSpec,
    record: PathBuf,
    consoles: Consoles,
    events: Sender<Event>,
    stopping: Arc<AtomicBool>,
    stop: Arc<OwnedFd>,
    creators: Vec<JoinHandle<()>>,
    watcher: Option<JoinHandle<()>>,
}

impl Domains {
    /// The domains of `job`, whose record is the directory `record`.
    pub fn new(
        job: &str,
        spec: &JobSpec,
        record: PathBuf,
        consoles: Consoles,
        events: Sender<Event>,
    ) -> Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self {
            job: job.into(),
            spec: spec.clone(),
            record,
            consoles,
            events,
            stopping: Arc::new(AtomicBool::new(false)),
            stop: Arc::new(eventfd(0, flags).context(|| "create an eventfd")?),
            creators: Vec::new(),
            watcher: None,
        })
    }

    /// Writes what `xl create` reads: the boot module and a configuration for each rank.
    fn write_record(&self) -> Result<Vec<PathBuf>> {
        let create =
            |path: &Path| File::create(path).context(|| format!("create {}", path.display()));
        create(&self.record.join(CREATING))?;
        let ramdisk = self.record.join("files.cpio");
        if !self.spec.files.is_empty() {
            cpio::write(std::io::BufWriter::new(create(&ramdisk)?), &self.spec.files)?;
        }
        let most_grant_frames = xl::most_grant_frames()?;
        let render = |rank| {
            let config = DomainConfig {
                job: &self.job,
                rank,
                size: self.spec.size,
                memory_mib: self.spec.memory / MIB,
                most_grant_frames,
                kernel: &self.spec.image,
                ramdisk: (!self.spec.files.is_empty()).then_some(&ramdisk),
                args: &self.spec.args,
            };
            let path = self.record.join(format!("rank-{rank}.cfg"));
            fs::write(&path, config.render()?).context(|| format!("write {}", path.display()))?;
            Ok(path)
        };
        (0..self.spec.size).map(render).collect()
    }

    fn start_creators(&mut self, configs: Vec<PathBuf>) -> Result<()> {
        let configs = Arc::new(configs);
        let next = Arc::new(AtomicU32::new(0));
        for _ in 0..workers() {
            let (configs, next) = (configs.clone(), next.clone());
            let (stopping, events) = (self.stopping.clone(), self.events.clone());
            let token = self.record.join(CREATING);
            let memory_mib = self.spec.memory / MIB;
            let create = move || {
                while !stopping.load(Ordering::Relaxed) {
                    let rank = next.fetch_add(1, Ordering::Relaxed);
                    let Some(config) = configs.get(rank as usize) else { break };
                    let _ = events.send(Event::Begun { rank, at: Instant::now() });
                    if let Err(error) = create_domain(config, &token, memory_mib) {
                        let _ = events.send(Event::NotCreated { rank, error });
                    }
                }
            };
            let thread = thread::Builder::new().name("create".into()).spawn(create);
            self.creators.push(thread.context(|| "start a thread")?);
        }
        Ok(())
    }

    fn start_watcher(&mut self) -> Result<()> {
        let mut store = Store::open()?;
        store.watch("@introduceDomain", INTRODUCED)?;
        store.watch("@releaseDomain", RELEASED)?;
        let watcher = Watcher {
            job: self.job.clone(),
            memory: self.spec.memory,
            store,
            channels: Arc::new(EventDevice::open().context(|| "open /dev/xen/evtchn")?),
            stop: self.stop.clone(),
            consoles: self.consoles.clone(),
            events: self.events.clone(),
            known: BTreeMap::new(),
            strangers: Vec::new(),
            look_at: Instant::now() + LOOK,
        };
        let thread = thread::Builder::new()
            .name(format!("domains-{}", self.job))
            .spawn(move || watcher.run());
        self.watcher = Some(thread.context(|| "start a thread")?);
        Ok(())
    }
}

fn create_domain(config: &Path, token: &Path, memory_mib: u64) -> Result<()> {
    let token = File::open(token).context(|| format!("open {}", token.display()))?;
    token.lock_shared().context(|| "lock the job's record")?;
    xl::create(config, token).map_err(|error| match (&error, xl::more_grant_frames(memory_mib)) {
        // That is all that Xen's tools say of it.
        (Error::Tool { why, .. }, Some(frames)) if why == "Invalid argument" => {
            Error::GrantFrames { source: Box::new(error), memory_mib, frames }
        }
        _ => error,
    })
}

impl Ranks for Domains {
    fn start(&mut self) -> Result<()> {
        let configs = self.write_record()?;
        self.start_watcher()?;
        self.start_creators(configs)
    }

    fn stop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        for creator in self.creators.drain(..) {
            let _ = creator.join();
        }
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }

    fn end(&mut self) {
        if let Err(error) = destroy_all(&self.job, &self.record) {
            tracing::error!(%error, job = self.job, "domains may be left behind");
        }
    }
}

const INTRODUCED: &str = "introduced";
const RELEASED: &str = "released";
const ATTACH: &str = "attach";
const CONSOLE: &str = "console";

/// A domain of the job.
#[derive(Debug)]
struct Known {
    id: u32,
    console: Option<String>,
    attached: bool,
    ended: bool,
}

/// Follows the job's domains through xenstore: finds them when they are created, opens their
/// consoles, attaches them, and sees them end.
struct Watcher {
    job: String,
    memory: u64,
    store: Store,
    channels: Arc<EventDevice>,
    stop: Arc<OwnedFd>,
    consoles: Consoles,
    events: Sender<Event>,
    known: BTreeMap<u32, Known>,
    /// Domains that are not of this job.
    strangers: Vec<u32>,
    /// When to look at the domains' state.
    look_at: Instant,
}

impl Watcher {
    fn run(mut self) {
        if let Err(error) = self.follow() {
            tracing::error!(%error, job = self.job, "the job's domains cannot be followed any more");
            let notice = crate::engine::Notice::Broken(error.to_string());
            let _ = self.events.send(Event::Engine(notice));
        }
    }

    fn follow(&mut self) -> Result<()> {
        loop {
            while let Some(event) = self.store.ready_event()? {
                let rank = event.token.split_once(' ').and_then(|(_, rank)| rank.parse().ok());
                match (event.token.split(' ').next(), rank) {
                    (Some(INTRODUCED), _) => self.find_domains()?,
                    (Some(RELEASED), _) => self.look_at = self.look_at.min(Instant::now() + SETTLE),
                    (Some(ATTACH), Some(rank)) => self.attach(rank)?,
                    (Some(CONSOLE), Some(rank)) => self.open_console(rank)?,
                    _ => {}
                }
            }
            let now = Instant::now();
            if now >= self.look_at {
                self.look()?;
                self.look_at = now + LOOK;
            }
            let left = self.look_at.saturating_duration_since(now) + Duration::from_millis(1);
            let left =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let mut fds = [
                PollFd::from_borrowed_fd(self.store.fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
            ];
            match poll(&mut fds, Some(&left)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context(|| "wait for xenstore"),
            }
            if !fds[1].revents().is_empty() {
                return Ok(());
            }
        }
    }

    /// Looks for domains of the job that have come into being.
    fn find_domains(&mut self) -> Result<()> {
        let ids = self.store.list("/local/domain")?;
        for id in ids.iter().filter_map(|id| id.parse().ok()) {
            if self.strangers.contains(&id) || self.known.values().any(|known| known.id == id) {
                continue;
            }
            // A domain that has no name yet is looked at again.
            let Some(name) = self.store.read(&format!("/local/domain/{id}/name"))? else {
                continue;
            };
            match xl::parse_domain_name(&String::from_utf8_lossy(&name)) {
                Some((job, rank)) if job == self.job => {
                    self.known
                        .insert(rank, Known { id, console: None, attached: false, ended: false });
                    self.store.watch(
                        &format!("/local/domain/{id}/console/tty"),
                        &format!("{CONSOLE} {rank}"),
                    )?;
                    self.store.watch(&attach_node(id), &format!("{ATTACH} {rank}"))?;
                }
                _ => self.strangers.push(id),
            }
        }
        Ok(())
    }

    /// Attaches a rank that has written its node.
    fn attach(&mut self, rank: u32) -> Result<()> {
        let Some(known) = self.known.get_mut(&rank).filter(|known| !known.attached) else {
            return Ok(());
        };
        let Some(node) = self.store.read(&attach_node(known.id))? else { return Ok(()) };
        known.attached = true;
        // A guest that writes its node for ever is not to keep this thread busy.
        self.store.unwatch(&attach_node(known.id), &format!("{ATTACH} {rank}"))?;
        let event = match attach::domain::attach(known.id, &node, self.memory, &self.channels) {
            Ok(attachment) => Event::Attached { rank, attachment },
            Err(error) => Event::AttachRefused { rank, cause: error.to_string() },
        };
        let _ = self.events.send(event);
        Ok(())
    }

    /// Opens a rank's console, when there is one or another one.
    fn open_console(&mut self, rank: u32) -> Result<()> {
        let Some(known) = self.known.get_mut(&rank) else { return Ok(()) };
        let path = self.store.read(&format!("/local/domain/{}/console/tty", known.id))?;
        let Some(path) = path.and_then(|path| String::from_utf8(path).ok()) else { return Ok(()) };
        if !is_terminal_path(&path) || known.console.as_ref() == Some(&path) {
            return Ok(());
        }
        match open_terminal(&path) {
            Ok(terminal) => {
                self.consoles.add(rank, Stream::Output, terminal);
                known.console = Some(path);
            }
            Err(error) => tracing::warn!(%error, rank, path, "a console could not be opened"),
        }
        Ok(())
    }

    /// Looks which domains have ended.
    fn look(&mut self) -> Result<()> {
        if self.known.values().all(|known| known.ended) {
            return Ok(());
        }
        let domains = match xl::list() {
            Ok(domains) => domains,
            Err(error) => {
                tracing::warn!(%error, "the domains' state is not known for now");
                return Ok(());
            }
        };
        let mut ended = Vec::new();
        for (&rank, known) in self.known.iter().filter(|(_, known)| !known.ended) {
            let domain = domains.iter().find(|domain| domain.id == known.id && !domain.dying);
            let end = match domain.map(|domain| domain.shutdown) {
                Some(None) => continue,
                Some(Some(Shutdown::Crash)) => End::Crashed,
                Some(Some(Shutdown::Other)) => End::Stopped,
                Some(Some(Shutdown::Poweroff)) => {
                    let status = self
                        .store
                        .read(&format!("/local/domain/{}/data/xenolith/exit", known.id))?;
                    parse_status(status).map_or(End::Silent, End::Exited)
                }
                None => End::Vanished,
            };
            ended.push((rank, end));
        }
        for (rank, end) in ended {
            // A rank that was quick may have ended while the domains were listed, before its
            // console was seen: what it wrote is still to be read, and a rank without a console has
            // nothing to say.
            self.open_console(rank)?;
            if let Some(known) = self.known.get_mut(&rank) {
                known.ended = true;
            }
            let _ = self.events.send(Event::Ended { rank, end });
        }
        Ok(())
    }
}

fn attach_node(domain: u32) -> String {
    format!("/local/domain/{domain}/data/xenolith/attach")
}

/// The exit status in a guest's node, of which nothing is believed.
fn parse_status(node: Option<Vec<u8>>) -> Option<i32> {
    str::from_utf8(&node?).ok()?.parse().ok()
}

/// Whether this is the path of a pseudo-terminal and nothing else.
fn is_terminal_path(path: &str) -> bool {
    let number = path.strip_prefix("/dev/pts/").unwrap_or_default();
    !number.is_empty() && number.len() < 10 && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Opens a pseudo-terminal so that bytes pass unchanged and are not sent back.
fn open_terminal(path: &str) -> std::io::Result<OwnedFd> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let terminal =
        File::options().read(true).write(true).custom_flags(flags.bits() as i32).open(path)?;
    let mut attributes = tcgetattr(&terminal)?;
    attributes.make_raw();
    tcsetattr(&terminal, OptionalActions::Now, &attributes)?;
    Ok(terminal.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pseudo_terminals_are_opened() {
        assert!(is_terminal_path("/dev/pts/0"));
        assert!(is_terminal_path("/dev/pts/12"));
        for path in [
            "",
            "/dev/pts/",
            "/dev/pts/ptmx",
            "/dev/pts/../sda",
            "/etc/passwd",
            "/dev/pts/99999999999",
        ] {
            assert!(!is_terminal_path(path), "{path}");
        }
    }

    #[test]
    fn a_guests_status_is_a_number_or_nothing() {
        assert_eq!(parse_status(Some(b"3".to_vec())), Some(3));
        assert_eq!(parse_status(Some(b"-1".to_vec())), Some(-1));
        for node in [
            None,
            Some(b"".to_vec()),
            Some(b"three".to_vec()),
            Some(vec![0xff]),
            Some(b"99999999999".to_vec()),
        ] {
            assert_eq!(parse_status(node), None);
        }
    }

    #[test]
    fn all_of_the_work_is_done_once() {
        let done: Vec<_> = (0..17).map(|_| AtomicU32::new(0)).collect();
        in_parallel(done.len(), |index| {
            done[index].fetch_add(1, Ordering::Relaxed);
        });
        assert!(done.iter().all(|times| times.load(Ordering::Relaxed) == 1));
        in_parallel(0, |_| panic!("there is nothing to do"));
    }

    #[test]
    fn a_creation_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CREATING);
        File::create(&path).unwrap();
        let creating = File::open(&path).unwrap();
        creating.lock_shared().unwrap();
        let started = Instant::now();
        let creation = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            drop(creating);
        });
        wait_for_creations(dir.path());
        assert!(started.elapsed() >= Duration::from_millis(100));
        creation.join().unwrap();
    }
}

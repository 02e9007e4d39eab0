//! The thread that follows a job's domains through xenstore.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::input::{InputFeed, InputNews};
use super::terminal::{is_terminal_path, open_terminal};
use crate::attach;
use crate::engine::Notice;
use crate::error::{Context, Result};
use crate::job::consoles::Consoles;
use crate::job::event::{End, JobEvent};
use crate::job::saved::SavedJob;
use crate::xen::{ConsolePage, EventDevice, Store};
use crate::xl::{self, StopReason};

/// How long after a sign of a domain's end to look at its state: others may end with it.
const SETTLE: Duration = Duration::from_millis(50);
/// How often to look at the domains' state when nothing happens.
const LOOK: Duration = Duration::from_secs(10);
const INTRODUCED: &str = "introduced";
const RELEASED: &str = "released";
const ATTACH: &str = "attach";
const LANDING: &str = "landing";
const UP: &str = "up";
const EXIT: &str = "exit";
const FATAL: &str = "fatal";
const CONSOLE: &str = "console";
/// No honest kernel tells more about why it crashes.
const LONGEST_CAUSE: usize = 1024;

/// A domain of the job.
#[derive(Debug)]
struct KnownRank {
    id: u32,
    console: Option<String>,
    /// Nodes that the rank has not been seen to write.
    unread: Vec<&'static str>,
    ended: bool,
}

/// Follows the job's domains through xenstore: finds them when they are created, opens their
/// consoles, attaches them, and sees them end.
pub struct Watcher {
    job: String,
    memory: u64,
    /// What its domains are to become, if they wait for that.
    saved: Option<Arc<SavedJob>>,
    store: Store,
    channels: Arc<EventDevice>,
    stop: Arc<OwnedFd>,
    consoles: Consoles,
    input: Option<InputFeed>,
    events: Sender<JobEvent>,
    known: BTreeMap<u32, KnownRank>,
    /// Domains that are not of this job.
    strangers: Vec<u32>,
    /// When to look at the domains' state.
    look_at: Instant,
}

impl Watcher {
    /// Of a job whose ranks have `memory` bytes each and are still to be created, to become those
    /// that were `saved` if they were. Ends when `stop` is readable.
    pub fn new(
        job: &str,
        memory: u64,
        saved: Option<Arc<SavedJob>>,
        stop: Arc<OwnedFd>,
        consoles: Consoles,
        input: Option<InputFeed>,
        events: Sender<JobEvent>,
    ) -> Result<Self> {
        let mut store = Store::open()?;
        store.watch("@introduceDomain", INTRODUCED)?;
        store.watch("@releaseDomain", RELEASED)?;
        Ok(Self {
            job: job.into(),
            memory,
            saved,
            store,
            channels: Arc::new(EventDevice::open().context(|| "open /dev/xen/evtchn")?),
            stop,
            consoles,
            input,
            events,
            known: BTreeMap::new(),
            strangers: Vec::new(),
            look_at: Instant::now() + LOOK,
        })
    }

    /// Starts the thread.
    pub fn start(self) -> Result<JoinHandle<()>> {
        let thread = thread::Builder::new().name(format!("domains-{}", self.job));
        thread.spawn(move || self.run()).context(|| "start a thread")
    }

    fn run(mut self) {
        if let Err(error) = self.follow() {
            let job = &self.job;
            tracing::error!(%error, job, "the job's domains cannot be followed any more");
            let notice = Notice::Broken(error.to_string());
            let _ = self.events.send(JobEvent::Engine(notice));
        }
    }

    fn follow(&mut self) -> Result<()> {
        loop {
            while let Some(event) = self.store.ready_event()? {
                let rank = event.token.split_once(' ').and_then(|(_, rank)| rank.parse().ok());
                match (event.token.split(' ').next(), rank) {
                    (Some(INTRODUCED), _) => self.find_domains()?,
                    (Some(RELEASED), _) => self.look_at = self.look_at.min(Instant::now() + SETTLE),
                    (Some(ATTACH | LANDING), Some(rank)) => self.attach(rank)?,
                    (Some(UP), Some(rank)) => self.note_up(rank)?,
                    (Some(EXIT), Some(rank)) => self.note_exit(rank)?,
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
                return self.open_last_consoles();
            }
        }
    }

    /// Looks for domains of the job that have come into being.
    fn find_domains(&mut self) -> Result<()> {
        // What a rank writes once, in nodes of these names.
        let states = [UP, self.attach_node(), EXIT];
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
                    self.known.insert(
                        rank,
                        KnownRank { id, console: None, unread: states.into(), ended: false },
                    );
                    self.store.watch(
                        &format!("/local/domain/{id}/console/tty"),
                        &format!("{CONSOLE} {rank}"),
                    )?;
                    for state in states {
                        self.store.watch(&node(id, state), &format!("{state} {rank}"))?;
                    }
                }
                _ => self.strangers.push(id),
            }
        }
        Ok(())
    }

    /// What a rank has written to one of its nodes, once. A guest that writes a node again and
    /// again is not to keep this thread busy.
    fn read_once(&mut self, rank: u32, state: &str) -> Result<Option<(u32, Vec<u8>)>> {
        let Some(known) = self.known.get_mut(&rank) else { return Ok(None) };
        // Events that came before the watch was taken away may still be there.
        let Some(at) = known.unread.iter().position(|unread| *unread == state) else {
            return Ok(None);
        };
        let id = known.id;
        let Some(value) = self.store.read(&node(id, state))? else { return Ok(None) };
        known.unread.swap_remove(at);
        self.store.unwatch(&node(id, state), &format!("{state} {rank}"))?;
        Ok(Some((id, value)))
    }

    /// A rank's kernel runs.
    fn note_up(&mut self, rank: u32) -> Result<()> {
        if self.read_once(rank, UP)?.is_some() {
            let _ = self.events.send(JobEvent::Up { rank, at: Instant::now() });
        }
        Ok(())
    }

    /// A rank has ended by itself, and its domain is about to. All that it has written is with
    /// xenconsoled.
    fn note_exit(&mut self, rank: u32) -> Result<()> {
        let Some((_, value)) = self.read_once(rank, EXIT)? else { return Ok(()) };
        // For nonsense the domain's end is waited for.
        if let Some(status) = parse_status(Some(value)) {
            self.note_end(rank, End::Exited(status))?;
        }
        Ok(())
    }

    /// A rank has ended.
    fn note_end(&mut self, rank: u32, end: End) -> Result<()> {
        // A rank that was quick may have ended before its console was seen: what it wrote is still
        // to be read. And before it was attached, without which the others would never begin.
        self.open_console(rank)?;
        self.attach(rank)?;
        if let Some(known) = self.known.get_mut(&rank) {
            known.ended = true;
        }
        if let Some(input) = &self.input {
            // There may be no input any more.
            let _ = input.news.send(InputNews::Ended(rank));
        }
        let _ = self.events.send(JobEvent::Ended { rank, end });
        Ok(())
    }

    /// Where a rank says how it is reached: that it waits to become one says another node.
    fn attach_node(&self) -> &'static str {
        if self.saved.is_some() { LANDING } else { ATTACH }
    }

    /// Attaches a rank that has written its node.
    fn attach(&mut self, rank: u32) -> Result<()> {
        let Some((id, node)) = self.read_once(rank, self.attach_node())? else { return Ok(()) };
        let layout = self.saved.as_ref().and_then(|saved| saved.layout(rank));
        let attached = match layout {
            Some(layout) => attach::domain::attach_landing(id, &node, layout, &self.channels),
            None => attach::domain::attach(id, &node, self.memory, &self.channels),
        };
        let event = match attached {
            Ok(attachment) => JobEvent::Attached { rank, attachment },
            // A rank that does not wait for the others may have ended by now, as its end will tell.
            Err(_) if self.has_ended(id)? => return Ok(()),
            Err(cause) => JobEvent::AttachRefused { rank, cause },
        };
        let _ = self.events.send(event);
        Ok(())
    }

    /// Whether a domain has told its end, or is gone.
    fn has_ended(&mut self, id: u32) -> Result<bool> {
        for told in [EXIT, FATAL] {
            if self.store.read(&node(id, told))?.is_some() {
                return Ok(true);
            }
        }
        Ok(self.store.read(&format!("/local/domain/{id}/name"))?.is_none())
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
                let page = ConsolePage::new(known.id).inspect_err(|error| {
                    tracing::warn!(%error, rank, "a console's page could not be mapped");
                });
                if let Some(input) = self.input.as_ref().filter(|input| input.whom.is_for(rank))
                    && known.console.is_none()
                    && let Ok(page) = ConsolePage::new(known.id)
                {
                    // There may be no input any more.
                    let _ = input.news.send(InputNews::Rank(rank, page));
                }
                self.consoles.add_terminal(rank, terminal, page.ok());
                known.console = Some(path);
            }
            Err(error) => tracing::warn!(%error, rank, path, "a console could not be opened"),
        }
        Ok(())
    }

    /// Opens consoles that were not seen before the job's end.
    fn open_last_consoles(&mut self) -> Result<()> {
        self.find_domains()?;
        let ranks: Vec<u32> = self.known.keys().copied().collect();
        ranks.into_iter().try_for_each(|rank| self.open_console(rank))
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
        let running = self.known.iter().filter(|(_, known)| !known.ended);
        let running: Vec<_> = running.map(|(&rank, known)| (rank, known.id)).collect();
        for (rank, id) in running {
            let domain = domains.iter().find(|domain| domain.id == id && !domain.dying);
            let end = match domain.map(|domain| domain.shutdown) {
                Some(None | Some(StopReason::Suspend)) => continue,
                Some(Some(StopReason::Crash)) => {
                    if let Some(cause) = self.store.read(&node(id, FATAL))? {
                        let cause = parse_cause(&cause);
                        let _ = self.events.send(JobEvent::Fatal { rank, cause });
                    }
                    End::Crashed
                }
                Some(Some(StopReason::Other)) => End::Stopped,
                Some(Some(StopReason::Poweroff)) => {
                    parse_status(self.store.read(&node(id, EXIT))?).map_or(End::Silent, End::Exited)
                }
                None => End::Vanished,
            };
            self.note_end(rank, end)?;
        }
        Ok(())
    }
}

/// The node by which a domain tells one of its states.
fn node(domain: u32, state: &str) -> String {
    format!("/local/domain/{domain}/data/xenolith/{state}")
}

/// The cause of a crash in a guest's node, as one line that is not too long.
fn parse_cause(node: &[u8]) -> String {
    let cause = String::from_utf8_lossy(&node[..node.len().min(LONGEST_CAUSE)]);
    cause.trim().replace(char::is_control, " ")
}

/// The exit status in a guest's node, of which nothing is believed.
fn parse_status(node: Option<Vec<u8>>) -> Option<i32> {
    str::from_utf8(&node?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_cause_is_one_line() {
        assert_eq!(parse_cause(b"null pointer: write\n"), "null pointer: write");
        assert_eq!(parse_cause(b"a\nb\x1b[0m\xff"), "a b [0m\u{fffd}");
        assert_eq!(parse_cause(&[b'x'; 5000]).len(), LONGEST_CAUSE);
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
}

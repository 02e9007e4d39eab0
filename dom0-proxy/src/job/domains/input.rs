//! Standard input of domains: the user's, put into their console pages.
//!
//! Nothing is taken from the user before a rank asks, and no more than the ranks have room for:
//! what they do not read is there for whoever comes after `pgas`. No event tells of room, so a
//! thread looks, more often while there is some.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::control::InputFor;
use crate::xen::ConsolePage;

/// How long to wait before the next look. Twice as long each time: ranks that want no input, as
/// most do not, cost the host next to nothing.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(160));

/// What the thread hears of the ranks.
pub enum InputNews {
    /// A rank that is to have input is there.
    Rank(u32, ConsolePage),
    /// A rank has ended.
    Ended(u32),
}

/// Where a job's domains get their input from.
pub struct InputFeed {
    /// Which of them do.
    pub whom: InputFor,
    /// Where the thread hears of them.
    pub news: Sender<InputNews>,
}

/// Starts the thread, which ends with the input, when `stop` is readable, and when nobody has news
/// any more. `missing` is how many ranks are to have input: each byte goes to all of them.
pub fn start(
    input: OwnedFd,
    missing: usize,
    news: Receiver<InputNews>,
    stop: Arc<OwnedFd>,
) -> io::Result<JoinHandle<()>> {
    let input = File::from(input);
    let mut copier = Copier { input, missing, ranks: Vec::new(), news };
    thread::Builder::new().name("input".into()).spawn(move || {
        if let Err(error) = copier.run(&stop) {
            tracing::warn!(%error, "the user's input could not be read");
        }
        copier.ranks.iter().for_each(|(_, page)| page.end_input());
    })
}

struct Copier {
    input: File,
    /// Ranks that are not there yet.
    missing: usize,
    ranks: Vec<(u32, ConsolePage)>,
    news: Receiver<InputNews>,
}

impl Copier {
    fn run(&mut self, stop: &OwnedFd) -> io::Result<()> {
        let mut pause = LOOK_AGAIN.0;
        let mut buffer = [0; size_of::<ConsolePage>()];
        loop {
            if !self.hear() {
                return Ok(());
            }
            let room = self.room().min(buffer.len());
            if room == 0 {
                let [stopped] = ready([stop.as_fd()], pause)?;
                if stopped {
                    return Ok(());
                }
                pause = (pause * 2).min(LOOK_AGAIN.1);
                continue;
            }
            // With a time, since ranks may end meanwhile.
            let [stopped, readable] = ready([stop.as_fd(), self.input.as_fd()], LOOK_AGAIN.1)?;
            if stopped {
                return Ok(());
            }
            if !readable {
                continue;
            }
            match self.input.read(&mut buffer[..room]) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.ranks.iter().for_each(|(_, page)| page.give_input(&buffer[..count]));
                    pause = LOOK_AGAIN.0;
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the news. False when nobody can have input any more.
    fn hear(&mut self) -> bool {
        loop {
            match self.news.try_recv() {
                Ok(InputNews::Rank(rank, page)) => {
                    self.missing = self.missing.saturating_sub(1);
                    self.ranks.push((rank, page));
                }
                Ok(InputNews::Ended(rank)) => self.ranks.retain(|(known, _)| *known != rank),
                Err(TryRecvError::Empty) => return self.missing > 0 || !self.ranks.is_empty(),
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// For how many bytes all ranks have room: none before all are there and one has asked. A rank
    /// that makes no sense gets no more.
    fn room(&mut self) -> usize {
        self.ranks.retain(|(_, page)| page.room_for_input().is_some());
        if self.missing > 0 || !self.ranks.iter().any(|(_, page)| page.wants_input()) {
            return 0;
        }
        self.ranks.iter().filter_map(|(_, page)| page.room_for_input()).min().unwrap_or(0)
    }
}

/// Waits until one of these can be read, for some time at most: which can.
fn ready<const N: usize>(fds: [BorrowedFd<'_>; N], time: Duration) -> io::Result<[bool; N]> {
    let mut polled = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    let time = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
    match poll(&mut polled, Some(&time)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(polled.map(|polled| !polled.revents().is_empty()))
}

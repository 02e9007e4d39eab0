//! All doorbells of a job, to wait at.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

use crate::attach::{AttachedRank, Fleet};

/// Epoll's name for the thread's own doorbell and for other hosts. Ranks have their places.
const WAKE: u64 = u64::MAX;

/// The doorbells of all ranks, and the engine's own.
pub(super) struct Doorbells<'a> {
    fleet: &'a Fleet,
    all: OwnedFd,
    /// Ranks at whose doorbells there may be more than has been taken note of.
    unread: Vec<u64>,
}

impl<'a> Doorbells<'a> {
    /// Those of the ranks, `wake`, and connections to other `hosts`.
    pub(super) fn new<'h>(
        fleet: &'a Fleet,
        wake: BorrowedFd<'_>,
        hosts: impl Iterator<Item = BorrowedFd<'h>>,
    ) -> io::Result<Self> {
        let all = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&all, wake, epoll::EventData::new_u64(WAKE), edge)?;
        for host in hosts {
            let both = edge | epoll::EventFlags::OUT;
            epoll::add(&all, host, epoll::EventData::new_u64(WAKE), both)?;
        }
        for (number, rank) in (0..).zip(fleet.ranks()) {
            match epoll::add(&all, rank.doorbell().fd(), epoll::EventData::new_u64(number), edge) {
                // Doorbells of several ranks may come through one descriptor, and are acknowledged
                // together.
                Err(rustix::io::Errno::EXIST) => {}
                result => result?,
            }
        }
        Ok(Self { fleet, all, unread: Vec::new() })
    }

    /// Blocks until one rings, but no longer than that.
    pub(super) fn wait_for(&mut self, patience: Duration) -> io::Result<()> {
        if self.unread.is_empty() {
            let patience = Timespec {
                tv_sec: patience.as_secs() as i64,
                tv_nsec: patience.subsec_nanos().into(),
            };
            let mut rung = [PollFd::new(&self.all, PollFlags::IN)];
            match poll(&mut rung, Some(&patience)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(()),
                result => drop(result?),
            }
        }
        self.wait()
    }

    /// Blocks until one rings, or returns at once if one may have rung. A rank that rings without a
    /// pause is taken note of, and keeps nobody here.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; 64];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let patience = (!self.unread.is_empty()).then_some(&at_once);
        let (ready, _) = match epoll::wait(&self.all, &mut events, patience) {
            Err(rustix::io::Errno::INTR) => return Ok(()),
            result => result?,
        };
        self.unread.extend(ready.iter().map(|event| event.data.u64()));
        self.unread.sort_unstable();
        self.unread.dedup();
        let ranks = self.fleet.ranks();
        let is_unread = |rank: &AttachedRank| !rank.doorbell().acknowledge();
        self.unread.retain(|number| ranks.get(*number as usize).is_some_and(is_unread));
        Ok(())
    }
}

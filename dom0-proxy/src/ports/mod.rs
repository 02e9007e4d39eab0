//! How ranks attach: their memory mapped here, and a doorbell in each direction.
//!
//! - [`hosted`]: a Linux process passes a memfd and two eventfds through a Unix socket;
//! - [`xen`]: a domain grants its pages and offers an event channel, in one xenstore node.
//!
//! Both end in an [`Attachment`], which is all that the [`engine`](crate::engine) knows of a rank.

pub mod hosted;
mod shared_memory;
pub mod xen;

use std::fmt;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use armci_nostd::serve::memory::Window;
use armci_nostd::shared::gate::Gate;
use armci_nostd::shared::ring::{Bell, Consumer, Producer, SharedSlots};
use armci_nostd::wire::area::MAGIC;
use armci_nostd::wire::{
    COMPLETIONS, Completion, JobState, PROTOCOL_VERSION, Request, RuntimeArea, SUBMISSIONS,
};

use crate::control::{Tally, Traffic};

pub use shared_memory::SharedMemory;

/// Wakes the rank, and is woken by it.
pub trait Doorbell: Send {
    /// Wakes the rank, now or when it next blocks. Never blocks.
    fn ring(&self);

    /// Readable, edge by edge, when the rank has rung. Ranks may share one.
    fn fd(&self) -> BorrowedFd<'_>;

    /// What the rank gave to be passed on to other ranks, if it is a process; and where it is told
    /// of others.
    fn introduction(&self) -> Option<&hosted::Card> {
        None
    }

    /// Takes note of the ringing of all ranks that share the descriptor, so that the next is seen.
    /// Never blocks.
    fn acknowledge(&self);
}

/// Why a rank could not be attached: one line, without the rank.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AttachError(pub String);

impl AttachError {
    fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

/// One attached rank.
pub struct Attachment {
    window: Window,
    doorbell: Box<dyn Doorbell>,
    /// What `window` points into; dropped after it.
    memory: Box<dyn Send>,
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").field("window", &self.window).finish_non_exhaustive()
    }
}

impl Attachment {
    /// Puts the parts together, after a look at the runtime area's magic and version.
    ///
    /// `window` must point into `memory`.
    fn new(
        window: Window,
        doorbell: Box<dyn Doorbell>,
        memory: Box<dyn Send>,
    ) -> Result<Self, AttachError> {
        let area = window.area().as_ptr();
        // SAFETY: the window has checked that the whole area lies in it, on a page boundary.
        // Volatile, since the rank may be writing.
        let (magic, version) = unsafe {
            (
                (&raw const (*area).header.magic).read_volatile(),
                (&raw const (*area).header.version).read_volatile(),
            )
        };
        if magic != MAGIC {
            return Err(AttachError::new(format_args!(
                "its runtime area starts with {magic:#x} instead of {MAGIC:#x}"
            )));
        }
        if version != PROTOCOL_VERSION {
            return Err(AttachError::new(format_args!(
                "it speaks protocol version {version} and the proxy {PROTOCOL_VERSION}: rebuild the older of the two"
            )));
        }
        Ok(Self { window, doorbell, memory })
    }
}

/// The attached ranks of a job, in order, with their windows side by side.
pub(crate) struct Fleet {
    /// They point into the memory that `lines` keep, so they are dropped first.
    windows: Vec<Window>,
    lines: Vec<Line>,
}

impl Fleet {
    /// All ranks of a job.
    pub(crate) fn new(ranks: Vec<Attachment>) -> Self {
        let (windows, lines) = ranks
            .into_iter()
            .map(|Attachment { window, doorbell, memory }| {
                let area = window.area();
                (window, Line { area, doorbell, _memory: memory })
            })
            .unzip();
        Self { windows, lines }
    }

    /// Their memory.
    pub(crate) fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Tells all ranks that are processes how to reach each other's memory.
    pub(crate) fn introduce(&self) {
        let cards = || {
            self.lines
                .iter()
                .enumerate()
                .filter_map(|(rank, line)| Some((rank, line.doorbell.introduction()?)))
        };
        for (rank, card) in cards() {
            for (other, theirs) in cards().filter(|(other, _)| *other != rank) {
                if let Err(error) = card.introduce(other as u32, theirs) {
                    // It is gone, or does not listen: then it will be found out when it does not
                    // take part.
                    tracing::debug!(rank, other, %error, "a rank was not told of another");
                    break;
                }
            }
        }
    }

    /// The ways to talk with them.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }
}

/// The way to talk with one rank: its rings, its flags, its doorbell.
///
/// Keeps the rank's memory mapped.
pub(crate) struct Line {
    area: NonNull<RuntimeArea>,
    doorbell: Box<dyn Doorbell>,
    _memory: Box<dyn Send>,
}

// SAFETY: the area lies in `_memory`, which may be sent, and is reached by atomics and the rings'
// raw slots only.
unsafe impl Send for Line {}

/// A reference to one of the area's words.
macro_rules! word {
    ($line:expr, $($field:ident).+) => {{
        // SAFETY: the area is mapped, whole and aligned, as long as the line lives; an atomic may
        // be shared with whoever else has the memory.
        let word: &AtomicU32 = unsafe { &*(&raw const (*$line.area.as_ptr()).$($field).+.0) };
        word
    }};
}

impl Line {
    /// The rank's operations.
    pub(crate) fn submissions(&self) -> Consumer<'_, SharedSlots<Request>> {
        // SAFETY: in bounds of the mapped area; `SharedSlots` reaches it by volatile accesses only.
        let slots = unsafe {
            SharedSlots::new((&raw mut (*self.area.as_ptr()).submissions).cast(), SUBMISSIONS)
        };
        Consumer::new(
            slots,
            word!(self, header.submission_tail),
            word!(self, header.submission_head),
        )
    }

    /// Their ends.
    pub(crate) fn completions(&self) -> Producer<'_, SharedSlots<Completion>> {
        // SAFETY: in bounds of the mapped area; `SharedSlots` reaches it by volatile accesses only.
        let slots = unsafe {
            SharedSlots::new((&raw mut (*self.area.as_ptr()).completions).cast(), COMPLETIONS)
        };
        Producer::new(
            slots,
            word!(self, header.completion_tail),
            word!(self, header.completion_head),
        )
    }

    /// Set while the rank sleeps.
    pub(crate) fn rank_asleep(&self) -> Bell<'_> {
        Bell(word!(self, mailbox.asleep))
    }

    /// Set while the proxy sleeps.
    pub(crate) fn proxy_asleep(&self) -> Bell<'_> {
        Bell(word!(self, header.proxy_asleep))
    }

    /// The rank's gate to its neighbours' memory.
    pub(crate) fn gate(&self) -> Gate<'_> {
        Gate { epoch: word!(self, header.gate), inside: word!(self, header.inside) }
    }

    /// What the rank says that it did directly.
    pub(crate) fn tally(&self) -> Traffic {
        // SAFETY: as for the words.
        let tally = unsafe { &(*self.area.as_ptr()).header.tally };
        let read = |[operations, bytes]: &[AtomicU64; 2]| Tally {
            operations: operations.load(Ordering::Relaxed),
            bytes: bytes.load(Ordering::Relaxed),
        };
        Traffic {
            put: read(&tally.put),
            get: read(&tally.get),
            accumulate: read(&tally.accumulate),
            rmw: read(&tally.rmw),
            other: Tally::default(),
        }
    }

    /// Tells the rank how its job is.
    pub(crate) fn set_state(&self, state: JobState) {
        word!(self, header.state).store(state as u32, Ordering::Release);
        self.doorbell.ring();
    }

    /// The indices and flags as they are, for the log: what a job that hangs is waiting for.
    pub(crate) fn describe(&self) -> String {
        let load = |word: &AtomicU32| word.load(Ordering::Relaxed);
        format!(
            "submissions {} of {} taken, completions {} of {} taken, rank asleep {}, proxy asleep {}",
            load(word!(self, header.submission_head)),
            load(word!(self, header.submission_tail)),
            load(word!(self, header.completion_head)),
            load(word!(self, header.completion_tail)),
            load(word!(self, mailbox.asleep)),
            load(word!(self, header.proxy_asleep)),
        )
    }

    /// Its doorbell.
    pub(crate) fn doorbell(&self) -> &dyn Doorbell {
        &*self.doorbell
    }
}

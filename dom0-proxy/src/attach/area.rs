//! A rank's runtime area, as the proxy uses it: rings, gate, asleep words, tally.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use armci_nostd::shared::gate::Gate;
use armci_nostd::shared::ring::{Bell, Consumer, Producer, SharedSlots};
use armci_nostd::wire::area::MAGIC;
use armci_nostd::wire::{
    COMPLETIONS, Completion, JobState, PROTOCOL_VERSION, Request, RuntimeArea, SUBMISSIONS,
};

/// The words and rings of a rank that is mapped here, and that may write them at any time.
pub(crate) struct SharedArea(NonNull<RuntimeArea>);

// SAFETY: whoever made the value keeps the area mapped; it is reached by atomics, volatile reads
// and the rings' raw slots only.
unsafe impl Send for SharedArea {}

/// A reference to one of the area's words.
macro_rules! word {
    ($area:expr, $($field:ident).+) => {{
        // SAFETY: the area is mapped, whole and aligned, as long as the value lives; an atomic may
        // be shared with whoever else has the memory.
        let word: &AtomicU32 = unsafe { &*(&raw const (*$area.0.as_ptr()).$($field).+.0) };
        word
    }};
}

/// Operations and bytes of each kind that a rank says it has done directly.
pub(crate) struct DirectTally {
    pub(crate) put: [u64; 2],
    pub(crate) get: [u64; 2],
    pub(crate) accumulate: [u64; 2],
    pub(crate) rmw: [u64; 2],
}

/// How far a rank has come by its own account, for finding out who waits in vain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RankStanding {
    /// Steps of collectives of all ranks that it has begun.
    pub(crate) steps: u32,
    /// While it sleeps in a wait for another rank, and nothing is on its way to it: which of its
    /// waits that is.
    pub(crate) wait: Option<u32>,
}

impl SharedArea {
    /// The area at `area`.
    ///
    /// # Safety
    /// It must be mapped, whole and aligned, as long as the value lives.
    pub(super) unsafe fn new(area: NonNull<RuntimeArea>) -> Self {
        Self(area)
    }

    /// Whether it is one that this proxy understands; what is wrong if not.
    pub(crate) fn check(&self) -> Result<(), String> {
        // SAFETY: mapped by the type's promise. Volatile, since the rank may be writing.
        let magic = unsafe { (&raw const (*self.0.as_ptr()).header.magic).read_volatile() };
        if magic != MAGIC {
            return Err(format!("its runtime area starts with {magic:#x} instead of {MAGIC:#x}"));
        }
        // SAFETY: as above.
        let version = unsafe { (&raw const (*self.0.as_ptr()).header.version).read_volatile() };
        if version != PROTOCOL_VERSION {
            return Err(format!(
                "it speaks protocol version {version} and the proxy {PROTOCOL_VERSION}: \
                 rebuild the older of the two"
            ));
        }
        Ok(())
    }

    /// What the rank asks for.
    pub(crate) fn submissions(&self) -> Consumer<'_, SharedSlots<Request>> {
        // SAFETY: in bounds of the mapped area; `SharedSlots` reaches it by volatile accesses only.
        let slots = unsafe {
            SharedSlots::new((&raw mut (*self.0.as_ptr()).submissions).cast(), SUBMISSIONS)
        };
        Consumer::new(
            slots,
            word!(self, header.submission_tail),
            word!(self, header.submission_head),
        )
    }

    /// The answers.
    pub(crate) fn completions(&self) -> Producer<'_, SharedSlots<Completion>> {
        // SAFETY: in bounds of the mapped area; `SharedSlots` reaches it by volatile accesses only.
        let slots = unsafe {
            SharedSlots::new((&raw mut (*self.0.as_ptr()).completions).cast(), COMPLETIONS)
        };
        Producer::new(
            slots,
            word!(self, header.completion_tail),
            word!(self, header.completion_head),
        )
    }

    /// Set while the rank sleeps.
    pub(super) fn rank_asleep(&self) -> Bell<'_> {
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

    /// The number by which the rank is to stand still, or 0.
    pub(super) fn park(&self) -> &AtomicU32 {
        word!(self, header.park)
    }

    /// The number by which the rank says that it does.
    pub(super) fn parked(&self) -> &AtomicU32 {
        word!(self, header.parked)
    }

    /// What the rank says that it did directly, which may be anything.
    pub(crate) fn tally(&self) -> DirectTally {
        // SAFETY: as for the words.
        let tally = unsafe { &(*self.0.as_ptr()).header.tally };
        let read =
            |counts: &[AtomicU64; 2]| counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        DirectTally {
            put: read(&tally.put),
            get: read(&tally.get),
            accumulate: read(&tally.accumulate),
            rmw: read(&tally.rmw),
        }
    }

    /// How the rank gets on, as it says, which may be anything.
    pub(crate) fn standing(&self) -> RankStanding {
        let load = |word: &AtomicU32| word.load(Ordering::Acquire);
        // SAFETY: as for the words.
        let standing = unsafe { &(*self.0.as_ptr()).header.standing };
        let wait = load(&standing.waits);
        let is_quiet = load(word!(self, header.submission_head))
            == load(word!(self, header.submission_tail))
            && load(word!(self, header.completion_head))
                == load(word!(self, header.completion_tail));
        // Whoever wakes it clears this first.
        let is_asleep = load(word!(self, mailbox.asleep)) != 0;
        let waits = wait % 2 == 1 && is_quiet && is_asleep;
        RankStanding { steps: load(&standing.steps), wait: waits.then_some(wait) }
    }

    /// Says which host the rank is on.
    pub(super) fn set_host(&self, host: u32) {
        // SAFETY: as for the words.
        let word = unsafe { &(*self.0.as_ptr()).header.host };
        word.store(host, Ordering::Relaxed);
    }

    /// Says how the rank's job is.
    pub(super) fn set_state(&self, state: JobState) {
        word!(self, header.state).store(state as u32, Ordering::Release);
    }

    /// The indices and flags as they are, for the log: what a job that hangs is waiting for.
    pub(crate) fn describe(&self) -> String {
        let load = |word: &AtomicU32| word.load(Ordering::Relaxed);
        let standing = self.standing();
        format!(
            "submissions {} of {} taken, completions {} of {} taken, \
             rank asleep {}, proxy asleep {}, {} steps of collectives, {}",
            load(word!(self, header.submission_head)),
            load(word!(self, header.submission_tail)),
            load(word!(self, header.completion_head)),
            load(word!(self, header.completion_tail)),
            load(word!(self, mailbox.asleep)),
            load(word!(self, header.proxy_asleep)),
            standing.steps,
            if standing.wait.is_some() { "waits for another rank" } else { "does not wait" },
        )
    }
}

//! Takes entries from the rings of all ranks, does them, and answers.

use std::time::{Duration, Instant};

use armci_nostd::Fault;
use armci_nostd::serve::{Bounds, Busy, Checked, Effect, Work, apply, check};
use armci_nostd::shared::ring::{Consumer, IndexJumped, Producer, SharedSlots};
use armci_nostd::wire::{Completion, JobState, Request, Status};

use super::traffic::Traffic;
use crate::attach::{AttachedRank, Fleet};

/// Entries of one rank before the next has its turn.
const BATCH: usize = 32;
/// Bytes moved for one rank before the next has its turn.
const BATCH_BYTES: u64 = 256 * 1024;

/// How long the lock of a rank's memory may be held without a break. Ranks hold it for
/// microseconds; but their processors may have other things to do.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);

/// What a rank did wrong.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// An entry that asks for something impossible.
    #[error("bad ring entry: {0}")]
    Entry(#[from] Fault),
    /// Indices that cannot be.
    #[error("bad {ring} ring: {source}")]
    Index {
        /// Which ring.
        ring: &'static str,
        /// What is wrong.
        source: IndexJumped,
    },
    /// It holds the lock of a rank's memory, without which operations of others cannot be done.
    #[error("it has held the lock of rank {of}'s memory for more than 20 s")]
    Holds {
        /// Who holds it.
        holder: u32,
        /// Whose memory that is.
        of: u32,
    },
    /// The lock of its memory is not free, and who holds it is no rank.
    #[error("the lock of its memory has been held for more than 20 s by no rank (it says {says})")]
    Nobody {
        /// Whose memory that is.
        of: u32,
        /// What the lock says.
        says: u32,
    },
    /// The host has no memory for what it asks for. That is nobody's fault.
    #[error(
        "there is no memory for the window of rank {of}: {source}: use fewer ranks, or less memory"
    )]
    NoMemory {
        /// Whose.
        of: u32,
        /// What is said of that.
        source: std::io::Error,
    },
    /// More operations than it may have under way.
    #[error("it has more operations under way than its completion ring holds")]
    Overrun,
}

impl Violation {
    /// Who has done it, found out while `served` was served.
    fn culprit(&self, served: u32) -> u32 {
        match *self {
            Self::Holds { holder, .. } => holder,
            Self::Nobody { of, .. } => of,
            Self::Entry(_) | Self::Index { .. } | Self::NoMemory { .. } | Self::Overrun => served,
        }
    }
}

/// The lock that a rank's next operation waits for.
#[derive(Clone, Copy)]
struct LockedOut {
    /// Whose memory it locks.
    of: u32,
    /// What it says of its holder.
    says: u32,
    /// Since when it has said that.
    since: Instant,
}

impl LockedOut {
    /// What is wrong when that has taken too long, in a job of `size` ranks.
    fn violation(&self, size: u32) -> Violation {
        let Self { of, says, .. } = *self;
        match says.checked_sub(1).filter(|holder| *holder < size) {
            Some(holder) => Violation::Holds { holder, of },
            None => Violation::Nobody { of, says },
        }
    }
}

/// One rank, as it is served.
struct Served<'a> {
    rank: &'a AttachedRank,
    submissions: Consumer<'a, SharedSlots<Request>>,
    completions: Producer<'a, SharedSlots<Completion>>,
    traffic: &'a mut Traffic,
    /// What its next operation waits for.
    locked_out: Option<LockedOut>,
}

/// Serves the ranks of one job.
pub struct Rounds<'a> {
    fleet: &'a Fleet,
    /// Of each rank's memory.
    bounds: Vec<Bounds>,
    ranks: Vec<Served<'a>>,
    /// Ranks to be woken at the end of the batch.
    to_wake: Vec<u32>,
    /// Operations that have come to their end since the gates were last closed.
    drained: u64,
}

impl<'a> Rounds<'a> {
    /// Takes up all rings where they are.
    pub fn new(fleet: &'a Fleet, traffic: &'a mut [Traffic]) -> Self {
        let ranks = fleet
            .ranks()
            .iter()
            .zip(traffic)
            .map(|(rank, traffic)| Served {
                rank,
                submissions: rank.area().submissions(),
                completions: rank.area().completions(),
                traffic,
                locked_out: None,
            })
            .collect();
        let bounds = fleet.windows().iter().map(|window| window.bounds().clone()).collect();
        Self { fleet, bounds, ranks, to_wake: Vec::new(), drained: 0 }
    }

    /// Takes up all rings anew where they are, since other memory has been laid over them, and
    /// tells the ranks that they are served.
    pub fn take_up(&mut self) {
        for served in &mut self.ranks {
            served.submissions = served.rank.area().submissions();
            served.completions = served.rank.area().completions();
            served.locked_out = None;
            served.rank.tell(JobState::Attached);
        }
    }

    /// What was served for each rank.
    pub fn traffic(&self) -> Vec<Traffic> {
        self.ranks.iter().map(|served| *served.traffic).collect()
    }

    /// The gates are being closed: from now on what comes to its end is counted. This many ranks
    /// are in the middle of an operation of their own.
    pub fn begin_to_drain(&mut self, inside: usize) {
        self.drained = inside as u64;
    }

    /// Operations that have come to their end since the gates were last closed: entries served, and
    /// what ranks were in the middle of then.
    pub fn drained(&self) -> u64 {
        self.drained
    }

    /// Whether no request waits in any ring.
    pub fn are_quiet(&self) -> bool {
        !self.ranks.iter().any(|served| served.submissions.has_entries())
    }

    /// Gives every rank one turn. Whether there was anything to do, or which rank did what wrong.
    pub fn round(&mut self) -> Result<bool, (u32, Violation)> {
        let mut worked = false;
        for rank in 0..self.ranks.len() {
            let turn = self.turn(rank);
            worked |= turn.map_err(|violation| (violation.culprit(rank as u32), violation))?;
        }
        Ok(worked)
    }

    /// Serves a batch of one rank.
    fn turn(&mut self, rank: usize) -> Result<bool, Violation> {
        let served = &mut self.ranks[rank];
        let (mut entries, mut bytes) = (0, 0);
        while entries < BATCH && bytes < BATCH_BYTES {
            let next = served.submissions.pop();
            let next = next.map_err(|source| Violation::Index { ring: "submission", source })?;
            let Some(request) = next else { break };
            let checked = check(&request, &self.bounds[rank], &self.bounds)?;
            let done = match &checked {
                // Work is done in the order of requests, and at once: all earlier is done.
                Checked::Fence { .. } => Ok(0),
                Checked::Work(work) => {
                    let windows = self.fleet.windows();
                    provide(self.fleet, rank, work)?;
                    apply(work, &windows[rank], &windows[work.target() as usize])
                }
            };
            let value = match done {
                Ok(value) => value,
                Err(Busy { holder }) => {
                    // A rank is at work on that memory: others have their turn first.
                    served.submissions.put_back();
                    let now = LockedOut { of: request.rank, says: holder, since: Instant::now() };
                    let same = |then: &LockedOut| (then.of, then.says) == (now.of, now.says);
                    // One that is held by one rank after the other is let go in between.
                    let locked_out = served.locked_out.filter(same).unwrap_or(now);
                    served.locked_out = Some(locked_out);
                    if locked_out.since.elapsed() > LOCK_PATIENCE {
                        return Err(locked_out.violation(self.fleet.ranks().len() as u32));
                    }
                    break;
                }
            };
            served.locked_out = None;
            let completion = Completion { tag: request.tag, status: Status::Ok as u32, value };
            let pushed = served.completions.push(completion);
            if !pushed.map_err(|source| Violation::Index { ring: "completion", source })? {
                return Err(Violation::Overrun);
            }
            let moved = count(served.traffic, &checked);
            self.to_wake.extend(checked.notify());
            entries += 1;
            bytes += moved;
        }
        if entries == 0 {
            return Ok(false);
        }
        self.drained += entries as u64;
        // In this order: who sees a completion finds room for the next request.
        served.submissions.release();
        served.completions.publish();
        served.rank.wake();
        for target in self.to_wake.drain(..) {
            if let Some(rank) = self.fleet.ranks().get(target as usize) {
                rank.wake();
            }
        }
        Ok(true)
    }

    /// Asks all ranks to ring when they have something; false when one has already, other than what
    /// waits for a lock.
    pub fn fall_asleep(&self) -> bool {
        self.ranks.iter().for_each(|served| served.rank.area().proxy_asleep().arm());
        let has_work =
            |served: &Served<'_>| served.locked_out.is_none() && served.submissions.has_entries();
        !self.ranks.iter().any(has_work)
    }

    /// Whether an operation waits for a lock, which nobody rings to let go.
    pub fn waits_for_lock(&self) -> bool {
        self.ranks.iter().any(|served| served.locked_out.is_some())
    }

    /// Forgets how long ranks have been locked out: nobody was served meanwhile, or could let go.
    pub fn restart_patience(&mut self) {
        let locked_out = self.ranks.iter_mut().filter_map(|served| served.locked_out.as_mut());
        locked_out.for_each(|locked_out| locked_out.since = Instant::now());
    }

    /// No ringing is wanted any more.
    pub fn wake_up(&self) {
        self.ranks.iter().for_each(|served| served.rank.area().proxy_asleep().disarm());
    }
}

/// Has whoever pays for it provide what `work` touches.
fn provide(fleet: &Fleet, asking: usize, work: &Work) -> Result<(), Violation> {
    let (own, at_target) = work.touches();
    for (rank, range) in [(asking, own), (work.target() as usize, at_target)] {
        if !range.is_empty() {
            let start = fleet.windows()[rank].bounds().window().start;
            let provided =
                fleet.ranks()[rank].memory().provide(range.start - start..range.end - start);
            provided.map_err(|source| Violation::NoMemory { of: rank as u32, source })?;
        }
    }
    Ok(())
}

/// Counts what was done. Returns the bytes that it moved.
fn count(traffic: &mut Traffic, done: &Checked) -> u64 {
    let (kind, bytes) = match done {
        Checked::Fence { .. } => (&mut traffic.other, 0),
        Checked::Work(work) => {
            let kind = match work.effect() {
                Effect::PutInline { .. } | Effect::Put { .. } => &mut traffic.put,
                Effect::Get { .. } => &mut traffic.get,
                Effect::Accumulate { .. } => &mut traffic.accumulate,
                Effect::ReadModifyWrite { .. } => &mut traffic.rmw,
            };
            (kind, work.bytes())
        }
    };
    kind.add(1, bytes);
    bytes
}

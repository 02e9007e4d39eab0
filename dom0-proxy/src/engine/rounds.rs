//! Takes entries from the rings of all ranks, does them, or has the proxies of other hosts do them,
//! and answers.

use std::ops::Range;
use std::time::{Duration, Instant};

use armci_nostd::Fault;
use armci_nostd::serve::{Bounds, Busy, Checked, Effect, Own, apply, check, check_from_elsewhere};
use armci_nostd::shared::ring::{Consumer, IndexJumped, Producer, SharedSlots};
use armci_nostd::wire::{Completion, JobState, Request, Status};

use super::elsewhere::{Asked, Elsewhere};
use super::traffic::Traffic;
use crate::attach::{AttachedRank, Fleet};
use crate::fabric::{Awaited, PeerTrouble, Serve};

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

/// Why a job cannot go on.
#[derive(Debug)]
pub enum Trouble {
    /// A rank did something wrong.
    Violation {
        /// The rank.
        rank: u32,
        /// What that was.
        violation: Violation,
    },
    /// The proxy of another host is gone, or does what a proxy does not do.
    HostLost {
        /// The host.
        host: u32,
        /// What is known of that.
        why: String,
    },
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
    /// What is known now, if `before` was known the last time. Who holds a lock for too long is
    /// found out.
    fn after(
        before: Option<Self>,
        of: u32,
        Busy { holder }: Busy,
        size: u32,
    ) -> Result<Self, Violation> {
        let now = Self { of, says: holder, since: Instant::now() };
        // One that is held by one rank after the other is let go in between.
        let same = |then: &Self| (then.of, then.says) == (now.of, now.says);
        let locked_out = before.filter(same).unwrap_or(now);
        match locked_out.since.elapsed() > LOCK_PATIENCE {
            true => Err(locked_out.violation(size)),
            false => Ok(locked_out),
        }
    }

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
    number: u32,
    rank: &'a AttachedRank,
    submissions: Consumer<'a, SharedSlots<Request>>,
    completions: Producer<'a, SharedSlots<Completion>>,
    traffic: &'a mut Traffic,
    /// What its next operation waits for.
    locked_out: Option<LockedOut>,
    /// Whether its next operation waits for another host.
    waits_for_host: bool,
    /// How many bytes of that were asked for there.
    asked: u64,
}

impl Served<'_> {
    /// Answers an operation.
    fn complete(&mut self, tag: u32, value: u64) -> Result<(), Violation> {
        let completion = Completion { tag, status: Status::Ok as u32, value };
        let pushed = self.completions.push(completion);
        match pushed.map_err(|source| Violation::Index { ring: "completion", source })? {
            true => Ok(()),
            false => Err(Violation::Overrun),
        }
    }
}

/// Serves the ranks of one job.
pub struct Rounds<'a> {
    fleet: &'a Fleet,
    /// Of each rank's memory, also of those elsewhere.
    bounds: Vec<Bounds>,
    /// By place.
    ranks: Vec<Served<'a>>,
    elsewhere: Elsewhere,
    /// Of which host an operation waits for a lock, by place among those.
    hosts_locked_out: Vec<Option<LockedOut>>,
    /// Ranks to be woken at the end of the batch.
    to_wake: Vec<u32>,
    /// Operations that have come to their end since the gates were last closed.
    drained: u64,
}

impl<'a> Rounds<'a> {
    /// Takes up all rings where they are. `traffic` is by rank, of all hosts.
    pub fn new(fleet: &'a Fleet, elsewhere: Elsewhere, traffic: &'a mut [Traffic]) -> Self {
        let traffic = traffic.iter_mut().enumerate();
        let traffic = traffic.filter(|(number, _)| fleet.place(*number as u32).is_some());
        let ranks = fleet
            .numbered()
            .zip(traffic)
            .map(|((number, rank), (_, traffic))| Served {
                number,
                rank,
                submissions: rank.area().submissions(),
                completions: rank.area().completions(),
                traffic,
                locked_out: None,
                waits_for_host: false,
                asked: 0,
            })
            .collect();
        let hosts_locked_out = vec![None; elsewhere.hosts()];
        Self {
            fleet,
            bounds: elsewhere.bounds(fleet),
            ranks,
            elsewhere,
            hosts_locked_out,
            to_wake: Vec::new(),
            drained: 0,
        }
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

    /// By rank, of all hosts: what was served for it here.
    pub fn traffic(&self) -> Vec<Traffic> {
        let mut traffic = vec![Traffic::default(); self.bounds.len()];
        for served in &self.ranks {
            traffic[served.number as usize] = *served.traffic;
        }
        traffic
    }

    /// Tells other hosts that nothing more is to come from here.
    pub fn end(&mut self) {
        self.elsewhere.say_bye();
    }

    /// A host that has not done, or was not asked for, all of what was begun, if there is one.
    pub fn not_drained(&self) -> Option<u32> {
        let begun = self.ranks.iter().any(|served| served.asked > 0);
        self.elsewhere.not_drained().or_else(|| begun.then(|| self.elsewhere.number(0)))
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

    /// Gives every rank one turn, and every other host. Whether there was anything to do, or why
    /// the job cannot go on.
    pub fn round(&mut self) -> Result<bool, Trouble> {
        let mut worked = false;
        for place in 0..self.ranks.len() {
            let turn = self.turn(place, BATCH);
            let number = self.ranks[place].number;
            worked |= turn.map_err(|violation| Trouble::Violation {
                rank: violation.culprit(number),
                violation,
            })?;
        }
        Ok(self.serve_hosts()? || worked)
    }

    /// Does what other hosts ask for, and takes what they answer. Whether that was anything.
    pub fn serve_hosts(&mut self) -> Result<bool, Trouble> {
        let mut worked = false;
        for place in 0..self.elsewhere.hosts() {
            let Self { fleet, bounds, ranks, hosts_locked_out, to_wake, .. } = self;
            let mut serving = ServingHost {
                fleet,
                bounds,
                ranks,
                locked_out: &mut hosts_locked_out[place],
                to_wake,
                answered: Vec::new(),
            };
            let polled = self.elsewhere.poll(place, &mut serving);
            let answered = serving.answered;
            worked |= polled.map_err(|trouble| match trouble {
                PeerTrouble::Lost(why) => {
                    Trouble::HostLost { host: self.elsewhere.number(place), why }
                }
                PeerTrouble::Own((rank, violation)) => {
                    Trouble::Violation { rank: violation.culprit(rank), violation }
                }
            })?;
            for place in answered {
                let served = &mut self.ranks[place];
                served.completions.publish();
                served.rank.wake();
            }
            self.wake_ranks();
        }
        Ok(worked)
    }

    /// Has operations come to their end of which another host was asked for a part: what is asked
    /// for twice would be done twice, and only this proxy knows how far they are.
    pub fn end_what_was_begun(&mut self) -> Result<(), Trouble> {
        for place in 0..self.ranks.len() {
            if self.ranks[place].asked > 0 {
                let number = self.ranks[place].number;
                self.turn(place, 1).map_err(|violation| Trouble::Violation {
                    rank: violation.culprit(number),
                    violation,
                })?;
            }
        }
        Ok(())
    }

    /// Serves as many entries of one rank at most.
    fn turn(&mut self, place: usize, most: usize) -> Result<bool, Violation> {
        let size = self.bounds.len() as u32;
        let served = &mut self.ranks[place];
        let own = &self.fleet.windows()[place];
        served.waits_for_host = false;
        let (mut entries, mut bytes) = (0, 0);
        while entries < most && bytes < BATCH_BYTES {
            let next = served.submissions.pop();
            let next = next.map_err(|source| Violation::Index { ring: "submission", source })?;
            let Some(request) = next else { break };
            let checked = check(&request, &self.bounds[served.number as usize], &self.bounds)?;
            let done = match &checked {
                // Work here is done in the order of requests, and at once: all earlier is done.
                Checked::Fence { target, notify } => {
                    match self.elsewhere.fence(served.number, *target, *notify) {
                        true => Ok(Some(0)),
                        false => Err(None),
                    }
                }
                Checked::Work(work) => {
                    let (of_own, of_target) = work.touches();
                    provide(self.fleet, place, of_own)?;
                    match self.fleet.place(work.target()) {
                        Some(target) => {
                            provide(self.fleet, target, of_target)?;
                            let target = &self.fleet.windows()[target];
                            apply(work, Own::Window(own), target).map(Some).map_err(Some)
                        }
                        None => {
                            let (number, asked) = (served.number, &mut served.asked);
                            match self.elsewhere.ask(number, &request, work, own, asked) {
                                Asked::Complete => Ok(Some(0)),
                                Asked::ToBeAnswered => Ok(None),
                                Asked::NoRoom => Err(None),
                            }
                        }
                    }
                }
            };
            let value = match done {
                Ok(value) => value,
                Err(busy) => {
                    // A rank is at work on that memory, or another host has to get on: others have
                    // their turn first.
                    served.submissions.put_back();
                    match busy {
                        Some(busy) => {
                            let before = served.locked_out;
                            let now = LockedOut::after(before, request.rank, busy, size)?;
                            served.locked_out = Some(now);
                        }
                        None => served.waits_for_host = true,
                    }
                    break;
                }
            };
            served.locked_out = None;
            served.asked = 0;
            if let Some(value) = value {
                served.complete(request.tag, value)?;
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
        self.wake_ranks();
        Ok(true)
    }

    /// Wakes the ranks here that are to be woken.
    fn wake_ranks(&mut self) {
        for target in self.to_wake.drain(..) {
            if let Some(rank) = self.fleet.rank(target) {
                rank.wake();
            }
        }
    }

    /// Asks all ranks to ring when they have something; false when one has already, other than what
    /// waits for a lock or for another host.
    pub fn fall_asleep(&self) -> bool {
        self.ranks.iter().for_each(|served| served.rank.area().proxy_asleep().arm());
        let has_work = |served: &Served<'_>| {
            served.locked_out.is_none()
                && !served.waits_for_host
                && served.submissions.has_entries()
        };
        !self.ranks.iter().any(has_work)
    }

    /// Whether an operation waits for a lock, which nobody rings to let go.
    pub fn waits_for_lock(&self) -> bool {
        let mut locked_out = self.ranks.iter().map(|served| served.locked_out);
        locked_out.any(|it| it.is_some()) || self.hosts_locked_out.iter().any(Option::is_some)
    }

    /// Forgets how long ranks have been locked out: nobody was served meanwhile, or could let go.
    pub fn restart_patience(&mut self) {
        let of_ranks = self.ranks.iter_mut().filter_map(|served| served.locked_out.as_mut());
        let locked_out = of_ranks.chain(self.hosts_locked_out.iter_mut().flatten());
        locked_out.for_each(|locked_out| locked_out.since = Instant::now());
    }

    /// No ringing is wanted any more.
    pub fn wake_up(&self) {
        self.ranks.iter().for_each(|served| served.rank.area().proxy_asleep().disarm());
    }
}

/// What is done for one other host.
struct ServingHost<'r, 'a> {
    fleet: &'a Fleet,
    bounds: &'r [Bounds],
    ranks: &'r mut [Served<'a>],
    locked_out: &'r mut Option<LockedOut>,
    to_wake: &'r mut Vec<u32>,
    /// Places of ranks whose operations have been answered.
    answered: Vec<usize>,
}

/// A rank that is served, and what is wrong.
type OwnTrouble = (u32, Violation);

impl Serve<OwnTrouble> for ServingHost<'_, '_> {
    fn hello(&mut self, _: &[u8]) -> Result<(), PeerTrouble<OwnTrouble>> {
        Err(PeerTrouble::Lost("it says twice who it is".into()))
    }

    fn ask(
        &mut self,
        request: &Request,
        data: &mut [u8],
    ) -> Result<Option<u64>, PeerTrouble<OwnTrouble>> {
        let lost = |why: String| PeerTrouble::Lost(format!("it asks for what cannot be: {why}"));
        let checked = check_from_elsewhere(request, self.bounds);
        let checked = checked.map_err(|fault| lost(fault.to_string()))?;
        let Checked::Work(work) = &checked else {
            return Err(lost("fences are for its own ranks".into()));
        };
        let target = work.target();
        let Some(place) = self.fleet.place(target) else {
            return Err(lost(format!("rank {target} is not here")));
        };
        let carried = match work.effect() {
            Effect::Put { len, .. } | Effect::Get { len, .. } | Effect::Accumulate { len, .. } => {
                *len
            }
            Effect::PutInline { .. } | Effect::ReadModifyWrite { .. } => 0,
        };
        if carried != data.len() as u64 {
            return Err(lost(format!("{} bytes come with {carried}", data.len())));
        }
        let own = |violation| PeerTrouble::Own((target, violation));
        provide(self.fleet, place, work.touches().1).map_err(own)?;
        match apply(work, Own::Bytes(data), &self.fleet.windows()[place]) {
            Ok(value) => {
                *self.locked_out = None;
                self.to_wake.extend(checked.notify());
                Ok(Some(value))
            }
            Err(busy) => {
                let size = self.bounds.len() as u32;
                let now = LockedOut::after(*self.locked_out, target, busy, size).map_err(own)?;
                *self.locked_out = Some(now);
                Ok(None)
            }
        }
    }

    fn answer(
        &mut self,
        awaited: &Awaited,
        value: u64,
        data: &[u8],
    ) -> Result<(), PeerTrouble<OwnTrouble>> {
        let Awaited { rank, tag, address, is_last, .. } = *awaited;
        let Some(place) = self.fleet.place(rank) else { return Ok(()) };
        if !data.is_empty() {
            self.fleet.windows()[place].write(address, data);
        }
        if is_last {
            let completed = self.ranks[place].complete(tag, value);
            completed.map_err(|violation| PeerTrouble::Own((rank, violation)))?;
            self.answered.push(place);
        }
        Ok(())
    }
}

/// Has whoever pays for it provide this range of the memory of the rank at that place.
fn provide(fleet: &Fleet, place: usize, range: Range<u64>) -> Result<(), Violation> {
    if range.is_empty() {
        return Ok(());
    }
    let start = fleet.windows()[place].bounds().window().start;
    let provided = fleet.ranks()[place].memory().provide(range.start - start..range.end - start);
    provided.map_err(|source| Violation::NoMemory { of: fleet.numbers()[place], source })
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

//! The engine's thread.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use armci_nostd::serve::Window;
use armci_nostd::wire::JobState;

use super::copied::Copied;
use super::doorbells::Doorbells;
use super::elsewhere::Elsewhere;
use super::free_memory::free_pages_of;
use super::gates::{Gates, Inside};
use super::notice::Notice;
use super::order::EngineOrder;
use super::parking::Parking;
use super::patience::{LockPause, Patience, Pause};
use super::placement::Placement;
use super::rounds::{Rounds, Trouble, Violation};
use super::service::{Input, OrderError, Service, ServiceAction, ServiceState};
use super::traffic::Traffic;
use crate::attach::{AttachedRank, Fleet, Introductions, RankAttachment, RankStanding, Told};
use crate::fabric::{Peer, TcpLink};

/// How long no rank may take anything of what it is told of the others.
const INTRODUCTION_PATIENCE: Duration = Duration::from_secs(10);
/// Before that is tried again.
const INTRODUCTION_PAUSE: Duration = Duration::from_micros(200);

/// How long another host may take for what it was asked for, when nothing new is taken.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);
/// How often to look whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(1);

/// How often to look whether ranks stand still, should one not ring.
const PARK_LOOK: Duration = Duration::from_millis(20);

/// The thread, before it runs.
pub(super) struct Worker {
    /// Which ranks of the job run here, and where the others run.
    pub placement: Placement,
    /// Whether they are domains whose memory is to be filled.
    pub lands: bool,
    /// What to do between two looks.
    pub pause: Pause,
    /// What is asked for.
    pub incoming: Receiver<EngineOrder>,
    /// Whether there may be an order.
    pub ordered: Arc<AtomicBool>,
    /// Whether to end.
    pub ending: Arc<AtomicBool>,
    /// Whether the ranks are stopped by their user, and take as long as they are.
    pub stopped: Arc<AtomicBool>,
    /// Ends a block of the thread.
    pub wake: Arc<OwnedFd>,
}

impl Worker {
    /// Serves the ranks until told to stop. `tell` hears what the job must know.
    pub fn run(self, traffic: &mut [Traffic], tell: &impl Fn(Notice)) -> io::Result<()> {
        let Some(Gathered { fleet, mut ended, peers }) = self.gather()? else { return Ok(()) };
        let tell_ranks = |state| fleet.ranks().iter().for_each(|rank| rank.tell(state));
        let mut elsewhere = Elsewhere::new(self.placement.clone(), peers);
        let mut doorbells = Doorbells::new(&fleet, self.wake.as_fd(), elsewhere.fds())?;
        let met = match self.greet(&fleet, &mut elsewhere, &mut doorbells, &mut ended)? {
            Ok(true) => self.introduce(&fleet, &mut ended),
            not_met => not_met,
        };
        match met {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(notice) => {
                tell(notice);
                tell_ranks(JobState::Failed);
                self.wait_for_end();
                return Ok(());
            }
        }
        let mut gates = Gates::new(&fleet);
        let mut parking = Parking::new(&fleet, self.lands);
        ended.into_iter().for_each(|rank| parking.ended(rank));
        let service = if self.lands {
            tell(Notice::Waiting);
            Service::of_landing()
        } else {
            gates.open();
            tell_ranks(JobState::Attached);
            tell(Notice::Open);
            Service::new()
        };
        let mut rounds = Rounds::new(&fleet, elsewhere, traffic);
        let trouble =
            self.serve(service, &fleet, &mut gates, &mut rounds, &mut parking, &mut doorbells)?;
        gates.close();
        rounds.end();
        if !parking.is_to_land() {
            for (number, rank) in fleet.numbered() {
                traffic[number as usize].add_direct(&rank.area().tally());
            }
        }
        if let Some(trouble) = trouble {
            // In this order, so that the job hears of the cause before any rank can end because of
            // it.
            tell(match trouble {
                Trouble::Violation {
                    violation: violation @ Violation::NoMemory { .. }, ..
                } => Notice::Broken(violation.to_string()),
                Trouble::Violation { rank, violation } => {
                    Notice::Violation { rank, cause: violation.to_string() }
                }
                Trouble::HostLost { host, why } => Notice::HostLost { host, why },
            });
            tell_ranks(JobState::Failed);
            self.wait_for_end();
        }
        Ok(())
    }

    /// Waits until all ranks that run here are there, and connections to all other hosts; `None`
    /// when the job ends before.
    fn gather(&self) -> io::Result<Option<Gathered>> {
        let Placement { host, .. } = self.placement;
        let mut ranks: BTreeMap<u32, Option<RankAttachment>> =
            self.placement.ranks_on(host).map(|rank| (rank, None)).collect();
        let mut hosts: BTreeMap<u32, Option<Peer>> =
            self.placement.others().into_iter().map(|host| (host, None)).collect();
        let mut missing = ranks.len() + hosts.len();
        let mut ended = Vec::new();
        while missing > 0 {
            // Before there are ranks there are no gates, which whoever waits for them learns by the
            // end of its channel.
            match self.incoming.recv() {
                Ok(EngineOrder::Attach(rank, attachment)) => {
                    if let Some(slot @ None) = ranks.get_mut(&rank) {
                        *slot = Some(attachment);
                        missing -= 1;
                    }
                }
                Ok(EngineOrder::Link(host, stream)) => {
                    if let Some(slot @ None) = hosts.get_mut(&host) {
                        *slot = Some(Peer::new(Box::new(TcpLink::new(stream)?)));
                        missing -= 1;
                    }
                }
                Ok(EngineOrder::Ended(rank)) => ended.push(rank),
                Ok(EngineOrder::End) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
        let ranks = ranks.into_iter().filter_map(|(rank, there)| Some((rank, there?))).collect();
        let peers = hosts.into_iter().filter_map(|(host, there)| Some((host, there?))).collect();
        Ok(Some(Gathered { fleet: Fleet::new(ranks), ended, peers }))
    }

    /// Exchanges with the other hosts what must be known of all ranks. False when the job ends
    /// meanwhile.
    fn greet(
        &self,
        fleet: &Fleet,
        elsewhere: &mut Elsewhere,
        doorbells: &mut Doorbells<'_>,
        ended: &mut Vec<u32>,
    ) -> io::Result<Result<bool, Notice>> {
        fleet.ranks().iter().for_each(|rank| rank.tell_host(self.placement.host));
        elsewhere.say_hello(fleet)?;
        while !self.ending.load(Ordering::Acquire) {
            self.note_ends(ended);
            match elsewhere.greet() {
                Ok(true) => return Ok(Ok(true)),
                Ok(false) => doorbells.wait()?,
                Err((host, why)) => return Ok(Err(Notice::HostLost { host, why })),
            }
        }
        Ok(Ok(false))
    }

    /// Takes note of ranks that have ended. Who asks for something now hears that the job does not
    /// run.
    fn note_ends(&self, ended: &mut Vec<u32>) {
        ended.extend(self.incoming.try_iter().filter_map(|order| match order {
            EngineOrder::Ended(rank) => Some(rank),
            _ => None,
        }));
    }

    /// Tells all ranks that are processes of each other. False when the job ends meanwhile.
    fn introduce(&self, fleet: &Fleet, ended: &mut Vec<u32>) -> Result<bool, Notice> {
        let mut introductions = Introductions::new(fleet);
        let mut since = Instant::now();
        while !self.ending.load(Ordering::Acquire) {
            self.note_ends(ended);
            match introductions.tell() {
                Told::All => return Ok(true),
                Told::Some => since = Instant::now(),
                Told::Stuck { .. } if self.stopped.load(Ordering::Acquire) => {
                    since = Instant::now();
                }
                Told::Stuck { .. } if since.elapsed() < INTRODUCTION_PATIENCE => {}
                Told::Stuck { rank, in_flight: false } => {
                    let cause = "it does not read what it is told of other ranks".into();
                    return Err(Notice::Violation { rank, cause });
                }
                Told::Stuck { rank, in_flight: true } => {
                    return Err(Notice::Broken(format!(
                        "rank {rank} could not be told of other ranks, because too many file \
                         descriptors of this user are on their way: run fewer ranks at a time, or \
                         raise the limit (ulimit -n)"
                    )));
                }
            }
            thread::sleep(INTRODUCTION_PAUSE);
        }
        Ok(false)
    }

    /// Serves until told to end, or the job cannot go on.
    fn serve(
        &self,
        mut service: Service<Asker>,
        fleet: &Fleet,
        gates: &mut Gates<'_>,
        rounds: &mut Rounds<'_>,
        parking: &mut Parking<'_>,
        doorbells: &mut Doorbells<'_>,
    ) -> io::Result<Option<Trouble>> {
        let mut patience = Patience::new(self.pause);
        let mut lock_pause = LockPause::default();
        let mut drains_since = None;
        while !self.ending.load(Ordering::Acquire) {
            if self.ordered.swap(false, Ordering::AcqRel) {
                self.take_orders(fleet, &mut service, gates, rounds, parking);
            }
            if service.state() != ServiceState::Draining {
                drains_since = None;
            }
            if self.stopped.load(Ordering::Acquire) {
                gates.restart_patience();
                rounds.restart_patience();
                parking.restart_patience();
            }
            match service.state() {
                ServiceState::Stopped | ServiceState::Parked => {
                    // Ranks are asleep or not, as they are; who rings now is seen when serving
                    // begins again, with all that is in the rings. What ranks elsewhere asked for
                    // before is still done.
                    match rounds.serve_hosts() {
                        Ok(true) => {}
                        Ok(false) if rounds.waits_for_lock() => {
                            doorbells.wait_for(lock_pause.next())?;
                        }
                        Ok(false) => doorbells.wait()?,
                        Err(trouble) => return Ok(Some(trouble)),
                    }
                    continue;
                }
                state @ (ServiceState::Parking | ServiceState::Landing) => {
                    let looked = match state {
                        ServiceState::Parking => (parking.look(), Input::AllParked),
                        _ => (parking.have_landed(), Input::AllLanded),
                    };
                    let input = match looked {
                        (Ok(true), all) => all,
                        (Err(why), Input::AllParked) => Input::OneMoves(why),
                        (Err(why), _) => Input::OneStands(why),
                        (Ok(false), _) => {
                            // Who stands still rings.
                            doorbells.wait_for(PARK_LOOK)?;
                            continue;
                        }
                    };
                    act(&mut service, input, gates, rounds, parking);
                    continue;
                }
                ServiceState::Draining => {
                    let since = *drains_since.get_or_insert_with(Instant::now);
                    let served = rounds.end_what_was_begun().and_then(|()| rounds.serve_hosts());
                    if let Err(trouble) = served {
                        return Ok(Some(trouble));
                    }
                    let input = match rounds.not_drained() {
                        None => Input::AllBack,
                        Some(host) if since.elapsed() >= DRAIN_PATIENCE => Input::OneOut(host),
                        Some(_) => {
                            doorbells.wait_for(DRAIN_LOOK)?;
                            continue;
                        }
                    };
                    drains_since = None;
                    act(&mut service, input, gates, rounds, parking);
                    continue;
                }
                ServiceState::Closing => look_inside(&mut service, gates, rounds, parking),
                ServiceState::Open | ServiceState::Closed => {}
            }
            match rounds.round() {
                Err(trouble) => return Ok(Some(trouble)),
                Ok(true) => {
                    patience.worked();
                    lock_pause.reset();
                    continue;
                }
                Ok(false) if service.state() == ServiceState::Closing => continue,
                Ok(false) if patience.look_again() => continue,
                Ok(false) => {}
            }
            if rounds.fall_asleep() {
                if rounds.waits_for_lock() {
                    doorbells.wait_for(lock_pause.next())?;
                } else {
                    lock_pause.reset();
                    patience.blocks();
                    doorbells.wait()?;
                    patience.woken();
                }
            }
            rounds.wake_up();
        }
        Ok(None)
    }

    fn take_orders(
        &self,
        fleet: &Fleet,
        service: &mut Service<Asker>,
        gates: &mut Gates<'_>,
        rounds: &mut Rounds<'_>,
        parking: &mut Parking<'_>,
    ) {
        while let Ok(order) = self.incoming.try_recv() {
            match order {
                // All ranks are attached; dropping it detaches whoever that is. So with hosts.
                EngineOrder::Attach(..) | EngineOrder::Link(..) => {}
                // Seen by its flag, too.
                EngineOrder::End => {}
                EngineOrder::Ended(rank) => parking.ended(rank),
                EngineOrder::Change(change, reply) => {
                    act(service, Input::Wanted(change, reply), gates, rounds, parking);
                }
                EngineOrder::Standings(reply) => {
                    let mut standings = vec![RankStanding::default(); self.placement.size()];
                    for (number, rank) in fleet.numbered() {
                        standings[number as usize] = rank.area().standing();
                    }
                    // Whoever asked may be gone.
                    let _ = reply.send(Ok(standings));
                }
                EngineOrder::Describe(reply) => {
                    let state = service.state();
                    let describe = |(number, rank): (u32, &AttachedRank)| {
                        (number, format!("{}; {state}", rank.area().describe()))
                    };
                    // Whoever asked may be gone.
                    let _ = reply.send(Ok(fleet.numbered().map(describe).collect()));
                }
                // Whoever asked may be gone, here and below.
                EngineOrder::Traffic(reply) => drop(reply.send(Ok(rounds.traffic()))),
                EngineOrder::IsQuiet(reply) => {
                    let is_open = service.state() == ServiceState::Open;
                    let _ = reply.send(is_open && rounds.are_quiet() && gates.are_quiet());
                }
                EngineOrder::Drained(reply) => drop(reply.send(Ok(rounds.drained()))),
                EngineOrder::StoodStill(reply) => drop(reply.send(Ok(parking.stood_still()))),
                EngineOrder::Layouts(reply) => {
                    let layouts = fleet.windows().iter().map(|window| window.bounds().layout());
                    let _ = reply.send(Ok(layouts.collect()));
                }
                EngineOrder::FillWindow { rank, offset, bytes, reply } => {
                    let filled = match service.state() {
                        ServiceState::Parked if parking.is_to_land() => {
                            parking.fill(rank, offset, &bytes).map(|()| bytes)
                        }
                        state => Err(OrderError::NotNow(state)),
                    };
                    let _ = reply.send(filled);
                }
                EngineOrder::CopyWindow { rank, buffer, reply } => {
                    let free = |window: &Window| match service.state() {
                        ServiceState::Parked if parking.stands_still(rank) => free_pages_of(window),
                        _ => Vec::new(),
                    };
                    let copied = match (service.state(), fleet.window(rank)) {
                        (ServiceState::Stopped | ServiceState::Parked, Some(window)) => {
                            Ok(Copied::of(window, free(window), buffer))
                        }
                        (ServiceState::Stopped | ServiceState::Parked, None) => {
                            Err(OrderError::NoRank(rank))
                        }
                        (state, _) => Err(OrderError::NotNow(state)),
                    };
                    // Whoever asked may be gone.
                    let _ = reply.send(copied);
                }
            }
        }
    }

    /// Keeps the ranks' memory until the job has heard of its failure.
    fn wait_for_end(&self) {
        while !self.ending.load(Ordering::Acquire) {
            let patience = Duration::from_secs(1);
            if let Err(RecvTimeoutError::Disconnected) = self.incoming.recv_timeout(patience) {
                return;
            }
        }
    }
}

/// All that a job needs here before it is served.
struct Gathered {
    fleet: Fleet,
    /// Ranks that have ended by then.
    ended: Vec<u32>,
    /// The other hosts, by number.
    peers: Vec<(u32, Peer)>,
}

/// Where the answer to an order goes.
type Asker = Sender<Result<(), OrderError>>;

/// Looks whether the ranks have left each other's memory, after the gates were closed.
fn look_inside(
    service: &mut Service<Asker>,
    gates: &mut Gates<'_>,
    rounds: &mut Rounds<'_>,
    parking: &mut Parking<'_>,
) {
    let input = match gates.inside() {
        Inside::Nobody => Input::AllOut,
        Inside::Stays(rank) => Input::OneStays(rank),
        Inside::Somebody => return,
    };
    act(service, input, gates, rounds, parking);
}

/// Has the service take an input in, and does what follows.
fn act(
    service: &mut Service<Asker>,
    input: Input<Asker>,
    gates: &mut Gates<'_>,
    rounds: &mut Rounds<'_>,
    parking: &mut Parking<'_>,
) {
    let mut actions = VecDeque::from(service.take(input));
    while let Some(action) = actions.pop_front() {
        match action {
            ServiceAction::CloseGates => rounds.begin_to_drain(gates.close()),
            ServiceAction::OpenGates => gates.open(),
            ServiceAction::ParkRanks => parking.begin(),
            ServiceAction::LetRanksGo => parking.end(),
            ServiceAction::LandRanks => {
                if let Err(why) = parking.land() {
                    actions.extend(service.take(Input::OneStands(why)));
                }
            }
            ServiceAction::TakeUpRings => rounds.take_up(),
            ServiceAction::RestartPatience => rounds.restart_patience(),
            // Whoever asked may be gone.
            ServiceAction::Answer(reply, result) => drop(reply.send(result)),
        }
    }
}

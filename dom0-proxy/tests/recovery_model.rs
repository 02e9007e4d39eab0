//! The protocol of recovery lines, checked in all orders of events that a small job can have.
//!
//! The job is a ring of hosts. Each host has two ranks: one asks the proxy for an operation on the
//! next host, and writes into its neighbour's memory directly. What they have done is counted in
//! their memory, so a copy shows whether anything crossed the line.

use std::collections::BTreeSet;

use dom0_proxy::recovery::protocol::{
    Action, Ask, Cause, Coordinator, Decision, Epoch, Event, Fact, HostId, LineEnd, Message, Order,
    Participant, Phase, Progress, Tree,
};
use stateright::{Checker, Model, Property};

/// The memory of a host's ranks, as far as it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Memory {
    /// Operations that the rank has put on its ring.
    issued: u8,
    /// Those that the proxy has taken from it.
    taken: u8,
    /// Those that the proxy has completed.
    completed: u8,
    /// Operations of the host before that were done here.
    served: u8,
    /// Direct writes that the first rank has begun.
    written: u8,
    /// Those that have arrived in the second rank's memory.
    arrived: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Task {
    BecomeQuiet(Epoch),
    Park(Epoch),
    CopyFirstRank(Epoch),
    CopySecondRank(Epoch, Memory),
    Write(Epoch),
    Leave(Epoch),
}

/// One host but for its participant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Site {
    memory: Memory,
    /// Gates are open and rings are served.
    open: bool,
    parked: bool,
    ended: bool,
    lost: bool,
    tasks: Vec<Task>,
    copy: Option<(Epoch, Memory)>,
    image: Option<(Epoch, Memory)>,
    /// An operation on its way to the next host.
    on_the_way: bool,
    /// Its answer on its way back.
    on_the_way_back: bool,
}

impl Site {
    fn runs(&self) -> bool {
        !self.parked && !self.ended && !self.lost
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    coordinator: Coordinator,
    participants: Vec<Participant>,
    sites: Vec<Site>,
    network: BTreeSet<(HostId, HostId, Message)>,
    limit: Option<(Epoch, Order)>,
    commit: Option<Epoch>,
    committed: Vec<(Epoch, Vec<Memory>)>,
    asks: u8,
    losses: u8,
    repeats: u8,
    failures: u8,
    lost_hosts: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    Ask(Ask),
    Issue(HostId),
    Take(HostId),
    Serve(HostId),
    Complete(HostId),
    BeginWrite(HostId),
    EndWrite(HostId),
    Deliver(HostId, HostId, Message),
    DeliverTwice(HostId, HostId, Message),
    Drop(HostId, HostId, Message),
    Do(HostId),
    Fail(HostId),
    Commit,
    FailToCommit,
    Expire,
    Tick,
    LoseHost(HostId),
}

/// A job, and how much may go wrong in it.
#[derive(Clone)]
struct Job {
    tree: Tree,
    asks: Vec<Ask>,
    /// How many of `asks` may be asked, in any order.
    asked: u8,
    losses: u8,
    repeats: u8,
    failures: u8,
    lost_hosts: u8,
    operations: u8,
}

impl Job {
    fn next(&self, host: HostId) -> usize {
        ((host + 1) % self.tree.hosts()) as usize
    }

    fn decide(&self, state: &mut State, fact: Fact) {
        for decision in state.coordinator.step(fact) {
            match decision {
                Decision::Order(epoch, order) => {
                    let message = Message::Order(epoch, order);
                    self.tell(state, 0, Event::Received { from: 0, message });
                }
                Decision::Limit(epoch, order) => state.limit = Some((epoch, order)),
                Decision::Commit(epoch) => state.commit = Some(epoch),
                Decision::Answer(..) => (),
            }
        }
    }

    fn tell(&self, state: &mut State, host: HostId, event: Event) {
        let actions = state.participants[host as usize].step(event);
        for action in actions {
            let site = &mut state.sites[host as usize];
            match action {
                Action::Send { to, message: Message::Report(epoch, report) } if to == host => {
                    self.decide(state, Fact::Report(epoch, report));
                }
                Action::Send { to, message } => {
                    state.network.insert((host, to, message));
                }
                Action::Close(epoch) => {
                    site.open = false;
                    site.tasks.push(Task::BecomeQuiet(epoch));
                }
                Action::Copy(epoch) => site.tasks.push(Task::Park(epoch)),
                Action::Open(_) => {
                    site.tasks.retain(|task| matches!(task, Task::Write(_)));
                    (site.open, site.parked) = (true, false);
                }
                Action::Write(epoch) => site.tasks.push(Task::Write(epoch)),
                Action::Leave(epoch, outcome) => {
                    site.tasks = vec![Task::Leave(epoch)];
                    site.copy = None;
                    match outcome {
                        LineEnd::Abandoned | LineEnd::Released => site.image = None,
                        LineEnd::Stopped => site.ended = true,
                        LineEnd::Committed => (),
                    }
                }
                Action::Fail(_) => self.fall(state, host),
            }
        }
    }

    /// A host is gone, or its proxy has given the job up: all that its neighbours notice.
    fn fall(&self, state: &mut State, host: HostId) {
        let site = &mut state.sites[host as usize];
        if std::mem::replace(&mut site.lost, true) {
            return;
        }
        site.tasks.clear();
        state.network.retain(|(from, to, _)| *from != host && *to != host);
        if host == 0 {
            self.decide(state, Fact::Lost);
        }
        for other in self.tree.parent(host).into_iter().chain(self.tree.children(host)) {
            self.tell(state, other, Event::Lost(host));
        }
    }

    fn do_task(&self, state: &mut State, host: HostId) {
        let site = &mut state.sites[host as usize];
        let task = site.tasks.remove(0);
        let did = match task {
            Task::BecomeQuiet(epoch) => Some(Event::Did(epoch, Progress::Quiet)),
            Task::Park(epoch) => {
                site.parked = true;
                site.tasks.insert(0, Task::CopyFirstRank(epoch));
                None
            }
            Task::CopyFirstRank(epoch) => {
                let first = site.memory;
                site.tasks.insert(0, Task::CopySecondRank(epoch, first));
                None
            }
            Task::CopySecondRank(epoch, first) => {
                let Memory { served, arrived, .. } = site.memory;
                site.copy = Some((epoch, Memory { served, arrived, ..first }));
                Some(Event::Did(epoch, Progress::Copied))
            }
            Task::Write(epoch) => {
                site.image = site.copy.filter(|(of, _)| *of == epoch);
                Some(Event::Did(epoch, Progress::Durable))
            }
            Task::Leave(epoch) => Some(Event::Did(epoch, Progress::Left)),
        };
        if let Some(event) = did {
            self.tell(state, host, event);
        }
    }

    /// Whether nothing will happen any more but what ranks and users do.
    fn is_stuck(&self, state: &State) -> bool {
        state.network.is_empty()
            && state.commit.is_none()
            && state.sites.iter().all(|site| site.tasks.is_empty())
    }

    /// Whether a state leads to rest when nothing goes wrong any more and nobody asks for more.
    fn comes_to_rest(&self, mut state: State) -> bool {
        for _ in 0..100 {
            if self.is_stuck(&state) {
                if self.rests(&state) {
                    return true;
                }
                self.tick(&mut state);
            }
            for (from, to, message) in std::mem::take(&mut state.network) {
                self.tell(&mut state, to, Event::Received { from, message });
            }
            for host in 0..self.tree.hosts() {
                if !state.sites[host as usize].tasks.is_empty() {
                    self.do_task(&mut state, host);
                }
            }
            if let Some(epoch) = state.commit.take() {
                self.decide(&mut state, Fact::Committed(epoch));
            }
        }
        false
    }

    fn tick(&self, state: &mut State) {
        for host in 0..self.tree.hosts() {
            self.tell(state, host, Event::Tick);
        }
    }

    fn rests(&self, state: &State) -> bool {
        state.sites.iter().all(|site| site.lost)
            || state.coordinator.is_holding()
            || state.coordinator.is_idle()
                && state.participants.iter().zip(&state.sites).all(|(participant, site)| {
                    participant.phase() == Phase::Running
                        && (site.ended || site.open && !site.parked)
                })
    }
}

impl Model for Job {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let hosts = 0..self.tree.hosts();
        vec![State {
            coordinator: Coordinator::new(1),
            participants: hosts.clone().map(|host| Participant::new(host, self.tree, 1)).collect(),
            sites: hosts.map(|_| Site { open: true, ..Site::default() }).collect(),
            network: BTreeSet::new(),
            limit: None,
            commit: None,
            committed: Vec::new(),
            asks: self.asked,
            losses: self.losses,
            repeats: self.repeats,
            failures: self.failures,
            lost_hosts: self.lost_hosts,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.asks > 0 && !state.sites[0].lost {
            steps.extend(self.asks.iter().map(|&ask| Step::Ask(ask)));
        }
        for host in 0..self.tree.hosts() {
            let site = &state.sites[host as usize];
            let memory = site.memory;
            if site.lost {
                continue;
            }
            if site.runs() && memory.issued < self.operations {
                steps.push(Step::Issue(host));
            }
            if site.open && memory.taken < memory.issued && memory.taken == memory.completed {
                steps.push(Step::Take(host));
            }
            if site.on_the_way && !state.sites[self.next(host)].lost {
                steps.push(Step::Serve(host));
            }
            if site.on_the_way_back {
                steps.push(Step::Complete(host));
            }
            if site.runs() && site.open && memory.written < self.operations {
                steps.push(Step::BeginWrite(host));
            }
            if memory.arrived < memory.written {
                steps.push(Step::EndWrite(host));
            }
            let quiet = memory.arrived == memory.written && memory.taken == memory.completed;
            match site.tasks.first() {
                Some(Task::BecomeQuiet(_)) if !quiet => (),
                Some(_) => steps.push(Step::Do(host)),
                None => (),
            }
            if state.failures > 0
                && site.tasks.first().is_some_and(|task| !matches!(task, Task::Leave(_)))
            {
                steps.push(Step::Fail(host));
            }
            if state.lost_hosts > 0 {
                steps.push(Step::LoseHost(host));
            }
        }
        for &(from, to, message) in &state.network {
            steps.push(Step::Deliver(from, to, message));
            if state.losses > 0 {
                steps.push(Step::Drop(from, to, message));
            }
            if state.repeats > 0 {
                steps.push(Step::DeliverTwice(from, to, message));
            }
        }
        if state.commit.is_some() {
            steps.push(Step::Commit);
            if state.failures > 0 {
                steps.push(Step::FailToCommit);
            }
        }
        if state.limit.is_some() && state.failures > 0 {
            steps.push(Step::Expire);
        }
        if self.is_stuck(state) && !self.rests(state) {
            steps.push(Step::Tick);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Ask(ask) => {
                state.asks -= 1;
                let request = state.asks.into();
                self.decide(&mut state, Fact::Asked((request, ask)));
            }
            Step::Issue(host) => state.sites[host as usize].memory.issued += 1,
            Step::Take(host) => {
                let site = &mut state.sites[host as usize];
                site.memory.taken += 1;
                site.on_the_way = true;
            }
            Step::Serve(host) => {
                state.sites[host as usize].on_the_way = false;
                state.sites[self.next(host)].memory.served += 1;
                state.sites[host as usize].on_the_way_back = true;
            }
            Step::Complete(host) => {
                let site = &mut state.sites[host as usize];
                site.on_the_way_back = false;
                site.memory.completed += 1;
            }
            Step::BeginWrite(host) => state.sites[host as usize].memory.written += 1,
            Step::EndWrite(host) => state.sites[host as usize].memory.arrived += 1,
            Step::Deliver(from, to, message) => {
                state.network.remove(&(from, to, message));
                self.tell(&mut state, to, Event::Received { from, message });
            }
            Step::DeliverTwice(from, to, message) => {
                state.repeats -= 1;
                self.tell(&mut state, to, Event::Received { from, message });
            }
            Step::Drop(from, to, message) => {
                state.losses -= 1;
                state.network.remove(&(from, to, message));
            }
            Step::Do(host) => self.do_task(&mut state, host),
            Step::Fail(host) => {
                state.failures -= 1;
                let (epoch, cause) = match state.sites[host as usize].tasks.remove(0) {
                    Task::BecomeQuiet(epoch) => (epoch, Cause::NotQuiet(host)),
                    Task::Write(epoch) => (epoch, Cause::NotWritten(host)),
                    Task::Park(epoch)
                    | Task::CopyFirstRank(epoch)
                    | Task::CopySecondRank(epoch, _)
                    | Task::Leave(epoch) => (epoch, Cause::NotCopied(host)),
                };
                self.tell(&mut state, host, Event::CouldNot(epoch, cause));
            }
            Step::Commit => {
                let epoch = state.commit.take()?;
                let parts: Vec<_> = state
                    .sites
                    .iter()
                    .filter_map(|site| site.image.filter(|(of, _)| *of == epoch))
                    .map(|(_, memory)| memory)
                    .collect();
                state.committed.push((epoch, parts));
                self.decide(&mut state, Fact::Committed(epoch));
            }
            Step::FailToCommit => {
                state.failures -= 1;
                let epoch = state.commit.take()?;
                self.decide(&mut state, Fact::NotCommitted(epoch));
            }
            Step::Expire => {
                state.failures -= 1;
                let (epoch, order) = state.limit.take()?;
                self.decide(&mut state, Fact::Expired(epoch, order));
            }
            Step::Tick => {
                self.tick(&mut state);
            }
            Step::LoseHost(host) => {
                state.lost_hosts -= 1;
                self.fall(&mut state, host);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a committed image has all parts", |job: &Job, state: &State| {
                state.committed.iter().all(|(_, parts)| parts.len() == job.tree.hosts() as usize)
            }),
            Property::always("nothing crosses the line", |job: &Job, state: &State| {
                state.committed.iter().all(|(_, parts)| {
                    parts.iter().zip(0..).all(|(part, host)| {
                        part.taken == part.completed
                            && part.taken == parts[job.next(host)].served
                            && part.written == part.arrived
                    })
                })
            }),
            Property::always("no operation is lost or done twice", |job: &Job, state: &State| {
                state.sites.iter().zip(0..).all(|(site, host)| {
                    let served = state.sites[job.next(host)].memory.served;
                    site.memory.taken == served + u8::from(site.on_the_way)
                })
            }),
            Property::always("an epoch is committed at most once", |_, state: &State| {
                let epochs: BTreeSet<_> = state.committed.iter().map(|(epoch, _)| epoch).collect();
                epochs.len() == state.committed.len()
            }),
            Property::always(
                "without further faults all come to rest",
                |job: &Job, state: &State| !job.is_stuck(state) || job.comes_to_rest(state.clone()),
            ),
            Property::always("ranks are stopped for a line only", |_, state: &State| {
                state.participants.iter().zip(&state.sites).all(|(participant, site)| {
                    participant.is_closed() != site.open || site.lost || site.ended
                })
            }),
            Property::sometimes("an image is committed", |_, state: &State| {
                !state.committed.is_empty()
            }),
            Property::sometimes("a job has done all and rests", |job: &Job, state: &State| {
                job.rests(state)
                    && state.asks == 0
                    && state.sites.iter().all(|site| site.memory.completed == job.operations)
            }),
        ]
    }
}

fn check(job: Job) {
    let checker = job.checker().threads(2).spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker.assert_properties();
}

/// A job in which nothing goes wrong and nobody asks for anything.
fn calm(hosts: HostId, fanout: HostId) -> Job {
    Job {
        tree: Tree::new(hosts, fanout),
        asks: vec![Ask::Checkpoint { stop: false }],
        asked: 1,
        losses: 0,
        repeats: 0,
        failures: 0,
        lost_hosts: 0,
        operations: 1,
    }
}

#[test]
fn two_hosts_and_two_lines() {
    check(Job { asked: 2, ..calm(2, 1) });
}

#[test]
fn messages_are_lost_and_repeated() {
    check(Job { losses: 1, repeats: 1, ..calm(2, 1) });
}

#[test]
fn steps_fail_or_take_too_long() {
    check(Job { failures: 1, losses: 1, ..calm(2, 1) });
}

#[test]
fn a_host_is_lost() {
    check(Job { lost_hosts: 1, ..calm(2, 1) });
}

#[test]
fn jobs_are_held_stopped_and_released() {
    let asks = vec![Ask::Hold, Ask::Release, Ask::Checkpoint { stop: true }];
    check(Job { asks, asked: 3, failures: 1, operations: 0, ..calm(2, 1) });
}

#[test]
fn three_hosts_in_a_chain() {
    check(calm(3, 1));
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes unless built with --release")]
fn three_hosts_in_a_star() {
    check(calm(3, 2));
}

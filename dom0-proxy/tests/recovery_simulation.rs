//! The protocol of recovery lines on made-up hosts with made-up delays: with each fault at each
//! step of a small job, and on jobs of up to 4,096 hosts. What is random follows from a seed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use dom0_proxy::recovery::protocol::{
    Action, Answer, Ask, Cause, Coordinator, Decision, Epoch, Event, Fact, HostId, LineEnd,
    Message, Order, Participant, Phase, Progress, RequestId, Tree,
};

/// What can go wrong with one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// What should happen does not: a message is lost; what a host was to do cannot be done.
    Fails,
    /// It happens again, much later.
    Repeats,
    /// The limit of time is over before it happens.
    Expires,
    /// The host to which it happens is lost.
    HostLost,
}

/// Something that will happen. A depth counts the messages that had to be sent one after another
/// for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrives { from: HostId, to: HostId, message: Message, depth: u32 },
    Done { host: HostId, epoch: Epoch, progress: Progress },
    Published(Epoch),
    Tick,
}

/// Microseconds.
type Time = u64;

/// A job of hosts that compute.
struct Simulation {
    tree: Tree,
    random: u64,
    now: Time,
    steps: u64,
    fault: Option<(u64, Fault)>,
    coordinator: Coordinator,
    participants: Vec<Participant>,
    depths: Vec<u32>,
    /// Hosts whose ranks run.
    open: BTreeSet<HostId>,
    lost: BTreeSet<HostId>,
    ended: BTreeSet<HostId>,
    copied: Vec<Option<Epoch>>,
    durable: Vec<Option<Epoch>>,
    limit: Option<(Epoch, Order)>,
    agenda: BinaryHeap<Reverse<(Time, u64, Happening)>>,
    committed: Vec<Epoch>,
    answers: Vec<(RequestId, Answer)>,
    messages: u64,
    /// When and how deep the line was reached, and when all ranks went on.
    line: Option<(Time, u32)>,
    went_on: Option<Time>,
}

impl Simulation {
    fn new(hosts: HostId, seed: u64) -> Self {
        let tree = Tree::new(hosts, Tree::FANOUT);
        Self {
            tree,
            random: seed,
            now: 0,
            steps: 0,
            fault: None,
            coordinator: Coordinator::new(1),
            participants: (0..hosts).map(|host| Participant::new(host, tree, 1)).collect(),
            depths: vec![0; hosts as usize],
            open: (0..hosts).collect(),
            lost: BTreeSet::new(),
            ended: BTreeSet::new(),
            copied: vec![None; hosts as usize],
            durable: vec![None; hosts as usize],
            limit: None,
            agenda: BinaryHeap::new(),
            committed: Vec::new(),
            answers: Vec::new(),
            messages: 0,
            line: None,
            went_on: None,
        }
    }

    /// A number from `range` (SplitMix64).
    fn any(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.random;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        range.start + (word ^ (word >> 31)) % (range.end - range.start)
    }

    fn plan(&mut self, after: std::ops::Range<u64>, happening: Happening) {
        let at = self.now + self.any(after);
        let order = self.any(0..u64::MAX);
        self.agenda.push(Reverse((at, order, happening)));
    }

    fn ask(&mut self, request: RequestId, ask: Ask) {
        self.depths.fill(0);
        self.messages = 0;
        self.decide(Fact::Asked((request, ask)));
    }

    fn decide(&mut self, fact: Fact) {
        for decision in self.coordinator.step(fact) {
            match decision {
                Decision::Order(epoch, order) => {
                    if order == Order::Copy {
                        assert!(self.open.is_empty(), "the line is reached and ranks run");
                        self.line = Some((self.now, self.depths[0]));
                    }
                    let message = Message::Order(epoch, order);
                    self.tell(0, Event::Received { from: 0, message });
                }
                Decision::Limit(epoch, order) => self.limit = Some((epoch, order)),
                Decision::Commit(epoch) => {
                    assert!(self.durable.iter().all(|of| *of == Some(epoch)), "a part is missing");
                    self.plan(500..2000, Happening::Published(epoch));
                }
                Decision::Answer(request, answer) => self.answers.push((request, answer)),
            }
        }
    }

    fn tell(&mut self, host: HostId, event: Event) {
        let actions = self.participants[host as usize].step(event);
        for action in actions {
            let done = |epoch, progress| Happening::Done { host, epoch, progress };
            match action {
                Action::Send { to, message: Message::Report(epoch, report) } if to == host => {
                    self.decide(Fact::Report(epoch, report));
                }
                Action::Send { to, message } => {
                    self.messages += 1;
                    let depth = self.depths[host as usize] + 1;
                    self.plan(10..30, Happening::Arrives { from: host, to, message, depth });
                }
                Action::Close(epoch) => {
                    self.open.remove(&host);
                    self.plan(5..100, done(epoch, Progress::Quiet));
                }
                Action::Copy(epoch) => self.plan(500..1500, done(epoch, Progress::Copied)),
                Action::Open(_) => {
                    self.open.insert(host);
                    if self.open.len() == self.participants.len() {
                        self.went_on = Some(self.now);
                    }
                }
                Action::Write(epoch) => self.plan(3000..9000, done(epoch, Progress::Durable)),
                Action::Leave(epoch, outcome) => {
                    if outcome == LineEnd::Stopped {
                        self.ended.insert(host);
                    }
                    self.plan(5..50, done(epoch, Progress::Left));
                }
                Action::Fail(_) => self.fall(host),
            }
        }
    }

    fn fall(&mut self, host: HostId) {
        if !self.lost.insert(host) {
            return;
        }
        self.open.remove(&host);
        if host == 0 {
            self.decide(Fact::Lost);
        }
        for other in self.tree.parent(host).into_iter().chain(self.tree.children(host)) {
            self.tell(other, Event::Lost(host));
        }
    }

    /// Until nothing is left to happen.
    fn run(&mut self) {
        let mut ticks = 0;
        while let Some(Reverse((at, _, happening))) = self.agenda.pop() {
            self.now = at;
            self.steps += 1;
            let fault = self.fault.filter(|(step, _)| *step == self.steps).map(|(_, fault)| fault);
            let host = match happening {
                Happening::Arrives { to, .. } => to,
                Happening::Done { host, .. } => host,
                Happening::Published(_) | Happening::Tick => 0,
            };
            match fault {
                Some(Fault::HostLost) => self.fall(host),
                Some(Fault::Expires) => {
                    if let Some((epoch, order)) = self.limit {
                        self.decide(Fact::Expired(epoch, order));
                    }
                }
                Some(Fault::Repeats) => self.plan(10..100_000, happening),
                Some(Fault::Fails) | None => (),
            }
            if !self.lost.contains(&host) {
                self.happen(happening, fault == Some(Fault::Fails));
            }
            if self.agenda.is_empty() && !self.rests() {
                ticks += 1;
                assert!(ticks < 100, "the job never comes to rest");
                self.plan(1000..2000, Happening::Tick);
            }
        }
    }

    fn happen(&mut self, happening: Happening, fails: bool) {
        match happening {
            Happening::Arrives { .. } if fails => (),
            Happening::Arrives { from, to, message, depth } => {
                self.depths[to as usize] = self.depths[to as usize].max(depth);
                self.tell(to, Event::Received { from, message });
            }
            // Nothing can be in the way of leaving but the end of the host.
            Happening::Done { host, epoch, progress } if fails && progress != Progress::Left => {
                let cause = match progress {
                    Progress::Quiet => Cause::NotQuiet(host),
                    Progress::Copied => Cause::NotCopied(host),
                    Progress::Durable | Progress::Left => Cause::NotWritten(host),
                };
                self.tell(host, Event::CouldNot(epoch, cause));
            }
            Happening::Done { host, epoch, progress } => {
                match progress {
                    Progress::Copied => self.copied[host as usize] = Some(epoch),
                    Progress::Durable => self.durable[host as usize] = self.copied[host as usize],
                    Progress::Quiet | Progress::Left => (),
                }
                self.tell(host, Event::Did(epoch, progress));
            }
            Happening::Published(epoch) if fails => self.decide(Fact::NotCommitted(epoch)),
            Happening::Published(epoch) => {
                if !self.committed.contains(&epoch) {
                    self.committed.push(epoch);
                }
                self.decide(Fact::Committed(epoch));
            }
            Happening::Tick => {
                for host in 0..self.tree.hosts() {
                    if !self.lost.contains(&host) {
                        self.tell(host, Event::Tick);
                    }
                }
            }
        }
    }

    fn rests(&self) -> bool {
        let all_lost = self.lost.len() == self.participants.len();
        let all_run = self.participants.iter().zip(0..).all(|(participant, host)| {
            participant.phase() == Phase::Running
                && (self.open.contains(&host) || self.ended.contains(&host))
        });
        all_lost || self.coordinator.is_holding() || self.coordinator.is_idle() && all_run
    }

    fn answer(&self, request: RequestId) -> Answer {
        let mut answers = self.answers.iter().filter(|(of, _)| *of == request);
        let (_, answer) = answers.next().expect("a request without an answer");
        assert_eq!(answers.next(), None, "request {request} is answered twice");
        *answer
    }
}

/// Asks for an image with a fault on the way, then for another one, and looks at what came of it.
fn with_fault(hosts: HostId, seed: u64, step: u64, fault: Fault, stop: bool) {
    let mut job = Simulation::new(hosts, seed);
    job.fault = Some((step, fault));
    job.ask(1, Ask::Checkpoint { stop });
    job.run();
    let context = format!("{hosts} hosts, seed {seed}, {fault:?} at step {step}, stop {stop}");
    let first = job.answer(1);
    match first {
        Answer::Saved(epoch) => assert_eq!(job.committed, [epoch], "{context}"),
        Answer::Failed(_) => {
            assert!(fault == Fault::Fails || fault == Fault::Expires, "{context}: {first:?}");
            assert_eq!(job.committed, [], "{context}");
            assert_eq!(job.ended.len(), 0, "{context}");
        }
        // It may have been published all the same.
        Answer::JobLost => assert_eq!(fault, Fault::HostLost, "{context}"),
        other => panic!("{context}: {other:?}"),
    }
    if !job.lost.is_empty() {
        assert_eq!(job.lost.len(), hosts as usize, "{context}: whoever is left must know");
    } else if job.ended.is_empty() {
        job.ask(2, Ask::Checkpoint { stop: false });
        job.run();
        assert!(matches!(job.answer(2), Answer::Saved(_)), "{context}: {:?}", job.answer(2));
    }
}

#[test]
fn each_fault_at_each_step() {
    for (hosts, stop) in [(1, false), (3, true), (11, false)] {
        for seed in 0..2 {
            let mut calm = Simulation::new(hosts, seed);
            calm.ask(1, Ask::Checkpoint { stop });
            calm.run();
            assert!(matches!(calm.answer(1), Answer::Saved(_)));
            for step in 1..=calm.steps {
                for fault in [Fault::Fails, Fault::Repeats, Fault::Expires, Fault::HostLost] {
                    with_fault(hosts, seed, step, fault, stop);
                }
            }
        }
    }
}

#[test]
fn faults_in_a_job_of_many_hosts() {
    for seed in 0..40 {
        let mut dice = Simulation::new(1, seed);
        let fault = [Fault::Fails, Fault::Repeats, Fault::Expires, Fault::HostLost]
            [dice.any(0..4) as usize];
        with_fault(300, seed, dice.any(1..4000), fault, seed % 2 == 0);
    }
}

#[test]
fn the_way_to_the_line_grows_with_the_logarithm_of_the_hosts() {
    println!(
        "  hosts    ranks  messages a host  one after another  to the line  stall  (us, made up)"
    );
    for hosts in [1, 8, 64, 512, 4096] {
        let mut job = Simulation::new(hosts, 7);
        job.ask(1, Ask::Checkpoint { stop: false });
        job.run();
        assert!(matches!(job.answer(1), Answer::Saved(_)));
        let (line, depth) = job.line.expect("a line");
        let stall = job.went_on.expect("ranks go on");
        let each = job.messages as f64 / f64::from(hosts);
        println!("{hosts:7}  {:7}  {each:15.2}  {depth:17}  {line:11}  {stall:5}", hosts * 16,);
        // Down and up once; four orders with a report each.
        assert_eq!(depth, 2 * job.tree.depth());
        assert_eq!(job.messages, 8 * u64::from(hosts - 1));
    }
}

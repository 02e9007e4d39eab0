//! What one proxy does about a line.

use super::message::{Cause, Epoch, HostId, LineEnd, Message, Order, Progress, Report};
use super::tree::Tree;

/// Where a participant is, with all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// No line is under way.
    Running,
    /// Becoming quiet.
    Closing,
    /// Quiet. When all participants are, this is the line.
    Line,
    /// Parking ranks and copying them.
    Copying,
    /// Copied; ranks wait.
    Copied,
    /// Writing.
    Writing,
    /// Written; the coordinator decides.
    Durable,
    /// Leaving the line.
    Leaving,
    /// A host is lost, and the job with it. For good.
    Lost,
}

impl Phase {
    /// The changes that there are. [`Lost`](Self::Lost) may follow each.
    const CHANGES: [(Self, Self); 13] = [
        (Self::Running, Self::Closing),
        (Self::Closing, Self::Line),
        (Self::Line, Self::Copying),
        (Self::Copying, Self::Copied),
        (Self::Copied, Self::Writing),
        (Self::Writing, Self::Durable),
        (Self::Closing, Self::Leaving),
        (Self::Line, Self::Leaving),
        (Self::Copying, Self::Leaving),
        (Self::Copied, Self::Leaving),
        (Self::Writing, Self::Leaving),
        (Self::Durable, Self::Leaving),
        (Self::Leaving, Self::Running),
    ];

    fn may_become(self, next: Self) -> bool {
        next == Self::Lost || Self::CHANGES.contains(&(self, next))
    }

    /// What all in the branch are waited for to have reached, and the phase that follows.
    fn awaited(self) -> Option<(Progress, Self)> {
        match self {
            Self::Closing => Some((Progress::Quiet, Self::Line)),
            Self::Copying => Some((Progress::Copied, Self::Copied)),
            Self::Writing => Some((Progress::Durable, Self::Durable)),
            Self::Leaving => Some((Progress::Left, Self::Running)),
            Self::Running | Self::Line | Self::Copied | Self::Durable | Self::Lost => None,
        }
    }
}

/// What a participant hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// From another participant, or from the coordinator to the root: as from a parent.
    Received {
        /// The sender. For the coordinator's orders, the root itself.
        from: HostId,
        /// What it says.
        message: Message,
    },
    /// This proxy has done what an [`Action`] asked for.
    Did(Epoch, Progress),
    /// This proxy cannot do it.
    CouldNot(Epoch, Cause),
    /// The connection with a neighbour in the tree is gone, and with it the job.
    Lost(HostId),
    /// Time has passed: what may have been lost is said again.
    Tick,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Say something to another participant; from the root to itself: to the coordinator.
    Send {
        /// Whom to tell.
        to: HostId,
        /// What.
        message: Message,
    },
    /// Close the gates, take nothing more from the rings, complete what is under way; then
    /// [`Progress::Quiet`]. What other proxies ask for is served all the time.
    Close(Epoch),
    /// Park the ranks and copy their memory; then [`Progress::Copied`].
    Copy(Epoch),
    /// Let the ranks go on, with rings served and gates open.
    Open(Epoch),
    /// Write what was copied and make it durable; then [`Progress::Durable`].
    Write(Epoch),
    /// Stop whatever of the line is still being done. Keep the image or discard it, as the outcome
    /// says, or end the ranks if they are to stop; then [`Progress::Left`].
    Leave(Epoch, LineEnd),
    /// The job has lost a host.
    Fail(Cause),
}

/// One proxy's part in a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Participant {
    host: HostId,
    tree: Tree,
    phase: Phase,
    /// The newest line that it knows of.
    epoch: Epoch,
    /// The last order of that line.
    order: Option<Order>,
    /// How far this proxy is itself.
    own: Option<Progress>,
    /// How far its children are, each with all below it.
    children: Vec<Option<Progress>>,
    /// What was last told to the parent.
    reported: Option<Report>,
    /// Whether its ranks are stopped.
    closed: bool,
}

impl Participant {
    /// The participant on `host`, of a job in this incarnation.
    pub fn new(host: HostId, tree: Tree, incarnation: u32) -> Self {
        Self {
            host,
            tree,
            phase: Phase::Running,
            epoch: Epoch { incarnation, number: 0 },
            order: None,
            own: None,
            children: vec![None; tree.children(host).len()],
            reported: None,
            closed: false,
        }
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The newest line that it knows of.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether its ranks are stopped, or being stopped.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes one event, and says what is to be done.
    pub fn step(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.phase == Phase::Lost {
            return actions;
        }
        match event {
            Event::Received { from, message: Message::Order(epoch, order) }
                if from == self.parent() =>
            {
                self.ordered(epoch, order, &mut actions);
            }
            Event::Received { from, message: Message::Report(epoch, report) }
                if epoch == self.epoch =>
            {
                self.heard(from, report, &mut actions);
            }
            // Of a line that is over, or from somebody who has no say.
            Event::Received { .. } => (),
            Event::Did(epoch, progress) if epoch == self.epoch => {
                self.own = self.own.max(Some(progress));
                self.advance(&mut actions);
            }
            Event::CouldNot(epoch, cause) if epoch == self.epoch => {
                self.failed(cause, &mut actions)
            }
            Event::Did(..) | Event::CouldNot(..) => (),
            Event::Lost(host) => {
                self.change(Phase::Lost);
                actions.push(Action::Fail(Cause::HostLost(host)));
            }
            Event::Tick => self.repeat(&mut actions),
        }
        actions
    }

    /// The root's orders come from the coordinator, which is on the same host.
    fn parent(&self) -> HostId {
        self.tree.parent(self.host).unwrap_or(self.host)
    }

    fn ordered(&mut self, epoch: Epoch, order: Order, actions: &mut Vec<Action>) {
        if epoch.incarnation != self.epoch.incarnation || epoch < self.epoch {
            return;
        }
        if epoch > self.epoch {
            // The coordinator begins a line when all have left the last one, so anything else is an
            // order that has overtaken another one.
            if self.phase == Phase::Running {
                self.meet(epoch, order, actions);
            }
            return;
        }
        let next = match (self.phase, order) {
            (Phase::Line, Order::Copy) => Phase::Copying,
            (Phase::Copied, Order::Write { .. }) => Phase::Writing,
            (phase, Order::Leave(_)) if phase != Phase::Running && phase != Phase::Leaving => {
                Phase::Leaving
            }
            _ => {
                // Known already. The parent may not have heard how far that is.
                if self.order >= Some(order) {
                    self.report_again(actions);
                }
                return;
            }
        };
        self.follow(next, order, actions);
    }

    /// An order of a line that is new here.
    fn meet(&mut self, epoch: Epoch, order: Order, actions: &mut Vec<Action>) {
        match order {
            Order::Close => {
                self.epoch = epoch;
                self.own = None;
                self.children.fill(None);
                self.reported = None;
                self.order = None;
                self.follow(Phase::Closing, order, actions);
            }
            // It was over before it got here. When its `Close` arrives after all, that is old.
            Order::Leave(_) => {
                self.epoch = epoch;
                self.order = Some(order);
                self.own = Some(Progress::Left);
                self.children.fill(Some(Progress::Left));
                self.report(Report::Reached(Progress::Left), actions);
            }
            Order::Copy | Order::Write { .. } => (),
        }
    }

    fn follow(&mut self, next: Phase, order: Order, actions: &mut Vec<Action>) {
        self.change(next);
        self.order = Some(order);
        // Who is nearer to the leaves begins first.
        for child in self.tree.children(self.host) {
            actions.push(self.order_to(child, order));
        }
        match order {
            Order::Close => {
                self.closed = true;
                actions.push(Action::Close(self.epoch));
            }
            Order::Copy => actions.push(Action::Copy(self.epoch)),
            Order::Write { open } => {
                if open {
                    self.open(actions);
                }
                actions.push(Action::Write(self.epoch));
            }
            Order::Leave(outcome) => {
                if outcome != LineEnd::Stopped {
                    self.open(actions);
                }
                actions.push(Action::Leave(self.epoch, outcome));
            }
        }
        self.advance(actions);
    }

    fn open(&mut self, actions: &mut Vec<Action>) {
        if std::mem::take(&mut self.closed) {
            actions.push(Action::Open(self.epoch));
        }
    }

    fn heard(&mut self, from: HostId, report: Report, actions: &mut Vec<Action>) {
        let children = self.tree.children(self.host);
        if !children.contains(&from) {
            return;
        }
        match report {
            Report::Reached(progress) => {
                let child = &mut self.children[(from - children.start) as usize];
                *child = (*child).max(Some(progress));
                self.advance(actions);
            }
            Report::Failed(cause) => self.failed(cause, actions),
        }
    }

    /// Goes on when all in this branch are where they are waited for.
    fn advance(&mut self, actions: &mut Vec<Action>) {
        let Some((awaited, next)) = self.phase.awaited() else { return };
        let there = |progress: &Option<Progress>| *progress >= Some(awaited);
        if there(&self.own) && self.children.iter().all(there) {
            self.change(next);
            self.report(Report::Reached(awaited), actions);
        }
    }

    /// The line cannot be made. The coordinator will say what follows.
    fn failed(&mut self, cause: Cause, actions: &mut Vec<Action>) {
        let over = matches!(self.phase, Phase::Running | Phase::Durable | Phase::Leaving);
        if !over && !matches!(self.reported, Some(Report::Failed(_))) {
            self.report(Report::Failed(cause), actions);
        }
    }

    fn report(&mut self, report: Report, actions: &mut Vec<Action>) {
        self.reported = Some(report);
        self.report_again(actions);
    }

    fn report_again(&self, actions: &mut Vec<Action>) {
        if let Some(report) = self.reported {
            let message = Message::Report(self.epoch, report);
            actions.push(Action::Send { to: self.parent(), message });
        }
    }

    fn repeat(&self, actions: &mut Vec<Action>) {
        if let (Some((awaited, _)), Some(order)) = (self.phase.awaited(), self.order) {
            for (child, progress) in self.tree.children(self.host).zip(&self.children) {
                if *progress < Some(awaited) {
                    actions.push(self.order_to(child, order));
                }
            }
        }
        // The parent does not ask for this: it may wait for another child.
        if matches!(self.reported, Some(Report::Failed(_))) {
            self.report_again(actions);
        }
    }

    fn order_to(&self, child: HostId, order: Order) -> Action {
        Action::Send { to: child, message: Message::Order(self.epoch, order) }
    }

    fn change(&mut self, next: Phase) {
        debug_assert!(self.phase.may_become(next), "{:?} to {next:?}", self.phase);
        self.phase = next;
    }
}

//! Who decides: takes what users ask for, leads the root through a line, and commits.

use super::message::{Cause, Epoch, LineEnd, Order, Progress, Report};

/// A request, by the number that its sender gave to it.
pub type RequestId = u64;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ask {
    /// A committed image.
    Checkpoint {
        /// Whether ranks end with it, rather than go on.
        stop: bool,
    },
    /// A line that is kept until [`Release`](Self::Release).
    Hold,
    /// The end of a hold.
    Release,
}

/// An [`Ask`], by somebody who waits for the [`Answer`].
pub type Asked = (RequestId, Ask);

/// The end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// There is an image of this epoch.
    Saved(Epoch),
    /// The job is held.
    Held(Epoch),
    /// The job goes on.
    Released,
    /// Not now: a line is under way that does something else, or is past the point where it could
    /// be joined.
    Busy,
    /// Nothing is held.
    NotHeld,
    /// It could not be done; the job goes on.
    Failed(Cause),
    /// The job is lost. Whether there is an image of the epoch, only the store knows.
    JobLost,
}

/// Where the coordinator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Idle,
    Closing,
    Holding,
    Copying,
    Writing,
    Committing,
    Leaving(LineEnd),
    Lost,
}

/// What the coordinator hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// Somebody asks for something.
    Asked(Asked),
    /// The root, for the whole tree.
    Report(Epoch, Report),
    /// The time that was set with [`Decision::Limit`] is over.
    Expired(Epoch, Order),
    /// The image's manifest is published, durably.
    Committed(Epoch),
    /// It is not, and will not be.
    NotCommitted(Epoch),
    /// A host is lost.
    Lost,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// Give the root an order for the whole tree.
    Order(Epoch, Order),
    /// Say when this order has taken longer than it may. Takes the place of the limit before.
    Limit(Epoch, Order),
    /// Publish the image's manifest; then [`Fact::Committed`] or [`Fact::NotCommitted`].
    Commit(Epoch),
    /// Tell whoever asked.
    Answer(RequestId, Answer),
}

/// The one that decides, on the root's host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Coordinator {
    stage: Stage,
    /// The newest line that was begun.
    epoch: Epoch,
    /// What it is for.
    purpose: Ask,
    /// Who waits for it.
    waiting: Vec<RequestId>,
    /// Why it is abandoned.
    cause: Option<Cause>,
}

impl Coordinator {
    /// For a job in this incarnation.
    pub fn new(incarnation: u32) -> Self {
        Self {
            stage: Stage::Idle,
            epoch: Epoch { incarnation, number: 0 },
            purpose: Ask::Hold,
            waiting: Vec::new(),
            cause: None,
        }
    }

    /// Whether no line is under way.
    pub fn is_idle(&self) -> bool {
        self.stage == Stage::Idle
    }

    /// Whether the job is held.
    pub fn is_holding(&self) -> bool {
        self.stage == Stage::Holding
    }

    /// Takes one fact, and says what is to be done.
    pub fn step(&mut self, fact: Fact) -> Vec<Decision> {
        let mut decisions = Vec::new();
        match fact {
            Fact::Asked((request, ask)) => self.asked(request, ask, &mut decisions),
            Fact::Report(epoch, report) if epoch == self.epoch => match report {
                Report::Reached(progress) => self.reached(progress, &mut decisions),
                Report::Failed(cause) => self.abandon(cause, &mut decisions),
            },
            Fact::Expired(epoch, order) if epoch == self.epoch && self.awaits(order) => {
                self.abandon(Cause::TimeLimit, &mut decisions);
            }
            Fact::Committed(epoch) if epoch == self.epoch && self.stage == Stage::Committing => {
                self.answer_all(Answer::Saved(epoch), &mut decisions);
                let stop = self.purpose == Ask::Checkpoint { stop: true };
                self.leave(
                    if stop { LineEnd::Stopped } else { LineEnd::Committed },
                    &mut decisions,
                );
            }
            Fact::NotCommitted(epoch) if epoch == self.epoch && self.stage == Stage::Committing => {
                self.cause = Some(Cause::NotCommitted);
                self.leave(LineEnd::Abandoned, &mut decisions);
            }
            Fact::Lost => {
                self.stage = Stage::Lost;
                self.answer_all(Answer::JobLost, &mut decisions);
            }
            // Of a line that is over.
            Fact::Report(..) | Fact::Expired(..) | Fact::Committed(_) | Fact::NotCommitted(_) => (),
        }
        decisions
    }

    fn asked(&mut self, request: RequestId, ask: Ask, decisions: &mut Vec<Decision>) {
        match (ask, self.stage) {
            (_, Stage::Lost) => decisions.push(Decision::Answer(request, Answer::JobLost)),
            (Ask::Release, Stage::Holding) => {
                self.waiting.push(request);
                self.leave(LineEnd::Released, decisions);
            }
            // Whoever waits for the hold learns of it as well.
            (Ask::Release, Stage::Closing) if self.purpose == Ask::Hold => {
                decisions.push(Decision::Answer(request, Answer::Released));
                self.abandon(Cause::Cancelled, decisions);
            }
            (Ask::Release, _) => decisions.push(Decision::Answer(request, Answer::NotHeld)),
            (_, Stage::Idle) => {
                self.epoch = self.epoch.next();
                self.purpose = ask;
                self.cause = None;
                self.waiting.push(request);
                self.order(Stage::Closing, Order::Close, decisions);
            }
            // What was done before the request is before the line, if that is still to come.
            (_, Stage::Closing) if ask == self.purpose => self.waiting.push(request),
            (Ask::Hold, Stage::Holding) => {
                decisions.push(Decision::Answer(request, Answer::Held(self.epoch)));
            }
            _ => decisions.push(Decision::Answer(request, Answer::Busy)),
        }
    }

    fn reached(&mut self, progress: Progress, decisions: &mut Vec<Decision>) {
        match (self.stage, progress) {
            (Stage::Closing, Progress::Quiet) if self.purpose == Ask::Hold => {
                self.stage = Stage::Holding;
                self.answer_all(Answer::Held(self.epoch), decisions);
            }
            (Stage::Closing, Progress::Quiet) => self.order(Stage::Copying, Order::Copy, decisions),
            (Stage::Copying, Progress::Copied) => {
                let open = self.purpose == Ask::Checkpoint { stop: false };
                self.order(Stage::Writing, Order::Write { open }, decisions);
            }
            (Stage::Writing, Progress::Durable) => {
                self.stage = Stage::Committing;
                decisions.push(Decision::Commit(self.epoch));
            }
            (Stage::Leaving(outcome), Progress::Left) => {
                self.stage = Stage::Idle;
                self.answer_all(
                    match (outcome, self.cause) {
                        (LineEnd::Abandoned, Some(cause)) => Answer::Failed(cause),
                        // Who asked for an image has been answered before.
                        _ => Answer::Released,
                    },
                    decisions,
                );
            }
            // Said twice.
            _ => (),
        }
    }

    /// Whether an order is the one that is being carried out and may still be given up.
    fn awaits(&self, order: Order) -> bool {
        match self.stage {
            Stage::Closing => order == Order::Close,
            Stage::Copying => order == Order::Copy,
            Stage::Writing => matches!(order, Order::Write { .. }),
            Stage::Idle | Stage::Holding | Stage::Committing | Stage::Leaving(_) | Stage::Lost => {
                false
            }
        }
    }

    /// Gives the line up, unless it is over or its commit is being decided.
    fn abandon(&mut self, cause: Cause, decisions: &mut Vec<Decision>) {
        if matches!(self.stage, Stage::Closing | Stage::Holding | Stage::Copying | Stage::Writing) {
            self.cause = Some(cause);
            self.leave(LineEnd::Abandoned, decisions);
        }
    }

    fn leave(&mut self, outcome: LineEnd, decisions: &mut Vec<Decision>) {
        self.stage = Stage::Leaving(outcome);
        decisions.push(Decision::Order(self.epoch, Order::Leave(outcome)));
    }

    fn order(&mut self, stage: Stage, order: Order, decisions: &mut Vec<Decision>) {
        self.stage = stage;
        decisions.push(Decision::Limit(self.epoch, order));
        decisions.push(Decision::Order(self.epoch, order));
    }

    fn answer_all(&mut self, answer: Answer, decisions: &mut Vec<Decision>) {
        let answers = self.waiting.drain(..).map(|request| Decision::Answer(request, answer));
        decisions.extend(answers);
    }
}

//! The recovery lines of a job on one host: what [`protocol`](super::protocol) decides, done.
//!
//! There is one participant, so that it and the coordinator talk by function calls. What they have
//! done takes microseconds to seconds, and is done in the thread of whoever asks; the engine has
//! its own limits of time, and ends all of it when the job ends.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::protocol::{
    Action, Answer, Ask, Cause, Coordinator, Decision, Event, Fact, Message, Participant, Progress,
    RequestId, Tree,
};
use crate::engine::{EngineOrders, OrderError};

/// Why there is no line, or none that ends. In words for the user, without the job's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The engine could not do it. The job goes on.
    #[error("{0}")]
    Engine(#[from] OrderError),
    /// It was given up. The job goes on.
    #[error("the line was given up: {0}")]
    GivenUp(Cause),
    /// Another line is under way.
    #[error("another line is under way: try again")]
    Busy,
    /// There is nothing to be released.
    #[error("it is not held")]
    NotHeld,
    /// The job is lost.
    #[error("the job is lost")]
    JobLost,
}

/// What can be done about the recovery lines of one job.
#[derive(Debug)]
pub struct Lines {
    engine: EngineOrders,
    state: Mutex<State>,
    is_held: AtomicBool,
}

#[derive(Debug)]
struct State {
    coordinator: Coordinator,
    participant: Participant,
    /// The number of the next request.
    request: RequestId,
    /// Why the engine could not do something, until whoever asked hears of it.
    error: Option<OrderError>,
}

/// The host that a job is on, while there is one only.
const HOST: u32 = 0;

impl Lines {
    /// Those of a job that has just been started.
    pub fn new(engine: EngineOrders) -> Self {
        let state = State {
            coordinator: Coordinator::new(0),
            participant: Participant::new(HOST, Tree::new(1, Tree::FANOUT), 0),
            request: 0,
            error: None,
        };
        Self { engine, state: Mutex::new(state), is_held: AtomicBool::new(false) }
    }

    /// Closes a line and keeps it: no operation is under way, and none begins. With `park` the
    /// ranks stand still besides, which domains can: then nothing but the toolstack changes
    /// anything of the job, until it is [released](Self::release). A job that is held already is
    /// held.
    ///
    /// # Errors
    /// [`LineError`]; then the job goes on.
    pub fn hold(&self, park: bool) -> Result<(), LineError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.ask(Ask::Hold, &self.engine) {
            Answer::Held(_) => {}
            answer => return Err(state.refusal(answer)),
        }
        if park && let Err(error) = self.engine.park() {
            // In this order: what the release cannot do either does not matter any more.
            state.ask(Ask::Release, &self.engine);
            state.error = None;
            return Err(error.into());
        }
        self.is_held.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Lets a job go on that is held.
    ///
    /// # Errors
    /// [`LineError`].
    pub fn release(&self) -> Result<(), LineError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.ask(Ask::Release, &self.engine) {
            Answer::Released => {
                self.is_held.store(false, Ordering::Relaxed);
                state.error.take().map_or(Ok(()), |error| Err(error.into()))
            }
            answer => Err(state.refusal(answer)),
        }
    }

    /// Whether it is held. Does not wait for what is under way.
    pub fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }
}

impl State {
    /// Asks for something, does all that follows, and gives the answer.
    fn ask(&mut self, ask: Ask, engine: &EngineOrders) -> Answer {
        self.error = None;
        self.request += 1;
        let request = self.request;
        let mut facts = VecDeque::from([Fact::Asked((request, ask))]);
        let mut answered = None;
        while let Some(fact) = facts.pop_front() {
            for decision in self.coordinator.step(fact) {
                match decision {
                    Decision::Order(epoch, order) => {
                        let message = Message::Order(epoch, order);
                        self.participate(
                            Event::Received { from: HOST, message },
                            engine,
                            &mut facts,
                        );
                    }
                    // Each step is done when it is answered, and the engine limits its time.
                    Decision::Limit(..) => {}
                    // Nobody asks for images yet.
                    Decision::Commit(epoch) => facts.push_back(Fact::NotCommitted(epoch)),
                    Decision::Answer(who, answer) if who == request => answered = Some(answer),
                    Decision::Answer(..) => {}
                }
            }
        }
        // All is done by now, so there is an answer.
        answered.unwrap_or(Answer::Busy)
    }

    /// Has the participant take an event, and does what it says.
    fn participate(&mut self, event: Event, engine: &EngineOrders, facts: &mut VecDeque<Fact>) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.participant.step(event) {
                match action {
                    Action::Send { message: Message::Report(epoch, report), .. } => {
                        facts.push_back(Fact::Report(epoch, report));
                    }
                    // There are no children.
                    Action::Send { .. } => {}
                    Action::Close(epoch) => events.push_back(match self.note(close(engine)) {
                        true => Event::Did(epoch, Progress::Quiet),
                        false => Event::CouldNot(epoch, Cause::NotQuiet(HOST)),
                    }),
                    Action::Open(_) => drop(self.note(open(engine))),
                    // Nobody asks for images yet.
                    Action::Copy(epoch) => {
                        events.push_back(Event::CouldNot(epoch, Cause::NotCopied(HOST)));
                    }
                    Action::Write(epoch) => {
                        events.push_back(Event::CouldNot(epoch, Cause::NotWritten(HOST)));
                    }
                    Action::Leave(epoch, _) => {
                        events.push_back(Event::Did(epoch, Progress::Left));
                    }
                    // There are no other hosts to be lost.
                    Action::Fail(_) => {}
                }
            }
        }
    }

    /// Whether something was done; the first cause of what was not is kept.
    fn note(&mut self, result: Result<(), OrderError>) -> bool {
        let done = result.is_ok();
        self.error = self.error.take().or(result.err());
        done
    }

    /// What to say of an answer that was not hoped for.
    fn refusal(&mut self, answer: Answer) -> LineError {
        match (self.error.take(), answer) {
            (Some(error), _) => error.into(),
            (None, Answer::Failed(cause)) => LineError::GivenUp(cause),
            (None, Answer::NotHeld) => LineError::NotHeld,
            (None, Answer::JobLost) => LineError::JobLost,
            (None, _) => LineError::Busy,
        }
    }
}

/// Brings all that is under way to its end.
fn close(engine: &EngineOrders) -> Result<(), OrderError> {
    engine.close_gates()?;
    engine.stop_serving()
}

/// Undoes [`close`], as far as it came, and what stands still goes on.
fn open(engine: &EngineOrders) -> Result<(), OrderError> {
    engine.go_on()?;
    engine.start_serving()?;
    engine.open_gates()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_line_that_was_given_up_is_words() {
        use Cause::{
            Cancelled, HostLost, NotCommitted, NotCopied, NotQuiet, NotWritten, TimeLimit,
        };
        let causes = [NotQuiet(3), NotCopied(3), NotWritten(3), HostLost(3)];
        for cause in causes.into_iter().chain([NotCommitted, TimeLimit, Cancelled]) {
            let said = LineError::GivenUp(cause).to_string();
            assert!(said.starts_with("the line was given up: "), "{said}");
            let name = format!("{cause:?}");
            let name = name.split('(').next().unwrap();
            assert!(!said.contains(name), "{said}");
            assert_eq!(said.contains("host 3"), causes.contains(&cause), "{said}");
        }
    }
}

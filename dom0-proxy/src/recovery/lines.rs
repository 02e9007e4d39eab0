//! The recovery lines of a job on one host: what [`protocol`](super::protocol) decides, done.
//!
//! There is one participant, so that it and the coordinator talk by function calls. What they
//! decide takes microseconds to seconds, and is done in the thread of whoever asks; meanwhile
//! others may ask, and hear at once that a line is under way. The engine has its own limits of
//! time, and ends all of it when the job ends.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::host::{Host, RankCopy};
use super::line_error::LineError;
use super::protocol::{
    Action, Answer, Ask, Cause, Coordinator, Decision, Epoch, Event, Fact, Message, Participant,
    Progress, RequestId, Tree,
};
use super::room::Room;
use super::saving::{ImageWriter, LineFigures, Save};
use crate::engine::EngineOrders;

/// What can be done about the recovery lines of one job.
#[derive(Debug)]
pub struct Lines {
    host: Box<dyn Host>,
    state: Mutex<State>,
    /// Some request has been answered.
    answered: Condvar,
    /// Copies of the last line that was saved: their memory is used again.
    copies: Mutex<Vec<RankCopy>>,
}

#[derive(Debug)]
struct State {
    coordinator: Coordinator,
    participant: Participant,
    /// The number of the next request.
    request: RequestId,
    /// To those who wait.
    answers: BTreeMap<RequestId, Answer>,
    /// Why something of the newest line could not be done.
    error: Option<LineError>,
}

/// Something that is to be done, outside of the lock.
#[derive(Clone, Copy, Debug)]
enum Work {
    Close(Epoch),
    Copy(Epoch),
    Open,
    Write(Epoch),
    Leave(Epoch),
    Commit(Epoch),
}

/// What the protocol hears.
#[derive(Clone, Copy, Debug)]
enum Heard {
    Coordinator(Fact),
    Participant(Event),
}

/// The host that a job is on, while there is one only.
const HOST: u32 = 0;

impl Lines {
    /// Those of a job that has just been started, or restored for the `incarnation`th time.
    pub fn new(engine: EngineOrders, incarnation: u32) -> Self {
        Self::of(Box::new(engine), incarnation)
    }

    /// The same, of ranks that are stopped and copied by `host`.
    pub(super) fn of(host: Box<dyn Host>, incarnation: u32) -> Self {
        let state = State {
            coordinator: Coordinator::new(incarnation),
            participant: Participant::new(HOST, Tree::new(1, Tree::FANOUT), incarnation),
            request: 0,
            answers: BTreeMap::new(),
            error: None,
        };
        Self { host, state: Mutex::new(state), answered: Condvar::new(), copies: Mutex::default() }
    }

    /// Closes a line and keeps it: no operation is under way, and none begins. With `park` the
    /// ranks stand still besides, which domains can: then nothing but the toolstack changes
    /// anything of the job, until it is [released](Self::release). A job that is held already is
    /// held.
    ///
    /// # Errors
    /// [`LineError`]; then the job goes on.
    pub fn hold(&self, park: bool) -> Result<(), LineError> {
        match self.ask(Ask::Hold, None) {
            Answer::Held(_) => {}
            answer => return Err(self.refusal(answer)),
        }
        if park && let Err(error) = self.host.park() {
            // In this order: what the release cannot do either does not matter any more.
            self.ask(Ask::Release, None);
            return Err(error.into());
        }
        Ok(())
    }

    /// Lets a job go on that is held.
    ///
    /// # Errors
    /// [`LineError`].
    pub fn release(&self) -> Result<(), LineError> {
        match self.ask(Ask::Release, None) {
            Answer::Released => self.state().error.take().map_or(Ok(()), Err),
            answer => Err(self.refusal(answer)),
        }
    }

    /// Makes room for copies of the ranks' memory, so that the next line finds it.
    ///
    /// # Errors
    /// [`LineError`].
    pub fn make_room(&self) -> Result<(), LineError> {
        let mut kept = self.copies.try_lock().map_err(|_| LineError::Busy)?;
        *kept = Room::make(&*self.host, std::mem::take(&mut *kept))?.copies;
        Ok(())
    }

    /// Saves an image by `images`. The ranks, which must be domains, go on as soon as their memory
    /// is copied; with `stop` they are left as they are, at the line.
    ///
    /// # Errors
    /// [`LineError`]; then the job goes on, and there is no image.
    pub fn save(
        &self,
        stop: bool,
        images: &mut dyn ImageWriter,
    ) -> Result<(Epoch, LineFigures), LineError> {
        if self.is_held() {
            return Err(LineError::Held);
        }
        // Somebody else's line has them, and nothing is to be waited for.
        let mut kept = self.copies.try_lock().map_err(|_| LineError::Busy)?;
        let mut save = Save::new(images, Room::make(&*self.host, std::mem::take(&mut *kept))?);
        let answer = self.ask(Ask::Checkpoint { stop }, Some(&mut save));
        let Save { copies, figures, .. } = save;
        *kept = copies;
        match answer {
            Answer::Saved(epoch) => Ok((epoch, figures)),
            answer => Err(self.refusal(answer)),
        }
    }

    /// Whether a line would have nothing to drain now, as far as can be told within `patience`:
    /// ranks do not wait for the answer. Not if a line is being closed, or is held.
    pub fn is_quiet(&self, patience: Duration) -> bool {
        self.host.is_quiet(patience)
    }

    /// Whether it is held. Does not wait for what is under way.
    pub fn is_held(&self) -> bool {
        self.state().coordinator.is_holding()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for something, does all that follows, and gives the answer.
    fn ask(&self, ask: Ask, mut save: Option<&mut Save<'_>>) -> Answer {
        let mut state = self.state();
        state.request += 1;
        let request = state.request;
        let mut work = VecDeque::from(state.hear(Heard::Coordinator(Fact::Asked((request, ask)))));
        loop {
            if let Some(next) = work.pop_front() {
                if matches!(next, Work::Close(_)) {
                    state.error = None;
                }
                drop(state);
                let (heard, error) = self.perform(next, save.as_deref_mut());
                state = self.state();
                state.error = state.error.take().or(error);
                if let Some(heard) = heard {
                    work.extend(state.hear(heard));
                }
                self.answered.notify_all();
            } else if let Some(answer) = state.answers.remove(&request) {
                return answer;
            } else {
                // Whoever does this line's work wakes this thread.
                state = self.answered.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Does something. What the protocol is to hear of that, and why it could not be done.
    fn perform(
        &self,
        work: Work,
        save: Option<&mut Save<'_>>,
    ) -> (Option<Heard>, Option<LineError>) {
        let host = &*self.host;
        let unasked = || Err(LineError::Busy);
        let done = match (&work, save) {
            (Work::Close(_), Some(save)) => save.close(host),
            (Work::Close(_), None) => host.close().map(drop).map_err(LineError::from),
            (Work::Open, Some(save)) => save.open(host),
            (Work::Open, None) => host.open().map_err(LineError::from),
            (Work::Copy(epoch), save) => save.map_or_else(unasked, |save| save.copy(host, *epoch)),
            (Work::Write(epoch), save) => {
                save.map_or_else(unasked, |save| save.write(host, *epoch))
            }
            (Work::Commit(_), save) => save.map_or_else(unasked, Save::commit),
            // What was written and not committed goes with whoever has written it.
            (Work::Leave(_), _) => Ok(()),
        };
        let is_done = done.is_ok();
        let did = |epoch, progress, cause| {
            Some(Heard::Participant(match is_done {
                true => Event::Did(epoch, progress),
                false => Event::CouldNot(epoch, cause),
            }))
        };
        let heard = match work {
            Work::Close(epoch) => did(epoch, Progress::Quiet, Cause::NotQuiet(HOST)),
            Work::Copy(epoch) => did(epoch, Progress::Copied, Cause::NotCopied(HOST)),
            Work::Write(epoch) => did(epoch, Progress::Durable, Cause::NotWritten(HOST)),
            Work::Leave(epoch) => did(epoch, Progress::Left, Cause::Cancelled),
            Work::Open => None,
            Work::Commit(epoch) => Some(Heard::Coordinator(match is_done {
                true => Fact::Committed(epoch),
                false => Fact::NotCommitted(epoch),
            })),
        };
        (heard, done.err())
    }

    /// What to say of an answer that was not hoped for.
    fn refusal(&self, answer: Answer) -> LineError {
        match answer {
            Answer::Failed(cause) => {
                self.state().error.clone().unwrap_or(LineError::GivenUp(cause))
            }
            Answer::NotHeld => LineError::NotHeld,
            Answer::JobLost => LineError::JobLost,
            Answer::Busy if self.is_held() => LineError::Held,
            _ => LineError::Busy,
        }
    }
}

impl State {
    /// Has the protocol hear something. What is to be done, in this order.
    fn hear(&mut self, heard: Heard) -> Vec<Work> {
        let mut work = Vec::new();
        let mut all = VecDeque::from([heard]);
        while let Some(heard) = all.pop_front() {
            match heard {
                Heard::Coordinator(fact) => {
                    for decision in self.coordinator.step(fact) {
                        match decision {
                            Decision::Order(epoch, order) => {
                                let message = Message::Order(epoch, order);
                                let event = Event::Received { from: HOST, message };
                                all.push_back(Heard::Participant(event));
                            }
                            // The engine limits the time of each step, and writing takes what it
                            // takes.
                            Decision::Limit(..) => {}
                            Decision::Commit(epoch) => work.push(Work::Commit(epoch)),
                            Decision::Answer(who, answer) => {
                                self.answers.insert(who, answer);
                            }
                        }
                    }
                }
                Heard::Participant(event) => {
                    for action in self.participant.step(event) {
                        match action {
                            Action::Send { message: Message::Report(epoch, report), .. } => {
                                all.push_back(Heard::Coordinator(Fact::Report(epoch, report)));
                            }
                            // There are no children, and no other hosts to be lost.
                            Action::Send { .. } | Action::Fail(_) => {}
                            Action::Close(epoch) => work.push(Work::Close(epoch)),
                            Action::Open(_) => work.push(Work::Open),
                            Action::Copy(epoch) => work.push(Work::Copy(epoch)),
                            Action::Write(epoch) => work.push(Work::Write(epoch)),
                            Action::Leave(epoch, _) => work.push(Work::Leave(epoch)),
                        }
                    }
                }
            }
        }
        work
    }
}

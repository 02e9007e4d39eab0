//! What the engine does for its ranks, and how that may change. No I/O and no clock here.
//!
//! ```text
//!            close            all are out           stop
//!     Open ---------> Closing ---------> Closed ---------> Stopped
//!      ^   <---------    |                 |    <---------
//!      |  a rank stays,  |                 |       start
//!      |  or open        |                 |
//!      +-----------------+-----------------+
//!                      open
//! ```

use std::fmt;

/// What is done for the ranks now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// Rings are served, and ranks reach each other's memory.
    Open,
    /// Rings are served. The gates are closed, but a rank may still be in a neighbour's memory.
    Closing,
    /// Rings are served. No rank is in a neighbour's memory.
    Closed,
    /// Nothing: entries stay in the rings, and no memory of a rank is written.
    Stopped,
}

/// What may change that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The gates are to be closed.
    Close,
    /// All ranks have left their neighbours' memory.
    AllOut,
    /// A rank does not leave its neighbours' memory.
    OneStays,
    /// The gates are to be opened.
    Open,
    /// Rings are to be served no more.
    Stop,
    /// Rings are to be served again.
    Start,
}

impl ServiceState {
    /// The state that `change` leads to; `None` where it is not allowed.
    pub fn after(self, change: Change) -> Option<Self> {
        match (self, change) {
            (Self::Open | Self::Closing, Change::Close) => Some(Self::Closing),
            (Self::Closed | Self::Stopped, Change::Close) => Some(self),
            (Self::Closing, Change::AllOut) => Some(Self::Closed),
            (Self::Closing, Change::OneStays) => Some(Self::Open),
            (Self::Open | Self::Closing | Self::Closed, Change::Open) => Some(Self::Open),
            (Self::Closed | Self::Stopped, Change::Stop) => Some(Self::Stopped),
            (Self::Stopped, Change::Start) => Some(Self::Closed),
            (Self::Open | Self::Closing | Self::Closed, Change::Start) => Some(self),
            (_, Change::AllOut | Change::OneStays | Change::Open | Change::Stop) => None,
        }
    }
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "the gates are open",
            Self::Closing => "the gates are being closed",
            Self::Closed => "the gates are closed and the rings served",
            Self::Stopped => "the rings are not served",
        })
    }
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// A rank does not leave its neighbours' memory. The gates are open again.
    #[error("rank {0} does not leave its neighbours' memory; is its domain paused?")]
    Inside(u32),
    /// Somebody else has opened the gates before they were closed.
    #[error("the gates were opened again before all ranks had left their neighbours' memory")]
    Reopened,
    /// The order does not go with what the engine does now.
    #[error("that cannot be done while {0}")]
    NotNow(ServiceState),
    /// There is no such rank.
    #[error("no rank {0}")]
    NoRank(u32),
    /// The job is not one that runs.
    #[error("the job does not run")]
    NotRunning,
}

/// Something that the service takes in. `W` is whoever waits for the answer.
#[derive(Debug)]
pub enum Input<W> {
    /// Somebody wants this change, and waits until it is made.
    Wanted(Change, W),
    /// All ranks have left their neighbours' memory.
    AllOut,
    /// This rank has had enough time to leave, and has not.
    OneStays(u32),
}

/// Something that is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub enum ServiceAction<W> {
    /// Close all gates, and look from now on whether ranks are out.
    CloseGates,
    /// Open the gates that were closed.
    OpenGates,
    /// Forget how long ranks have waited for others: they could not get on.
    RestartPatience,
    /// Answer.
    Answer(W, Result<(), OrderError>),
}

/// The state, and whoever waits for it to change.
#[derive(Debug)]
pub struct Service<W> {
    state: ServiceState,
    /// Those who wait for the gates to be closed.
    closers: Vec<W>,
}

impl<W> Service<W> {
    /// Of a job whose gates have just been opened.
    pub fn new() -> Self {
        Self { state: ServiceState::Open, closers: Vec::new() }
    }

    /// What is done for the ranks now.
    pub fn state(&self) -> ServiceState {
        self.state
    }

    /// Takes an input in; what is to be done, in this order.
    pub fn take(&mut self, input: Input<W>) -> Vec<ServiceAction<W>> {
        let (change, who, closed) = match input {
            Input::Wanted(Change::Open, who) => {
                (Change::Open, Some(who), Err(OrderError::Reopened))
            }
            Input::Wanted(change, who) => (change, Some(who), Ok(())),
            Input::AllOut => (Change::AllOut, None, Ok(())),
            Input::OneStays(rank) => (Change::OneStays, None, Err(OrderError::Inside(rank))),
        };
        let before = self.state;
        let Some(after) = before.after(change) else {
            let refuse = |who| ServiceAction::Answer(who, Err(OrderError::NotNow(before)));
            return who.map(refuse).into_iter().collect();
        };
        self.state = after;
        let mut actions = Vec::new();
        match (before, after) {
            (ServiceState::Open, ServiceState::Closing) => actions.push(ServiceAction::CloseGates),
            (ServiceState::Closing | ServiceState::Closed, ServiceState::Open) => {
                actions.push(ServiceAction::OpenGates)
            }
            (ServiceState::Stopped, ServiceState::Closed) => {
                actions.push(ServiceAction::RestartPatience)
            }
            _ => {}
        }
        if (after, change) == (ServiceState::Closing, Change::Close) {
            self.closers.extend(who);
            return actions;
        }
        if (before, after) != (ServiceState::Closing, ServiceState::Closing) {
            let closers = self.closers.drain(..);
            actions.extend(closers.map(|closer| ServiceAction::Answer(closer, closed.clone())));
        }
        actions.extend(who.map(|who| ServiceAction::Answer(who, Ok(()))));
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [ServiceState; 4] =
        [ServiceState::Open, ServiceState::Closing, ServiceState::Closed, ServiceState::Stopped];
    const CHANGES: [Change; 6] = [
        Change::Close,
        Change::AllOut,
        Change::OneStays,
        Change::Open,
        Change::Stop,
        Change::Start,
    ];

    fn service(state: ServiceState) -> Service<u32> {
        Service { state, closers: Vec::new() }
    }

    fn want(service: &mut Service<u32>, change: Change, who: u32) -> Vec<ServiceAction<u32>> {
        service.take(Input::Wanted(change, who))
    }

    #[test]
    fn the_whole_table() {
        use ServiceState::{Closed, Closing, Open, Stopped};
        // By rows: close, all out, one stays, open, stop, start.
        let table = [
            (Open, [Some(Closing), None, None, Some(Open), None, Some(Open)]),
            (Closing, [Some(Closing), Some(Closed), Some(Open), Some(Open), None, Some(Closing)]),
            (Closed, [Some(Closed), None, None, Some(Open), Some(Stopped), Some(Closed)]),
            (Stopped, [Some(Stopped), None, None, None, Some(Stopped), Some(Closed)]),
        ];
        for (state, row) in table {
            assert_eq!(CHANGES.map(|change| state.after(change)), row, "{state:?}");
        }
    }

    #[test]
    fn gates_are_closed_while_rings_are_not_served() {
        for (before, change) in STATES.iter().flat_map(|state| CHANGES.map(|it| (*state, it))) {
            match before.after(change) {
                Some(ServiceState::Stopped) => {
                    assert!(matches!(before, ServiceState::Closed | ServiceState::Stopped))
                }
                Some(ServiceState::Open) => assert_ne!(before, ServiceState::Stopped),
                _ => {}
            }
        }
    }

    #[test]
    fn there_and_back() {
        let mut service = Service::new();
        assert_eq!(want(&mut service, Change::Close, 1), [ServiceAction::CloseGates]);
        assert_eq!(service.take(Input::AllOut), [ServiceAction::Answer(1, Ok(()))]);
        assert_eq!(want(&mut service, Change::Stop, 2), [ServiceAction::Answer(2, Ok(()))]);
        assert_eq!(service.state(), ServiceState::Stopped);
        let started = want(&mut service, Change::Start, 3);
        assert_eq!(started, [ServiceAction::RestartPatience, ServiceAction::Answer(3, Ok(()))]);
        let opened = want(&mut service, Change::Open, 4);
        assert_eq!(opened, [ServiceAction::OpenGates, ServiceAction::Answer(4, Ok(()))]);
        assert_eq!(service.state(), ServiceState::Open);
    }

    #[test]
    fn all_who_close_are_answered() {
        let mut service = Service::new();
        assert_eq!(want(&mut service, Change::Close, 1), [ServiceAction::CloseGates]);
        assert_eq!(want(&mut service, Change::Close, 2), []);
        let answers = [ServiceAction::Answer(1, Ok(())), ServiceAction::Answer(2, Ok(()))];
        assert_eq!(service.take(Input::AllOut), answers);
        assert_eq!(want(&mut service, Change::Close, 3), [ServiceAction::Answer(3, Ok(()))]);
    }

    #[test]
    fn who_closes_hears_that_the_gates_are_open_again() {
        let mut service = Service::new();
        want(&mut service, Change::Close, 1);
        want(&mut service, Change::Close, 2);
        let stays = OrderError::Inside(7);
        let answers = [
            ServiceAction::OpenGates,
            ServiceAction::Answer(1, Err(stays.clone())),
            ServiceAction::Answer(2, Err(stays)),
        ];
        assert_eq!(service.take(Input::OneStays(7)), answers);
        want(&mut service, Change::Close, 3);
        let answers = [
            ServiceAction::OpenGates,
            ServiceAction::Answer(3, Err(OrderError::Reopened)),
            ServiceAction::Answer(4, Ok(())),
        ];
        assert_eq!(want(&mut service, Change::Open, 4), answers);
        assert_eq!(service.state(), ServiceState::Open);
    }

    #[test]
    fn a_refused_order_changes_nothing_and_keeps_nobody_waiting() {
        for (state, change) in STATES.iter().flat_map(|state| CHANGES.map(|it| (*state, it))) {
            if state.after(change).is_none() {
                let mut service = service(state);
                let refused = ServiceAction::Answer(5, Err(OrderError::NotNow(state)));
                assert_eq!(want(&mut service, change, 5), [refused]);
                assert_eq!(service.state(), state);
            }
        }
    }

    #[test]
    fn serving_again_while_the_gates_are_being_closed_answers_only_that() {
        let mut service = Service::new();
        want(&mut service, Change::Close, 1);
        assert_eq!(want(&mut service, Change::Start, 2), [ServiceAction::Answer(2, Ok(()))]);
        assert_eq!(service.take(Input::AllOut), [ServiceAction::Answer(1, Ok(()))]);
    }
}

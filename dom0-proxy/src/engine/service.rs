//! What the engine does for its ranks, and how that may change. No I/O and no clock here.
//!
//! ```text
//!            close            all are out            stop           all is back
//!     Open ---------> Closing ---------> Closed ---------> Draining ---------> Stopped
//!      ^   <---------    |                 | ^  <---------                        | ^
//!      |  a rank stays,  |                 | |   a host does not answer, or start | |
//!      |  or open        |                 | +------------------------------------+ |
//!      +-----------------+-----------------+                start                   |
//!                      open                                                         |
//!                                                                                   |
//!              park           all stand still          land                         |
//!     Stopped ------> Parking ---------------> Parked ------> Landing --------------+
//!             <------    |                       |       all have landed, or one does not
//!                one does not, or go on       go on
//! ```
//!
//! A job that is restored begins in `Parked`: its ranks stand still from their birth.

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
    /// Nothing new: entries stay in the rings. What was asked for on other hosts is still to be
    /// done there.
    Draining,
    /// Nothing: entries stay in the rings, and no memory of a rank is written, but for what ranks
    /// of other hosts have asked for before their proxies stopped, too.
    Stopped,
    /// Nothing, and ranks have been told to stand still.
    Parking,
    /// Nothing, and all ranks stand still.
    Parked,
    /// Nothing, and domains have been told to become the ranks that their memory was filled with.
    Landing,
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
    /// All that was asked for on other hosts is done there.
    AllBack,
    /// Another host does not do what it was asked for.
    OneOut,
    /// Rings are to be served again.
    Start,
    /// Ranks are to stand still.
    Park,
    /// All ranks do.
    AllParked,
    /// A rank does not.
    OneMoves,
    /// Ranks are to go on.
    GoOn,
    /// Domains are to become the ranks that their memory was filled with, and to go on.
    Land,
    /// All have.
    AllLanded,
    /// One has not.
    OneStands,
}

impl ServiceState {
    /// The state that `change` leads to; `None` where it is not allowed.
    pub fn after(self, change: Change) -> Option<Self> {
        match (self, change) {
            (Self::Open | Self::Closing, Change::Close) => Some(Self::Closing),
            (Self::Closed | Self::Stopped, Change::Close) => Some(self),
            (Self::Parking | Self::Parked | Self::Landing, Change::Close) => Some(self),
            (Self::Closing, Change::AllOut) => Some(Self::Closed),
            (Self::Closing, Change::OneStays) => Some(Self::Open),
            (Self::Open | Self::Closing | Self::Closed, Change::Open) => Some(Self::Open),
            (Self::Closed | Self::Draining, Change::Stop) => Some(Self::Draining),
            (Self::Draining, Change::AllBack) => Some(Self::Stopped),
            (Self::Draining, Change::OneOut | Change::Start) => Some(Self::Closed),
            (Self::Draining, Change::Close | Change::GoOn) => Some(self),
            (Self::Stopped | Self::Parking | Self::Parked | Self::Landing, Change::Stop) => {
                Some(self)
            }
            (Self::Stopped | Self::Parking, Change::Park) => Some(Self::Parking),
            (Self::Parked, Change::Park) => Some(self),
            (Self::Parking, Change::AllParked) => Some(Self::Parked),
            (Self::Parking, Change::OneMoves) => Some(Self::Stopped),
            (Self::Parking | Self::Parked, Change::GoOn) => Some(Self::Stopped),
            (Self::Open | Self::Closing | Self::Closed | Self::Stopped, Change::GoOn) => Some(self),
            (Self::Stopped, Change::Start) => Some(Self::Closed),
            (Self::Open | Self::Closing | Self::Closed, Change::Start) => Some(self),
            (Self::Parked | Self::Landing, Change::Land) => Some(Self::Landing),
            (Self::Landing, Change::AllLanded | Change::OneStands) => Some(Self::Stopped),
            (Self::Parking | Self::Parked | Self::Landing, Change::Start) => None,
            // Who has begun to go on cannot be told to stay.
            (Self::Landing, Change::GoOn) => None,
            (_, Change::AllOut | Change::OneStays | Change::Open | Change::Stop) => None,
            (_, Change::AllBack | Change::OneOut) => None,
            (_, Change::Park | Change::AllParked | Change::OneMoves) => None,
            (_, Change::Land | Change::AllLanded | Change::OneStands) => None,
        }
    }
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "the gates are open",
            Self::Closing => "the gates are being closed",
            Self::Closed => "the gates are closed and the rings served",
            Self::Draining => "what was asked for on other hosts is still to be done",
            Self::Stopped => "the rings are not served",
            Self::Parking => "ranks are being stopped",
            Self::Parked => "ranks stand still",
            Self::Landing => "ranks are being restored",
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
    /// Another host does not do what it was asked for. The rings are served again.
    #[error("host {0} does not do what it was asked for")]
    NotBack(u32),
    /// Somebody else has had the rings served again before all was done on other hosts.
    #[error("the rings were served again before all was done on other hosts")]
    Restarted,
    /// A rank does not stand still. All go on.
    #[error("rank {0} cannot be stopped; is its domain paused?")]
    Moves(u32),
    /// A rank cannot be told to stand still.
    #[error("rank {0} is a process, which computes on until it needs another rank")]
    CannotPark(u32),
    /// Somebody else has let the ranks go on before all stood still.
    #[error("the ranks were let go on before all of them stood still")]
    GoneOn,
    /// A domain does not become the rank that its memory was filled with.
    #[error("rank {0} does not go on from what was saved of it; is its domain paused?")]
    Stands(u32),
    /// What a rank's memory was filled with is no rank that this proxy can serve.
    #[error("what was saved of rank {0} is no rank that this daemon can serve: {1}")]
    NoRankThere(u32, String),
    /// Memory that is not there was to be filled.
    #[error("what was saved of rank {0} is larger than its memory")]
    TooLarge(u32),
    /// The order does not go with what the engine does now.
    #[error("that cannot be done while {0}")]
    NotNow(ServiceState),
    /// There is no such rank.
    #[error("no rank {0}")]
    NoRank(u32),
    /// The job is not one that runs.
    #[error("not all of its ranks have started, or it has ended")]
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
    /// All that was asked for on other hosts is done there.
    AllBack,
    /// This host has had enough time for what it was asked for.
    OneOut(u32),
    /// All ranks stand still.
    AllParked,
    /// This rank does not, for this reason.
    OneMoves(OrderError),
    /// All domains have become the ranks that they were filled with.
    AllLanded,
    /// One has not, for this reason.
    OneStands(OrderError),
}

/// Something that is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub enum ServiceAction<W> {
    /// Close all gates, and look from now on whether ranks are out.
    CloseGates,
    /// Open the gates that were closed.
    OpenGates,
    /// Have all ranks stand still, and look from now on whether they do.
    ParkRanks,
    /// Let them go on.
    LetRanksGo,
    /// Have domains become the ranks that they were filled with, and look from now on whether they
    /// have.
    LandRanks,
    /// Take up the rings where they are: other memory has been laid over them.
    TakeUpRings,
    /// Forget how long ranks have waited for others: they could not get on.
    RestartPatience,
    /// Answer.
    Answer(W, Result<(), OrderError>),
}

/// The state, and whoever waits for it to change.
#[derive(Debug)]
pub struct Service<W> {
    state: ServiceState,
    /// Those who wait for the gates to be closed, for all to be done on other hosts, for all ranks
    /// to stand still, or to land.
    waiting: Vec<W>,
}

impl<W> Service<W> {
    /// Of a job whose gates have just been opened.
    pub fn new() -> Self {
        Self { state: ServiceState::Open, waiting: Vec::new() }
    }

    /// Of a job that is restored: its ranks stand still from their birth.
    pub fn of_landing() -> Self {
        Self { state: ServiceState::Parked, waiting: Vec::new() }
    }

    /// What is done for the ranks now.
    pub fn state(&self) -> ServiceState {
        self.state
    }

    /// Takes an input in; what is to be done, in this order.
    pub fn take(&mut self, input: Input<W>) -> Vec<ServiceAction<W>> {
        let (change, who, outcome) = match input {
            Input::Wanted(Change::Open, who) => {
                (Change::Open, Some(who), Err(OrderError::Reopened))
            }
            Input::Wanted(Change::GoOn, who) => (Change::GoOn, Some(who), Err(OrderError::GoneOn)),
            Input::Wanted(Change::Start, who) => {
                (Change::Start, Some(who), Err(OrderError::Restarted))
            }
            Input::Wanted(change, who) => (change, Some(who), Ok(())),
            Input::AllOut => (Change::AllOut, None, Ok(())),
            Input::OneStays(rank) => (Change::OneStays, None, Err(OrderError::Inside(rank))),
            Input::AllBack => (Change::AllBack, None, Ok(())),
            Input::OneOut(host) => (Change::OneOut, None, Err(OrderError::NotBack(host))),
            Input::AllParked => (Change::AllParked, None, Ok(())),
            Input::OneMoves(why) => (Change::OneMoves, None, Err(why)),
            Input::AllLanded => (Change::AllLanded, None, Ok(())),
            Input::OneStands(why) => (Change::OneStands, None, Err(why)),
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
            (ServiceState::Stopped | ServiceState::Draining, ServiceState::Closed) => {
                actions.push(ServiceAction::RestartPatience)
            }
            (ServiceState::Stopped, ServiceState::Parking) => {
                actions.push(ServiceAction::ParkRanks)
            }
            (ServiceState::Parking | ServiceState::Parked, ServiceState::Stopped) => {
                actions.push(ServiceAction::LetRanksGo)
            }
            (ServiceState::Parked, ServiceState::Landing) => actions.push(ServiceAction::LandRanks),
            (ServiceState::Landing, ServiceState::Stopped) => {
                actions.push(ServiceAction::TakeUpRings)
            }
            _ => {}
        }
        let is_awaited = |state| {
            matches!(
                state,
                ServiceState::Closing
                    | ServiceState::Draining
                    | ServiceState::Parking
                    | ServiceState::Landing
            )
        };
        if matches!(
            (after, change),
            (ServiceState::Closing, Change::Close)
                | (ServiceState::Draining, Change::Stop)
                | (ServiceState::Parking, Change::Park)
                | (ServiceState::Landing, Change::Land)
        ) {
            self.waiting.extend(who);
            return actions;
        }
        if is_awaited(before) && after != before {
            let waiting = self.waiting.drain(..);
            actions.extend(waiting.map(|it| ServiceAction::Answer(it, outcome.clone())));
        }
        actions.extend(who.map(|who| ServiceAction::Answer(who, Ok(()))));
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [ServiceState; 8] = [
        ServiceState::Open,
        ServiceState::Closing,
        ServiceState::Closed,
        ServiceState::Draining,
        ServiceState::Stopped,
        ServiceState::Parking,
        ServiceState::Parked,
        ServiceState::Landing,
    ];
    const CHANGES: [Change; 15] = [
        Change::Close,
        Change::AllOut,
        Change::OneStays,
        Change::Open,
        Change::Stop,
        Change::AllBack,
        Change::OneOut,
        Change::Start,
        Change::Park,
        Change::AllParked,
        Change::OneMoves,
        Change::GoOn,
        Change::Land,
        Change::AllLanded,
        Change::OneStands,
    ];

    fn service(state: ServiceState) -> Service<u32> {
        Service { state, waiting: Vec::new() }
    }

    fn want(service: &mut Service<u32>, change: Change, who: u32) -> Vec<ServiceAction<u32>> {
        service.take(Input::Wanted(change, who))
    }

    #[test]
    fn the_whole_table() {
        use ServiceState::{Closed, Closing, Draining, Landing, Open, Parked, Parking, Stopped};
        // What is allowed, and where it leads.
        let table = [
            (Open, Change::Close, Closing),
            (Open, Change::Open, Open),
            (Open, Change::Start, Open),
            (Open, Change::GoOn, Open),
            (Closing, Change::Close, Closing),
            (Closing, Change::AllOut, Closed),
            (Closing, Change::OneStays, Open),
            (Closing, Change::Open, Open),
            (Closing, Change::Start, Closing),
            (Closing, Change::GoOn, Closing),
            (Closed, Change::Close, Closed),
            (Closed, Change::Open, Open),
            (Closed, Change::Stop, Draining),
            (Closed, Change::Start, Closed),
            (Closed, Change::GoOn, Closed),
            (Draining, Change::Close, Draining),
            (Draining, Change::Stop, Draining),
            (Draining, Change::AllBack, Stopped),
            (Draining, Change::OneOut, Closed),
            (Draining, Change::Start, Closed),
            (Draining, Change::GoOn, Draining),
            (Stopped, Change::Close, Stopped),
            (Stopped, Change::Stop, Stopped),
            (Stopped, Change::Start, Closed),
            (Stopped, Change::Park, Parking),
            (Stopped, Change::GoOn, Stopped),
            (Parking, Change::Close, Parking),
            (Parking, Change::Stop, Parking),
            (Parking, Change::Park, Parking),
            (Parking, Change::AllParked, Parked),
            (Parking, Change::OneMoves, Stopped),
            (Parking, Change::GoOn, Stopped),
            (Parked, Change::Close, Parked),
            (Parked, Change::Stop, Parked),
            (Parked, Change::Park, Parked),
            (Parked, Change::GoOn, Stopped),
            (Parked, Change::Land, Landing),
            (Landing, Change::Close, Landing),
            (Landing, Change::Stop, Landing),
            (Landing, Change::Land, Landing),
            (Landing, Change::AllLanded, Stopped),
            (Landing, Change::OneStands, Stopped),
        ];
        for (state, change) in STATES.iter().flat_map(|state| CHANGES.map(|it| (*state, it))) {
            let row = table.iter().find(|(from, by, _)| (*from, *by) == (state, change));
            assert_eq!(state.after(change), row.map(|row| row.2), "{state:?}, {change:?}");
        }
    }

    #[test]
    fn gates_are_closed_while_rings_are_not_served() {
        use ServiceState::{Closed, Draining, Landing, Open, Parked, Parking, Stopped};
        for (before, change) in STATES.iter().flat_map(|state| CHANGES.map(|it| (*state, it))) {
            match before.after(change) {
                Some(Draining) => assert!(matches!(before, Closed | Draining)),
                Some(Stopped | Parking | Parked | Landing) => {
                    assert!(matches!(before, Draining | Stopped | Parking | Parked | Landing))
                }
                Some(Open) => {
                    assert!(!matches!(before, Draining | Stopped | Parking | Parked | Landing))
                }
                _ => {}
            }
        }
    }

    #[test]
    fn ranks_stand_still_and_go_on() {
        let mut service = service(ServiceState::Stopped);
        assert_eq!(want(&mut service, Change::Park, 1), [ServiceAction::ParkRanks]);
        assert_eq!(want(&mut service, Change::Park, 2), []);
        assert_eq!(want(&mut service, Change::Close, 3), [ServiceAction::Answer(3, Ok(()))]);
        let answers = [ServiceAction::Answer(1, Ok(())), ServiceAction::Answer(2, Ok(()))];
        assert_eq!(service.take(Input::AllParked), answers);
        assert_eq!(want(&mut service, Change::Park, 4), [ServiceAction::Answer(4, Ok(()))]);
        let gone_on = [ServiceAction::LetRanksGo, ServiceAction::Answer(5, Ok(()))];
        assert_eq!(want(&mut service, Change::GoOn, 5), gone_on);
        assert_eq!(service.state(), ServiceState::Stopped);
    }

    #[test]
    fn who_parks_hears_that_a_rank_does_not_stand_still() {
        let mut service = service(ServiceState::Stopped);
        want(&mut service, Change::Park, 1);
        let moves = || Err(OrderError::Moves(7));
        let answers = [ServiceAction::LetRanksGo, ServiceAction::Answer(1, moves())];
        assert_eq!(service.take(Input::OneMoves(OrderError::Moves(7))), answers);
        want(&mut service, Change::Park, 2);
        let answers = [
            ServiceAction::LetRanksGo,
            ServiceAction::Answer(2, Err(OrderError::GoneOn)),
            ServiceAction::Answer(3, Ok(())),
        ];
        assert_eq!(want(&mut service, Change::GoOn, 3), answers);
        assert_eq!(service.state(), ServiceState::Stopped);
    }

    #[test]
    fn a_restored_job_lands_before_it_is_served() {
        let mut service = Service::of_landing();
        for change in [Change::Open, Change::Start] {
            let refused = ServiceAction::Answer(1, Err(OrderError::NotNow(ServiceState::Parked)));
            assert_eq!(want(&mut service, change, 1), [refused]);
        }
        assert_eq!(want(&mut service, Change::Land, 2), [ServiceAction::LandRanks]);
        assert_eq!(want(&mut service, Change::Land, 3), []);
        let answers = [
            ServiceAction::TakeUpRings,
            ServiceAction::Answer(2, Ok(())),
            ServiceAction::Answer(3, Ok(())),
        ];
        assert_eq!(service.take(Input::AllLanded), answers);
        let started = want(&mut service, Change::Start, 4);
        assert_eq!(started, [ServiceAction::RestartPatience, ServiceAction::Answer(4, Ok(()))]);
        assert_eq!(service.state(), ServiceState::Closed);
    }

    #[test]
    fn who_lands_a_job_hears_of_a_rank_that_does_not() {
        let mut service = Service::of_landing();
        want(&mut service, Change::Land, 1);
        let answers =
            [ServiceAction::TakeUpRings, ServiceAction::Answer(1, Err(OrderError::Stands(7)))];
        assert_eq!(service.take(Input::OneStands(OrderError::Stands(7))), answers);
        assert_eq!(service.state(), ServiceState::Stopped);
    }

    #[test]
    fn there_and_back() {
        let mut service = Service::new();
        assert_eq!(want(&mut service, Change::Close, 1), [ServiceAction::CloseGates]);
        assert_eq!(service.take(Input::AllOut), [ServiceAction::Answer(1, Ok(()))]);
        assert_eq!(want(&mut service, Change::Stop, 2), []);
        assert_eq!(service.take(Input::AllBack), [ServiceAction::Answer(2, Ok(()))]);
        assert_eq!(service.state(), ServiceState::Stopped);
        let started = want(&mut service, Change::Start, 3);
        assert_eq!(started, [ServiceAction::RestartPatience, ServiceAction::Answer(3, Ok(()))]);
        let opened = want(&mut service, Change::Open, 4);
        assert_eq!(opened, [ServiceAction::OpenGates, ServiceAction::Answer(4, Ok(()))]);
        assert_eq!(service.state(), ServiceState::Open);
    }

    #[test]
    fn who_stops_hears_that_another_host_does_not_get_on() {
        let mut service = service(ServiceState::Closed);
        assert_eq!(want(&mut service, Change::Stop, 1), []);
        assert_eq!(want(&mut service, Change::Stop, 2), []);
        let out = || Err(OrderError::NotBack(7));
        let answers = [
            ServiceAction::RestartPatience,
            ServiceAction::Answer(1, out()),
            ServiceAction::Answer(2, out()),
        ];
        assert_eq!(service.take(Input::OneOut(7)), answers);
        assert_eq!(service.state(), ServiceState::Closed);
        want(&mut service, Change::Stop, 3);
        let answers = [
            ServiceAction::RestartPatience,
            ServiceAction::Answer(3, Err(OrderError::Restarted)),
            ServiceAction::Answer(4, Ok(())),
        ];
        assert_eq!(want(&mut service, Change::Start, 4), answers);
        assert_eq!(service.state(), ServiceState::Closed);
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

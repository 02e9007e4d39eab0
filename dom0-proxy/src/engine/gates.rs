//! The gates between the ranks of a job and each other's memory, closed and opened for all.

use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use crate::attach::Fleet;

/// The epoch in which ranks make their mappings of each other's memory.
const FIRST_EPOCH: u32 = 1;
/// How long a rank may stay in its neighbours' memory after the gates were closed. It needs
/// microseconds; but its processor may have other things to do.
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);

/// The gates could not be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// A rank does not leave its neighbours' memory. The gates are open again.
    #[error("rank {0} does not leave its neighbours' memory; is its domain paused?")]
    Inside(u32),
    /// The job is not one that runs.
    #[error("the job does not run")]
    NotRunning,
}

/// The gates of all ranks.
pub(super) struct Gates<'a> {
    fleet: &'a Fleet,
    /// The ranks whose gates were closed here. A rank that had closed its own has lost its
    /// mappings.
    closed: Vec<usize>,
}

impl<'a> Gates<'a> {
    /// Opens all gates of a job that begins.
    pub(super) fn open_first(fleet: &'a Fleet) -> Self {
        let mut gates = Self { fleet, closed: (0..fleet.ranks().len()).collect() };
        gates.open();
        gates
    }

    pub(super) fn close(&mut self) {
        let ranks = self.fleet.ranks().iter().enumerate();
        self.closed.extend(ranks.filter(|(_, it)| it.area().gate().close()).map(|(rank, _)| rank));
    }

    pub(super) fn open(&mut self) {
        let closed = self.closed.drain(..);
        closed
            .filter_map(|rank| self.fleet.ranks().get(rank))
            .for_each(|rank| rank.area().gate().open(FIRST_EPOCH));
    }
}

/// Gates that are closed behind ranks that may still be inside.
pub(super) struct Closing {
    reply: Sender<Result<(), GateError>>,
    since: Instant,
}

impl Closing {
    /// Closes the gates for whoever waits at `reply`.
    pub(super) fn begin(gates: &mut Gates<'_>, reply: Sender<Result<(), GateError>>) -> Self {
        gates.close();
        Self { reply, since: Instant::now() }
    }

    /// Looks whether all ranks are out, or have had enough time, and says so to whoever waits for
    /// it.
    pub(super) fn has_ended(&self, gates: &mut Gates<'_>) -> bool {
        let inside = gates.fleet.ranks().iter().position(|rank| !rank.area().gate().is_empty());
        let result = match inside {
            None => Ok(()),
            Some(rank) if self.since.elapsed() >= LEAVE_PATIENCE => {
                gates.open();
                Err(GateError::Inside(rank as u32))
            }
            Some(_) => return false,
        };
        // Whoever asked may be gone.
        let _ = self.reply.send(result);
        true
    }
}

//! The gates between the ranks of a job and each other's memory, closed and opened for all.

use std::time::{Duration, Instant};

use crate::attach::Fleet;

/// The epoch in which ranks make their mappings of each other's memory.
const FIRST_EPOCH: u32 = 1;
/// How long a rank may stay in its neighbours' memory after the gates were closed. It needs
/// microseconds; but its processor may have other things to do.
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);

/// The gates of all ranks.
pub(super) struct Gates<'a> {
    fleet: &'a Fleet,
    /// The ranks whose gates were closed here. A rank that had closed its own has lost its
    /// mappings.
    closed: Vec<usize>,
    /// When that was.
    closed_at: Instant,
}

/// Which ranks are still in a neighbour's memory, after the gates were closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inside {
    /// Nobody: all that was done there is to be seen.
    Nobody,
    /// Somebody, who will leave.
    Somebody,
    /// This rank, which has had enough time to leave.
    Stays(u32),
}

impl<'a> Gates<'a> {
    /// Opens all gates of a job that begins.
    pub(super) fn open_first(fleet: &'a Fleet) -> Self {
        let mut gates =
            Self { fleet, closed: (0..fleet.ranks().len()).collect(), closed_at: Instant::now() };
        gates.open();
        gates
    }

    /// Closes them. Ranks may still be inside.
    pub(super) fn close(&mut self) {
        self.closed_at = Instant::now();
        let ranks = self.fleet.ranks().iter().enumerate();
        self.closed.extend(ranks.filter(|(_, it)| it.area().gate().close()).map(|(rank, _)| rank));
    }

    /// Opens those that were closed here.
    pub(super) fn open(&mut self) {
        let closed = self.closed.drain(..);
        closed
            .filter_map(|rank| self.fleet.ranks().get(rank))
            .for_each(|rank| rank.area().gate().open(FIRST_EPOCH));
    }

    /// Looks whether all ranks are out.
    pub(super) fn inside(&self) -> Inside {
        match self.fleet.ranks().iter().position(|rank| !rank.area().gate().is_empty()) {
            None => Inside::Nobody,
            Some(rank) if self.closed_at.elapsed() >= LEAVE_PATIENCE => Inside::Stays(rank as u32),
            Some(_) => Inside::Somebody,
        }
    }
}

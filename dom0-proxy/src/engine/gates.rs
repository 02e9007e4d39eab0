//! The gates between the ranks of a job and each other's memory, closed and opened for all.

use std::time::{Duration, Instant};

use armci_nostd::shared::gate::OFFERED;

use crate::attach::Fleet;

/// How long a rank may stay in its neighbours' memory after the gates were closed. It needs
/// microseconds; but its processor may have other things to do.
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);

/// The gates of all ranks.
pub(super) struct Gates<'a> {
    fleet: &'a Fleet,
    /// The epoch of the newest opening.
    epoch: u32,
    /// When they were closed.
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
    /// Those of a job that begins: they are closed.
    pub(super) fn new(fleet: &'a Fleet) -> Self {
        Self { fleet, epoch: 0, closed_at: Instant::now() }
    }

    /// Closes them. How many ranks are still inside, each in the middle of an operation; one that
    /// has just found its gate closed may be among them.
    pub(super) fn close(&mut self) -> usize {
        self.closed_at = Instant::now();
        self.fleet.ranks().iter().for_each(|rank| rank.area().gate().close());
        self.ranks_inside().count()
    }

    /// Offers all ranks a new epoch: each opens its gate when it next wants to pass, and its
    /// mappings of the others' memory are good.
    pub(super) fn open(&mut self) {
        self.epoch = self.epoch % (OFFERED - 1) + 1;
        self.fleet.ranks().iter().for_each(|rank| rank.area().gate().offer(self.epoch));
    }

    /// Forgets how long ranks have taken to leave: they were stopped.
    pub(super) fn restart_patience(&mut self) {
        self.closed_at = Instant::now();
    }

    /// Looks whether all ranks are out.
    pub(super) fn inside(&self) -> Inside {
        match self.ranks_inside().next() {
            None => Inside::Nobody,
            Some(rank) if self.closed_at.elapsed() >= LEAVE_PATIENCE => Inside::Stays(rank),
            Some(_) => Inside::Somebody,
        }
    }

    /// Whether no rank is in a neighbour's memory now. While gates are open that is advice.
    pub(super) fn are_quiet(&self) -> bool {
        self.ranks_inside().next().is_none()
    }

    /// The ranks that are in a neighbour's memory. While gates are open that may have changed when
    /// it is known.
    fn ranks_inside(&self) -> impl Iterator<Item = u32> {
        let ranks = self.fleet.numbered();
        ranks.filter(|(_, rank)| !rank.area().gate().is_empty()).map(|(number, _)| number)
    }
}

//! Ranks told to stand still, and to go on.

use std::time::{Duration, Instant};

use super::service::OrderError;
use crate::attach::Fleet;

/// How long a rank may take to stand still. It needs microseconds; but its processor may have other
/// things to do.
const PARK_PATIENCE: Duration = Duration::from_secs(20);

/// What is known of the ranks that stand still.
pub(super) struct Parking<'a> {
    fleet: &'a Fleet,
    /// The number of the newest order to stand still.
    order: u32,
    /// When it was given.
    since: Instant,
    /// Ranks that have ended: what is left of them is their memory.
    ended: Vec<bool>,
}

impl<'a> Parking<'a> {
    /// Of ranks that all run.
    pub(super) fn new(fleet: &'a Fleet) -> Self {
        let ended = vec![false; fleet.ranks().len()];
        Self { fleet, order: 0, since: Instant::now(), ended }
    }

    /// A rank has ended.
    pub(super) fn ended(&mut self, rank: u32) {
        if let Some(ended) = self.ended.get_mut(rank as usize) {
            *ended = true;
        }
    }

    /// Has all ranks stand still.
    pub(super) fn begin(&mut self) {
        self.order = self.order.checked_add(1).unwrap_or(1);
        self.since = Instant::now();
        self.fleet.ranks().iter().for_each(|rank| rank.park(self.order));
    }

    /// Lets them go on.
    pub(super) fn end(&self) {
        self.fleet.ranks().iter().for_each(|rank| rank.park(0));
    }

    /// Whether all stand still, or which does not and why.
    pub(super) fn look(&self) -> Result<bool, OrderError> {
        let ranks = (0..).zip(self.fleet.ranks()).zip(&self.ended);
        let mut moving = ranks.filter(|(_, ended)| !**ended).map(|(rank, _)| rank);
        if let Some((rank, _)) = moving.clone().find(|(_, rank)| !rank.can_park()) {
            return Err(OrderError::CannotPark(rank));
        }
        match moving.find(|(_, rank)| !rank.is_parked(self.order)) {
            None => Ok(true),
            Some((rank, _)) if self.since.elapsed() >= PARK_PATIENCE => {
                Err(OrderError::Moves(rank))
            }
            Some(_) => Ok(false),
        }
    }
}

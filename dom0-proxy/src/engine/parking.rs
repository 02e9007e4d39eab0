//! Ranks told to stand still, to go on, and to land.

use std::time::{Duration, Instant};

use armci_nostd::wire::NO_DOMAIN;

use super::service::OrderError;
use crate::attach::{AttachedRank, Fleet, Landing};

/// How long a rank may take to stand still. It needs microseconds; but its processor may have other
/// things to do.
const PARK_PATIENCE: Duration = Duration::from_secs(20);

/// How long domains may take to become the ranks that their memory was filled with. They set up
/// what any rank does at its boot.
const LAND_PATIENCE: Duration = Duration::from_secs(60);

/// What is known of the ranks that stand still.
pub(super) struct Parking<'a> {
    fleet: &'a Fleet,
    /// The number of the newest order to stand still.
    order: u32,
    /// When it was given.
    since: Instant,
    /// By place: when each rank was first seen to stand still by that order.
    still_since: Vec<Option<Instant>>,
    /// When the ranks were told to go on after it.
    let_go: Option<Instant>,
    /// By place: ranks that have ended; what is left of them is their memory.
    ended: Vec<bool>,
    /// Whether the ranks are domains whose memory is still to be filled.
    is_to_land: bool,
}

impl<'a> Parking<'a> {
    /// Of ranks that all run; or of domains that are to land.
    pub(super) fn new(fleet: &'a Fleet, is_to_land: bool) -> Self {
        let size = fleet.ranks().len();
        Self {
            fleet,
            order: 0,
            since: Instant::now(),
            still_since: vec![None; size],
            let_go: None,
            ended: vec![false; size],
            is_to_land,
        }
    }

    /// Whether the ranks are domains whose memory is still to be filled.
    pub(super) fn is_to_land(&self) -> bool {
        self.is_to_land
    }

    /// A rank has ended.
    pub(super) fn ended(&mut self, rank: u32) {
        if let Some(place) = self.fleet.place(rank) {
            self.ended[place] = true;
        }
    }

    /// Has all ranks stand still.
    pub(super) fn begin(&mut self) {
        self.order = self.order.checked_add(1).unwrap_or(1);
        self.since = Instant::now();
        self.still_since.fill(None);
        self.let_go = None;
        self.fleet.ranks().iter().for_each(|rank| rank.park(self.order));
    }

    /// Lets them go on.
    pub(super) fn end(&mut self) {
        self.let_go = Some(Instant::now());
        self.fleet.ranks().iter().for_each(|rank| rank.park(0));
    }

    /// Fills memory of a domain that is to land, but for what lies apart.
    pub(super) fn fill(&self, rank: u32, offset: u64, bytes: &[u8]) -> Result<(), OrderError> {
        let fleet = self.fleet;
        let (window, landing) = fleet
            .window(rank)
            .zip(fleet.rank(rank).and_then(AttachedRank::landing))
            .ok_or(OrderError::NoRank(rank))?;
        match landing.fill(window, offset, bytes) {
            true => Ok(()),
            false => Err(OrderError::TooLarge(rank)),
        }
    }

    /// Has domains become the ranks that they were filled with, and go on. Those of ranks that had
    /// ended stay as they are: they are their memory.
    pub(super) fn land(&mut self) -> Result<(), OrderError> {
        for (rank, attached) in self.running() {
            attached.area().check().map_err(|why| OrderError::NoRankThere(rank, why))?;
            if attached.is_parked(0) {
                return Err(OrderError::NoRankThere(rank, "it did not stand still".into()));
            }
        }
        let domain = |rank: &AttachedRank| rank.landing().map_or(NO_DOMAIN, Landing::domain);
        let domains: Vec<u32> = self.fleet.ranks().iter().map(domain).collect();
        for (rank, attached) in self.running() {
            // In this order: it does not wait any more when it comes to itself.
            attached.order_to_park(0);
            if let (Some(landing), Some(window)) = (attached.landing(), self.fleet.window(rank)) {
                landing.go(window, &domains);
            }
            attached.ring_for_parking();
        }
        self.is_to_land = false;
        self.since = Instant::now();
        Ok(())
    }

    /// Whether all go on that have been told to, or which does not.
    pub(super) fn have_landed(&self) -> Result<bool, OrderError> {
        match self.running().find(|(_, rank)| !rank.is_parked(0)) {
            None => Ok(true),
            Some((rank, _)) if self.since.elapsed() >= LAND_PATIENCE => {
                Err(OrderError::Stands(rank))
            }
            Some(_) => Ok(false),
        }
    }

    /// Forgets how long ranks have taken to stand still or to land: they were stopped.
    pub(super) fn restart_patience(&mut self) {
        self.since = Instant::now();
    }

    /// Whether a rank has been seen to stand still by the newest order, and has not ended.
    pub(super) fn stands_still(&self, rank: u32) -> bool {
        let place = self.fleet.place(rank);
        place.is_some_and(|place| self.still_since[place].is_some() && !self.ended[place])
    }

    /// The ranks that have not ended.
    fn running(&self) -> impl Iterator<Item = (u32, &'a AttachedRank)> {
        let ranks = self.fleet.numbered().zip(&self.ended);
        ranks.filter(|(_, ended)| !**ended).map(|(rank, _)| rank)
    }

    /// Whether all stand still, or which does not and why.
    pub(super) fn look(&mut self) -> Result<bool, OrderError> {
        let now = Instant::now();
        let mut moving = None;
        let ranks = self.fleet.numbered().zip(&self.ended).zip(&mut self.still_since);
        for (((rank, attached), _), since) in ranks.filter(|((_, ended), _)| !**ended) {
            if !attached.can_park() {
                return Err(OrderError::CannotPark(rank));
            }
            if attached.is_parked(self.order) {
                since.get_or_insert(now);
            } else {
                moving.get_or_insert(rank);
            }
        }
        match moving {
            None => Ok(true),
            Some(rank) if now - self.since >= PARK_PATIENCE => Err(OrderError::Moves(rank)),
            Some(_) => Ok(false),
        }
    }

    /// For how long each rank stood still by the newest order: from when that was seen until the
    /// ranks were told to go on, or until now. None at all for a rank that had ended.
    pub(super) fn stood_still(&self) -> Vec<Duration> {
        let until = self.let_go.unwrap_or_else(Instant::now);
        let stood = |since: &Option<Instant>| since.map_or(Duration::ZERO, |since| until - since);
        self.still_since.iter().map(stood).collect()
    }
}

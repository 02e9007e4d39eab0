//! The attached ranks of a job.

use std::sync::atomic::Ordering;

use armci_nostd::serve::Window;
use armci_nostd::wire::JobState;

use super::area::SharedArea;
use super::attachment::RankAttachment;
use super::card::Card;
use super::doorbell::Doorbell;
use super::landing::Landing;
use super::memory::RankMemory;

/// All ranks of a job that run here, in order, with their windows side by side. Their *places* are
/// their indices here; their numbers are those that they have in the whole job.
pub(crate) struct Fleet {
    /// By place: the rank's number, ascending.
    numbers: Vec<u32>,
    /// By number, as far as there are ranks here: the place of the rank.
    places: Vec<Option<usize>>,
    /// They point into the memory that `ranks` keep, so they are dropped first.
    windows: Vec<Window>,
    ranks: Vec<AttachedRank>,
}

/// One rank, whose memory it keeps mapped.
pub(crate) struct AttachedRank {
    area: SharedArea,
    doorbell: Box<dyn Doorbell>,
    park_bell: Option<Box<dyn Doorbell>>,
    landing: Option<Landing>,
    card: Option<Card>,
    memory: Box<dyn RankMemory>,
}

impl Fleet {
    /// Ranks with their numbers, ascending.
    pub(crate) fn new(ranks: Vec<(u32, RankAttachment)>) -> Self {
        let numbers: Vec<u32> = ranks.iter().map(|(number, _)| *number).collect();
        let mut places = vec![None; numbers.last().map_or(0, |last| *last as usize + 1)];
        for (place, number) in numbers.iter().enumerate() {
            places[*number as usize] = Some(place);
        }
        let (windows, ranks) = ranks
            .into_iter()
            .map(|(_, attachment)| {
                let RankAttachment { window, area, doorbell, park_bell, landing, card, memory } =
                    attachment;
                (window, AttachedRank { area, doorbell, park_bell, landing, card, memory })
            })
            .unzip();
        Self { numbers, places, windows, ranks }
    }

    /// By place: the numbers of the ranks, ascending.
    pub(crate) fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// The place of the rank with this number, if it runs here.
    pub(crate) fn place(&self, number: u32) -> Option<usize> {
        self.places.get(number as usize).copied().flatten()
    }

    /// The rank with this number, if it runs here.
    pub(crate) fn rank(&self, number: u32) -> Option<&AttachedRank> {
        self.place(number).map(|place| &self.ranks[place])
    }

    /// The memory of the rank with this number, if it runs here.
    pub(crate) fn window(&self, number: u32) -> Option<&Window> {
        self.place(number).map(|place| &self.windows[place])
    }

    /// The ranks with their numbers.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u32, &AttachedRank)> {
        self.numbers.iter().copied().zip(&self.ranks)
    }

    /// Their memory.
    pub(crate) fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The ranks.
    pub(crate) fn ranks(&self) -> &[AttachedRank] {
        &self.ranks
    }
}

impl AttachedRank {
    /// Its rings and words.
    pub(crate) fn area(&self) -> &SharedArea {
        &self.area
    }

    /// What other ranks are told of it, if it is a process.
    pub(super) fn card(&self) -> Option<&Card> {
        self.card.as_ref()
    }

    /// Where it waits to become a rank that was saved, if it was made for that.
    pub(crate) fn landing(&self) -> Option<&Landing> {
        self.landing.as_ref()
    }

    /// What keeps its memory mapped.
    pub(crate) fn memory(&self) -> &dyn RankMemory {
        &*self.memory
    }

    /// What wakes it.
    pub(crate) fn doorbell(&self) -> &dyn Doorbell {
        &*self.doorbell
    }

    /// Tells it which host it is on, before it gets to know other ranks.
    pub(crate) fn tell_host(&self, host: u32) {
        self.area.set_host(host);
    }

    /// Rings its doorbell if it sleeps.
    pub(crate) fn wake(&self) {
        if self.area.rank_asleep().take() {
            self.doorbell.ring();
        }
    }

    /// Tells it how its job is.
    pub(crate) fn tell(&self, state: JobState) {
        self.area.set_state(state);
        self.doorbell.ring();
    }

    /// Whether it can be told to stand still.
    pub(crate) fn can_park(&self) -> bool {
        self.park_bell.is_some()
    }

    /// Has it stand still, whatever it is doing, as order number `order`, which is not 0; or with 0
    /// go on.
    pub(crate) fn park(&self, order: u32) {
        self.order_to_park(order);
        self.ring_for_parking();
    }

    /// Writes that order, and does not tell it.
    pub(crate) fn order_to_park(&self, order: u32) {
        self.area.park().store(order, Ordering::Release);
    }

    /// Tells it to look for orders.
    pub(crate) fn ring_for_parking(&self) {
        if let Some(bell) = &self.park_bell {
            bell.ring();
        }
    }

    /// Whether it says that it stands still by this order.
    pub(crate) fn is_parked(&self, order: u32) -> bool {
        self.area.parked().load(Ordering::Acquire) == order
    }
}

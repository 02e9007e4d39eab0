//! The attached ranks of a job.

use armci_nostd::serve::Window;
use armci_nostd::wire::JobState;

use super::area::SharedArea;
use super::attachment::RankAttachment;
use super::card::Card;
use super::doorbell::Doorbell;
use super::memory::RankMemory;

/// All ranks of a job, in order, with their windows side by side.
pub(crate) struct Fleet {
    /// They point into the memory that `ranks` keep, so they are dropped first.
    windows: Vec<Window>,
    ranks: Vec<AttachedRank>,
}

/// One rank, whose memory it keeps mapped.
pub(crate) struct AttachedRank {
    area: SharedArea,
    doorbell: Box<dyn Doorbell>,
    card: Option<Card>,
    memory: Box<dyn RankMemory>,
}

impl Fleet {
    /// All ranks of a job.
    pub(crate) fn new(ranks: Vec<RankAttachment>) -> Self {
        let (windows, ranks) = ranks
            .into_iter()
            .map(|RankAttachment { window, area, doorbell, card, memory }| {
                (window, AttachedRank { area, doorbell, card, memory })
            })
            .unzip();
        Self { windows, ranks }
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

    /// What keeps its memory mapped.
    pub(crate) fn memory(&self) -> &dyn RankMemory {
        &*self.memory
    }

    /// What wakes it.
    pub(crate) fn doorbell(&self) -> &dyn Doorbell {
        &*self.doorbell
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
}

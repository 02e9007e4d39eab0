//! A rank that has attached and is not served yet.

use std::fmt;

use armci_nostd::serve::Window;

use super::area::SharedArea;
use super::bad_attach::BadAttach;
use super::card::Card;
use super::doorbell::Doorbell;
use super::landing::Landing;
use super::memory::RankMemory;

/// One attached rank.
pub struct RankAttachment {
    /// Its memory.
    pub(super) window: Window,
    /// Its runtime area, which lies in the window.
    pub(super) area: SharedArea,
    /// Wakes it.
    pub(super) doorbell: Box<dyn Doorbell>,
    /// Interrupts it to have it stand still or go on, if it is a domain.
    pub(super) park_bell: Option<Box<dyn Doorbell>>,
    /// Where it waits to become a rank that was saved, if it does.
    pub(super) landing: Option<Landing>,
    /// What other ranks are told of it, if it is a process.
    pub(super) card: Option<Card>,
    /// What `window` and `area` point into; dropped after them.
    pub(super) memory: Box<dyn RankMemory>,
}

impl fmt::Debug for RankAttachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RankAttachment").field("window", &self.window).finish_non_exhaustive()
    }
}

impl RankAttachment {
    /// Puts the parts together, after a look at the runtime area's magic and version.
    ///
    /// # Safety
    /// `window` must point into `memory`, which must stay mapped until that is dropped.
    pub(super) unsafe fn new(
        window: Window,
        doorbell: Box<dyn Doorbell>,
        card: Option<Card>,
        memory: Box<dyn RankMemory>,
    ) -> Result<Self, BadAttach> {
        // SAFETY: as the caller promises.
        let attachment = unsafe { Self::unchecked(window, doorbell, card, memory) };
        attachment.area.check().map_err(BadAttach::Rank)?;
        Ok(attachment)
    }

    /// A domain that waits at `landing` to become a rank. What its runtime area is like is to be
    /// seen when it has been filled.
    ///
    /// # Safety
    /// As for [`new`](Self::new).
    pub(super) unsafe fn of_landing(
        window: Window,
        doorbell: Box<dyn Doorbell>,
        landing: Landing,
        memory: Box<dyn RankMemory>,
    ) -> Self {
        // SAFETY: as the caller promises.
        let attachment = unsafe { Self::unchecked(window, doorbell, None, memory) };
        Self { landing: Some(landing), ..attachment }
    }

    /// Puts the parts together.
    ///
    /// # Safety
    /// As for [`new`](Self::new).
    unsafe fn unchecked(
        window: Window,
        doorbell: Box<dyn Doorbell>,
        card: Option<Card>,
        memory: Box<dyn RankMemory>,
    ) -> Self {
        // SAFETY: the window has checked that the whole area lies in it, on a page boundary; it
        // stays mapped by the caller, and `memory` goes wherever the area goes.
        let area = unsafe { SharedArea::new(window.area()) };
        Self { window, area, doorbell, park_bell: None, landing: None, card, memory }
    }

    /// The same rank, which can be told to stand still.
    pub(super) fn that_parks_by(self, bell: Box<dyn Doorbell>) -> Self {
        Self { park_bell: Some(bell), ..self }
    }
}

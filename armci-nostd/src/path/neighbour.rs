//! A rank on the same host, and where its memory is mapped here.

use core::cell::Cell;
use core::ops::Range;
use core::ptr::NonNull;
use std::prelude::v1::*;

use crate::shared::gate::CLOSED;
use crate::wire::area::Mailbox;

/// A rank that can be reached directly, which may be this rank itself; or one that may be some day,
/// or never.
///
/// What is mapped by tokens may be taken away; the tokens are kept for the next time.
#[derive(Debug)]
pub(crate) struct Neighbour {
    /// Where its mailbox is mapped. While it is not, the rank is reached by the proxy.
    mailbox: Option<NonNull<Mailbox>>,
    /// In the order of their addresses at that rank.
    pieces: Vec<MappedPiece>,
    /// The piece that was used last, where the next use probably is.
    last: Cell<usize>,
    /// What can be mapped when it is first used.
    offers: Vec<Offer>,
}

/// What a rank shares, mapped here or not.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    /// Its addresses at that rank.
    pub there: Range<u64>,
    /// By which it can be mapped.
    pub token: u64,
    /// The epoch in which that was tried last.
    tried_in: u32,
}

/// A piece of a rank's memory that is mapped here.
#[derive(Clone, Debug)]
struct MappedPiece {
    /// Its addresses at that rank.
    there: Range<u64>,
    /// Where its first byte is here.
    here: NonNull<u8>,
}

impl Neighbour {
    /// A rank that only the proxy reaches.
    pub fn stranger() -> Self {
        Self { mailbox: None, pieces: Vec::new(), last: Cell::new(0), offers: Vec::new() }
    }

    /// A rank whose mailbox is mapped here.
    pub fn in_view(mailbox: NonNull<Mailbox>) -> Self {
        Self { mailbox: Some(mailbox), ..Self::stranger() }
    }

    /// Where its mailbox is mapped.
    #[inline]
    pub fn mailbox(&self) -> Option<NonNull<Mailbox>> {
        self.mailbox
    }

    /// Its mailbox has been mapped at `here`.
    pub fn add_mailbox(&mut self, here: NonNull<Mailbox>) {
        self.mailbox = Some(here);
    }

    /// All that was mapped has been taken away.
    pub fn forget_mappings(&mut self) {
        self.mailbox = None;
        self.pieces.clear();
        self.offers.iter_mut().for_each(|offer| offer.tried_in = CLOSED);
    }

    /// The rank's addresses `there` are mapped at `here`.
    pub fn add(&mut self, there: Range<u64>, here: NonNull<u8>) {
        if !there.is_empty() {
            let at = self.pieces.partition_point(|piece| piece.there.start < there.start);
            self.pieces.insert(at, MappedPiece { there, here });
        }
    }

    /// The rank shares its addresses `there` by `token`.
    pub fn offer(&mut self, there: Range<u64>, token: u64) {
        self.offers.push(Offer { there, token, tried_in: CLOSED });
    }

    /// The offer that has this address, if there is one that is not mapped. What could not be
    /// mapped is not tried again in the same epoch.
    pub fn accept(&mut self, address: u64, epoch: u32) -> Option<Offer> {
        let offer = self.offers.iter_mut().find(|offer| offer.there.contains(&address))?;
        let is_mapped = self.pieces.iter().any(|piece| piece.there.start == offer.there.start);
        if is_mapped || offer.tried_in == epoch {
            return None;
        }
        offer.tried_in = epoch;
        Some(offer.clone())
    }

    /// Forgets what starts at `start`. Says where it was mapped and how many bytes of it, if it
    /// was.
    pub fn remove(&mut self, start: u64) -> Option<(NonNull<u8>, u64)> {
        self.offers.retain(|offer| offer.there.start != start);
        let at = self.pieces.iter().position(|piece| piece.there.start == start)?;
        let MappedPiece { there, here } = self.pieces.remove(at);
        Some((here, there.end - there.start))
    }

    /// Where `len` bytes at `address` are mapped here, if they are in one piece.
    #[inline]
    pub fn find(&self, address: u64, len: usize) -> Option<NonNull<u8>> {
        let inside = |piece: &MappedPiece| {
            let offset = address.wrapping_sub(piece.there.start);
            let room = piece.there.end - piece.there.start;
            // SAFETY: within the piece, which is mapped whole.
            (offset <= room && len as u64 <= room - offset)
                .then(|| unsafe { piece.here.add(offset as usize) })
        };
        if let Some(found) = self.pieces.get(self.last.get()).and_then(inside) {
            return Some(found);
        }
        let at = self.pieces.partition_point(|piece| piece.there.start <= address);
        let at = at.checked_sub(1)?;
        let found = inside(&self.pieces[at])?;
        self.last.set(at);
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_mapped_in_one_piece() {
        let mut memory = [0u8; 64];
        let base = NonNull::new(memory.as_mut_ptr()).unwrap();
        let mut neighbour = Neighbour::in_view(NonNull::dangling());
        // SAFETY: in bounds.
        let at = |offset| unsafe { base.add(offset) };
        neighbour.add(200..216, at(16));
        neighbour.add(100..116, at(0));
        neighbour.add(50..50, at(9));
        neighbour.add(u64::MAX - 4..u64::MAX, at(40));
        for _ in 0..2 {
            assert_eq!(neighbour.find(100, 16), Some(at(0)));
            assert_eq!(neighbour.find(204, 12), Some(at(20)));
            assert_eq!(neighbour.find(216, 0), Some(at(32)));
            assert_eq!(neighbour.find(204, 13), None);
            assert_eq!(neighbour.find(99, 1), None);
            assert_eq!(neighbour.find(116, 1), None);
            assert_eq!(neighbour.find(0, 1), None);
            assert_eq!(neighbour.find(u64::MAX - 2, 2), Some(at(42)));
            assert_eq!(neighbour.find(u64::MAX - 2, usize::MAX), None);
        }
        assert_eq!(neighbour.remove(200), Some((at(16), 16)));
        assert_eq!(neighbour.find(204, 12), None);
        assert_eq!(neighbour.remove(200), None);
        assert_eq!(neighbour.find(101, 2), Some(at(1)));
    }

    #[test]
    fn what_is_taken_away_can_be_mapped_again() {
        let here = NonNull::<u8>::dangling();
        let mut neighbour = Neighbour::stranger();
        assert_eq!(neighbour.mailbox(), None);
        neighbour.offer(4096..8192, 9);
        assert!(neighbour.accept(8192, 1).is_none());
        let offer = neighbour.accept(5000, 1).unwrap();
        assert_eq!((offer.there.clone(), offer.token), (4096..8192, 9));
        assert!(neighbour.accept(5000, 1).is_none(), "it could not be mapped in this epoch");
        assert!(neighbour.accept(5000, 2).is_some(), "it may be in the next");
        neighbour.add_mailbox(here.cast());
        neighbour.add(offer.there, here);
        assert!(neighbour.accept(5000, 3).is_none(), "it is mapped");
        assert_eq!(neighbour.mailbox(), Some(here.cast()));

        neighbour.forget_mappings();
        assert_eq!((neighbour.mailbox(), neighbour.find(5000, 1)), (None, None));
        assert!(neighbour.accept(5000, 3).is_some());
        assert!(neighbour.remove(4096).is_none(), "not mapped");
        assert!(neighbour.accept(5000, 4).is_none(), "not shared any more");
    }
}

//! A rank on the same host, and where its memory is mapped here.

use core::cell::Cell;
use core::ops::Range;
use core::ptr::NonNull;
use std::prelude::v1::*;

use crate::wire::area::Mailbox;

/// A rank that can be reached directly, which may be this rank itself.
#[derive(Debug)]
pub(crate) struct Neighbour {
    mailbox: NonNull<Mailbox>,
    /// In the order of their addresses at that rank.
    pieces: Vec<MappedPiece>,
    /// The piece that was used last, where the next use probably is.
    last: Cell<usize>,
    /// What can be mapped when it is first used.
    offers: Vec<Offer>,
}

/// What a rank shares and is not mapped here yet.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    /// Its addresses at that rank.
    pub there: Range<u64>,
    /// By which it can be mapped.
    pub token: u64,
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
    /// A rank whose mailbox is mapped here, and stays so as [`Platform`](crate::Platform) says.
    pub fn new(mailbox: NonNull<Mailbox>) -> Self {
        Self { mailbox, pieces: Vec::new(), last: Cell::new(0), offers: Vec::new() }
    }

    /// Where its mailbox is mapped.
    #[inline]
    pub fn mailbox(&self) -> NonNull<Mailbox> {
        self.mailbox
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
        self.offers.push(Offer { there, token });
    }

    /// Takes the offer that has this address, if there is one.
    pub fn accept(&mut self, address: u64) -> Option<Offer> {
        let at = self.offers.iter().position(|offer| offer.there.contains(&address))?;
        Some(self.offers.swap_remove(at))
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
        let mut neighbour = Neighbour::new(NonNull::dangling());
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
}

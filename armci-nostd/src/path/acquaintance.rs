//! What a rank knows of the others.

use core::ops::Range;
use std::prelude::v1::*;

use crate::path::neighbour::Neighbour;

/// What a rank knows of all ranks, itself included: one value, which the ranks make together and
/// which is replaced whole when one of them has moved.
#[derive(Debug)]
pub(crate) struct Acquaintance {
    /// The [generation](crate::Platform::generation) of what is mapped here: in another one it is
    /// not there any more.
    pub generation: u64,
    /// By rank, this one included: where its memory is mapped here.
    pub neighbours: Vec<Neighbour>,
    /// By rank: by which its mailbox can be mapped, where it is not from the start. All of such a
    /// rank that is mapped can be taken away.
    pub tokens: Vec<Option<u64>>,
    /// By rank: the addresses that others may touch, as that rank says.
    pub public: Vec<Range<u64>>,
    /// By rank: its host, numbered by the first rank on it.
    pub hosts: Vec<u32>,
}

impl Acquaintance {
    /// That of a rank that has met nobody: everything goes through the proxy.
    pub fn none() -> Self {
        Self {
            generation: 0,
            neighbours: Vec::new(),
            tokens: Vec::new(),
            public: Vec::new(),
            hosts: Vec::new(),
        }
    }

    /// The ranks that share what they have by tokens, with the mailbox's.
    pub fn sharers(&mut self) -> impl Iterator<Item = (usize, &mut Neighbour, u64)> {
        let neighbours = self.neighbours.iter_mut().enumerate().zip(&self.tokens);
        neighbours.filter_map(|((rank, neighbour), token)| Some((rank, neighbour, (*token)?)))
    }

    /// A rank that can be reached directly.
    #[inline]
    pub fn neighbour(&self, rank: u32) -> Option<&Neighbour> {
        self.neighbours.get(rank as usize).filter(|neighbour| neighbour.mailbox().is_some())
    }

    /// A rank, reached or not, to change what is known of its memory.
    pub fn neighbour_mut(&mut self, rank: u32) -> Option<&mut Neighbour> {
        self.neighbours.get_mut(rank as usize)
    }
}

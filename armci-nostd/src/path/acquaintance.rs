//! What a rank knows of the others.

use core::ops::Range;
use std::prelude::v1::*;

use crate::path::neighbour::Neighbour;
use crate::shared::gate::CLOSED;

/// What a rank knows of all ranks, itself included: one value, which the ranks make together and
/// which is replaced whole when one of them has moved.
#[derive(Debug)]
pub(crate) struct Acquaintance {
    /// The epoch in which the neighbours were mapped: their memory may be touched in no other.
    pub epoch: u32,
    /// By rank: those whose memory can be reached directly, this one included.
    pub neighbours: Vec<Option<Neighbour>>,
    /// By rank: the addresses that others may touch, as that rank says.
    pub public: Vec<Range<u64>>,
    /// By rank: its host, numbered by the first rank on it.
    pub hosts: Vec<u32>,
}

impl Acquaintance {
    /// That of a rank that has met nobody: everything goes through the proxy.
    pub fn none() -> Self {
        Self { epoch: CLOSED, neighbours: Vec::new(), public: Vec::new(), hosts: Vec::new() }
    }

    /// A rank that can be reached directly.
    #[inline]
    pub fn neighbour(&self, rank: u32) -> Option<&Neighbour> {
        self.neighbours.get(rank as usize)?.as_ref()
    }

    /// The same, to change what is known of its memory.
    pub fn neighbour_mut(&mut self, rank: u32) -> Option<&mut Neighbour> {
        self.neighbours.get_mut(rank as usize)?.as_mut()
    }
}

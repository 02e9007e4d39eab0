//! Memory that the members of a group have allocated together, as bytes.

use core::alloc::Layout;
use core::ptr::NonNull;
use std::prelude::v1::*;

use crate::team::group::Group;

/// A collective allocation of bytes: `ARMCI_Malloc`'s. Each member of a group holds a part.
///
/// Dropping it leaves the memory allocated, since other ranks may still use it: see
/// [`Armci::free_bytes`](crate::Armci::free_bytes).
#[derive(Debug)]
pub struct Segment {
    /// This rank's part. Dangling if it has no bytes.
    pub(crate) local: NonNull<u8>,
    pub(crate) layout: Layout,
    /// What neighbours need to map this part, where sharing is piece by piece.
    pub(crate) token: Option<u64>,
    /// By member.
    pub(crate) parts: Vec<SegmentPart>,
}

/// One member's part of a [`Segment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPart {
    /// The rank.
    pub rank: u32,
    /// Address in that rank's space. Zero if there are no bytes.
    pub address: u64,
    /// Bytes.
    pub len: u64,
}

impl Segment {
    /// The parts, in the order of the group's members.
    pub fn parts(&self) -> &[SegmentPart] {
        &self.parts
    }

    /// This rank's own part. Dangling if it has no bytes.
    pub fn local(&self) -> NonNull<u8> {
        self.local
    }

    /// The address of this rank's own part, by which C knows it. Zero if it has no bytes.
    pub fn own_address(&self, group: &Group) -> u64 {
        self.parts[group.rank()].address
    }
}

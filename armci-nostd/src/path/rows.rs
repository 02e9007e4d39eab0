//! What a rank asks for: an operation, row by row, at places of another rank.

use crate::wire::request::AccKind;

/// What is done with each [`Row`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Copy from the local to the remote place.
    Put,
    /// Copy from the remote to the local place.
    Get,
    /// `remote += scale * local`, element by element, atomically for each element.
    Accumulate {
        /// The elements' type.
        kind: AccKind,
        /// The scale: the bytes of one element.
        scale: [u64; 2],
    },
}

/// Consecutive bytes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// This rank's memory. It is only written by a get.
    pub local: *mut u8,
    /// Address at the target, in its own space.
    pub remote: u64,
    /// Bytes.
    pub len: usize,
}

/// What of a target's memory a remote place is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetSpace {
    /// In what ranks allocate for each other; the place is an address of that rank.
    Public,
    /// In the mailbox; the place is an offset.
    Mailbox,
}

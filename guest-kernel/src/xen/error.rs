//! What can go wrong with what faces Xen.

use xen_hypercall::grant_table_op::InUse;

use crate::logic::abilities::Unfit;
use crate::logic::xenstore_wire::StoreError;

/// Why a part could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PartError {
    /// Xen refused something.
    #[error("{0}: {1}")]
    Xen(&'static str, xen_hypercall::Error),
    /// What is there cannot be used.
    #[error("{0}")]
    Unusable(&'static str),
    #[error(transparent)]
    Processor(#[from] Unfit),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Grants(#[from] GrantError),
}

/// Why memory could not be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The grant table would become too large.
    #[error(
        "granting {pages} pages takes {needed} grant frames, and this domain may have {max} \
         (max_grant_frames in xl.cfg)"
    )]
    TooManyFrames {
        /// Pages that were to be granted.
        pages: u32,
        /// Frames that the table would have.
        needed: u32,
        /// Frames that it may have.
        max: u32,
    },
    /// Xen does not let it grow.
    #[error("cannot grow the grant table: {0}")]
    Xen(#[from] xen_hypercall::Error),
    /// There are no addresses or page tables for it, or no such entry.
    #[error("a grant frame cannot be mapped")]
    NotMapped,
    /// Version 1 of the grant table cannot name the page.
    #[error("memory beyond 16 TiB cannot be granted")]
    TooHigh,
    /// The other domain has a page mapped, so it can still change it.
    #[error("{0}")]
    InUse(#[from] InUse),
    /// There are no references left for so much.
    #[error("no {0} grant references in a row are free")]
    NoReferences(u64),
    /// There is no memory to remember it.
    #[error("not enough memory")]
    NoMemory,
    /// Only whole pages that ranks may reach can be shared.
    #[error("{len} bytes at {address:#x} are not whole pages of the heap or the runtime area")]
    NotShareable {
        /// Where.
        address: u64,
        /// How much.
        len: usize,
    },
    /// Nothing is shared under this token, or other memory than this.
    #[error("no such memory is shared")]
    NotShared,
    /// The job has no other rank.
    #[error("there is nobody to share memory with")]
    NoNeighbours,
    /// Memory is shared by ranks of a job that are attached, and this is none.
    #[error("not attached to a job")]
    NotAttached,
}

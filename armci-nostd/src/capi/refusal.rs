//! Why a call is refused, and the number for it that C gets.

use core::ffi::c_int;
use std::prelude::v1::*;

use crate::error::{Error, Fault};

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("a null pointer for memory of this rank")]
    Local,
    #[error("a null pointer, or memory that no rank has allocated")]
    Remote,
    #[error("a remote address that is not a multiple of {0}")]
    Misaligned(usize),
    #[error("a negative length, or one that is no whole number of elements")]
    Length,
    #[error("a shape with too many levels, or without its counts or strides")]
    Shape,
    #[error("no rank {0}")]
    Rank(c_int),
    #[error("no such group")]
    Group,
    #[error("no such communicator")]
    Communicator,
    #[error("a communicator that has not all ranks, in their order; ARMCI has them all")]
    SomeRanks,
    #[error("no such request")]
    Request,
    #[error("no such operation or type")]
    Operation,
    #[error("no such mutexes, or there are some already")]
    Mutexes,
    #[error("it was called before ARMCI_Init or after ARMCI_Finalize")]
    NotInitialised,
    #[error("{0}")]
    Armci(#[from] Error),
}

impl Refusal {
    /// The header's number for it.
    pub(super) fn number(self) -> c_int {
        match self {
            Self::Local => -1,
            Self::Remote | Self::Misaligned(_) => -2,
            Self::Length => -3,
            Self::Shape => -4,
            Self::Rank(_)
            | Self::Group
            | Self::Communicator
            | Self::SomeRanks
            | Self::Request
            | Self::Operation
            | Self::Mutexes => -5,
            Self::NotInitialised => -8,
            Self::Armci(error) => match error {
                Error::OutOfBounds { .. }
                | Error::Refused(Fault::Range { .. } | Fault::Misaligned { .. }) => -2,
                Error::Shape(_) => -4,
                Error::NoRank { .. } | Error::Group(_) | Error::Mutex { .. } => -5,
                Error::OutOfMemory { .. } => -7,
                _ => -6,
            },
        }
    }

    /// Whether there is no job any more in which anything could go on. The user has been told why.
    pub(super) fn ends_the_job(self) -> bool {
        matches!(self, Self::Armci(Error::JobFailed | Error::ProxyGone(_)))
    }
}

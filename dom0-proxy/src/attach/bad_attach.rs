//! Why a rank is not attached.

use std::fmt;

/// Why a rank could not be attached: one line, without the rank.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAttach {
    /// The rank broke the protocol.
    #[error("{0}")]
    Rank(String),
    /// The host could not do its part.
    #[error("{0}")]
    Host(String),
}

impl BadAttach {
    /// It is the rank's fault.
    pub fn rank(why: impl fmt::Display) -> Self {
        Self::Rank(why.to_string())
    }

    /// It is the host's.
    pub fn host(why: impl fmt::Display) -> Self {
        Self::Host(why.to_string())
    }
}

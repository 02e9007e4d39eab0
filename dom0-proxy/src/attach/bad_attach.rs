//! Why a rank is not attached.

use std::fmt;

/// Why a rank could not be attached: one line, without the rank.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadAttach(String);

impl BadAttach {
    pub(super) fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

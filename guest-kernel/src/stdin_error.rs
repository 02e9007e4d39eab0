//! Why standard input cannot be read.

use alloc::string::String;
use core::fmt::Display;

/// Standard input cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("standard input cannot be read: {0}")]
pub struct StdinError(String);

impl StdinError {
    pub(crate) fn new(cause: impl Display) -> Self {
        Self(alloc::format!("{cause}"))
    }
}

//! Why a process could not become a rank.

use std::io;
use std::prelude::v1::*;

use crate::error::Error;
use crate::hosted::frame::FrameError;
use crate::wire::attach::MessageError;

/// Why a process could not become a rank.
#[derive(Debug, thiserror::Error)]
pub enum HostedError {
    /// The environment that `pgas run` sets is not complete.
    #[error("${0} is missing or not understood: start ranks with `pgas run --hosted`")]
    Environment(&'static str),
    /// A call to the system failed.
    #[error("cannot {what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// The proxy did not want this rank.
    #[error("the proxy refused this rank: {0}")]
    Refused(String),
    /// What the proxy said was not understood.
    #[error("attaching to the proxy: {0}")]
    Message(#[from] MessageError),
    /// The job failed before it started.
    #[error(transparent)]
    Armci(#[from] Error),
}

impl From<FrameError> for HostedError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::NotArrived(error) | FrameError::Torn(error) => {
                Self::System { what: "hear from the proxy", error }
            }
            FrameError::TooManyDescriptors => Self::Message(MessageError::Malformed),
            FrameError::Message(error) => Self::Message(error),
        }
    }
}

/// Names what was tried in an error of the system.
pub(super) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> HostedError {
    move |error| HostedError::System { what, error: error.into() }
}

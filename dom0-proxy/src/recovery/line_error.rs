//! Why there is no line.

use super::protocol::Cause;
use crate::engine::OrderError;

/// Why there is no line, or none that ends. In words for the user, without the job's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The engine could not do it. The job goes on.
    #[error("{0}")]
    Engine(#[from] OrderError),
    /// The image could not be written. The job goes on.
    #[error("{0}")]
    Image(String),
    /// The host has no memory for copies of the ranks'. The job goes on.
    #[error(
        "the ranks' memory is copied first, which takes {needed} MiB, and domain 0 has \
         {available} MiB: give it more memory, or save when other jobs have ended"
    )]
    NoMemory {
        /// MiB that are needed.
        needed: u64,
        /// MiB that there are.
        available: u64,
    },
    /// It was given up. The job goes on.
    #[error("the line was given up: {0:?}")]
    GivenUp(Cause),
    /// Another line is under way.
    #[error("another line is under way: try again")]
    Busy,
    /// The job is kept at a line.
    #[error("it is held: release it first")]
    Held,
    /// There is nothing to be released.
    #[error("it is not held")]
    NotHeld,
    /// The job is lost.
    #[error("the job is lost")]
    JobLost,
}

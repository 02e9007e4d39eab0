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
    /// The host has no memory for the copy of even one rank. The job goes on.
    #[error(
        "the memory of a rank is copied first, which takes {needed} MiB, and domain 0 has \
         {available} MiB: give it more memory, or save when other jobs have ended"
    )]
    NoMemory {
        /// MiB that are needed.
        needed: u64,
        /// MiB that there are.
        available: u64,
    },
    /// It was given up. The job goes on.
    #[error("the line was given up: {0}")]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_line_that_was_given_up_is_words() {
        use Cause::{
            Cancelled, HostLost, NotCommitted, NotCopied, NotQuiet, NotWritten, TimeLimit,
        };
        let causes = [NotQuiet(3), NotCopied(3), NotWritten(3), HostLost(3)];
        for cause in causes.into_iter().chain([NotCommitted, TimeLimit, Cancelled]) {
            let said = LineError::GivenUp(cause).to_string();
            assert!(said.starts_with("the line was given up: "), "{said}");
            let name = format!("{cause:?}");
            let name = name.split('(').next().unwrap();
            assert!(!said.contains(name), "{said}");
            assert_eq!(said.contains("host 3"), causes.contains(&cause), "{said}");
        }
    }
}

//! Recovery lines: a job is stopped between two operations, copied, and let go on.

mod lines;
pub mod protocol;

pub use lines::{LineError, Lines};

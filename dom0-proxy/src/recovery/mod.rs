//! Recovery lines: a job is stopped between two operations, copied, and let go on.

pub mod protocol;

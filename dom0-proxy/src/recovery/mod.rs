//! Recovery lines: a job is stopped between two operations, copied, and let go on.

mod free_memory;
mod lines;
pub mod protocol;

pub use free_memory::free_pages;
pub use lines::{LineError, Lines};

//! Recovery lines: a job is stopped between two operations, copied, and let go on.

mod available_memory;
mod host;
mod line_error;
mod lines;
pub mod protocol;
mod room;
mod saving;
#[cfg(test)]
mod tests;

pub use available_memory::available_memory;
pub use host::RankCopy;
pub use line_error::LineError;
pub use lines::Lines;
pub use saving::{ImageWriter, LineFigures};

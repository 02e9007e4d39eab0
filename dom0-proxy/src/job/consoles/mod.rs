//! What the ranks of a job write: read, kept in the logs, passed on to the client.
//!
//! One thread a job. Nothing is thrown away while the client lives. A client that takes its time
//! makes the ranks wait: pipes of processes are not read meanwhile; consoles of domains always are,
//! since xenconsoled drops what it cannot get rid of, so the kernel of a domain of which much waits
//! here is asked to wait.
//!
//! ```text
//! handle      what the supervisor holds: orders to the thread
//! reader      the thread
//! source      one thing that is read, and how much of it is still to come
//! log         a rank's log file, which does not grow forever
//! written     how far a rank's output has come, for images
//! last_words  what a guest's kernel may have written about its end
//! ```

mod handle;
mod last_words;
mod log;
mod reader;
mod source;
#[cfg(test)]
mod tests;
mod written;

pub use handle::{AtLine, Consoles};
pub use reader::ConsoleReport;

//! What the ranks of a job write: read, split into lines, kept in the logs, shown to the client.
//!
//! One thread a job. It is the only one that writes lines to the client, so a client that does not
//! read stops the consoles (and through them the ranks that write), but not the job's supervisor.
//!
//! ```text
//! handle       what the supervisor holds: orders to the thread
//! reader       the thread
//! log          a rank's log file, which does not grow forever
//! lines        bytes to lines
//! kernel_line  which lines are the guest kernel's, and what they say
//! ```

mod handle;
mod kernel_line;
mod lines;
mod log;
mod reader;

pub use handle::Consoles;

//! Ranks as Linux processes.
//!
//! ```text
//! start        the processes of a job: started, watched, ended
//! become_rank  what the daemon's program does when it is started as a rank
//! input        the user's standard input, where every rank gets a copy
//! sweep        ends whatever a job has started, also of a daemon that has died
//! ```

mod become_rank;
mod input;
mod start;
mod sweep;

pub use become_rank::{RANK_ARGUMENT, become_rank, identity};
pub use start::Processes;
pub use sweep::sweep;

//! Ranks as Linux processes.
//!
//! ```text
//! start        the processes of a job: started, watched, ended
//! become_rank  what the daemon's program does when it is started as a rank
//! memory       a process of the daemon's program that pays for the job's memory
//! input        the user's standard input, where every rank gets a copy
//! control_group  finds and ends whatever a job has started, where there are control groups
//! orphans      the same where there are none
//! sweep        ends whatever carries a job's name, also of a daemon that has died
//! ```

mod become_rank;
mod control_group;
mod input;
mod memory;
mod orphans;
mod start;
mod sweep;

pub use become_rank::{RANK_ARGUMENT, become_rank, identity};
pub use memory::{MEMORY_ARGUMENT, become_memory};
pub use orphans::{Family, adopt_orphans};
pub use start::Processes;
pub use sweep::end_left_behind;

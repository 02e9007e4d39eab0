//! A job's life: its ranks are started, served, watched, and ended.
//!
//! ```text
//! supervisor thread --- takes events, decides (`verdict`), cleans up
//!   |-- console thread    reads what ranks write, keeps logs, passes it on to pgas
//!   |-- engine thread     serves the rings
//!   |-- dialling threads  connect with other hosts, if the job is over several
//!   `-- ranks             `processes`: a waiter each; `domains`: creators and a watcher
//! ```
//!
//! Whatever happens, the end is the same: engine stopped and memory unmapped, the domains' consoles
//! read, ranks ended, all output taken by the client, the job's record removed, the client told.

mod client;
mod clock;
mod consoles;
mod dialling;
pub mod domains;
pub mod event;
mod handle;
mod keeper;
mod links;
mod moment;
mod open_files;
mod part;
pub mod processes;
mod ranks;
mod restoring;
mod saved;
mod saving;
mod summary;
mod supervisor;
mod verdict;

pub use client::JobClient;
pub use handle::Job;
pub use open_files::{OpenFiles, most_waiting};
pub use part::check_part;
pub use saved::SavedJob;
pub use supervisor::supervise;

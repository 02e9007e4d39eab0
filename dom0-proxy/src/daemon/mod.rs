//! The daemon: listens, starts jobs, and leaves nothing behind, neither of its own nor of an
//! earlier daemon.
//!
//! ```text
//! run        the main thread: listens, and ends when told to or idle
//! clients    a thread for each pgas
//! members    a thread for each client and each proxy that comes over the network
//! ranks      a thread for each hosted rank that attaches, as long as that takes
//! sockets    who may connect
//! waiting    who has connected and said nothing yet
//! kept_files files that clients on other hosts have sent, for their jobs
//! registry   the jobs that run
//! leftovers  what daemons that died have left behind
//! shared     what all these threads share
//! ```

mod clients;
mod kept_files;
mod leftovers;
mod members;
mod ranks;
mod registry;
mod run;
mod shared;
mod sockets;
mod waiting;

pub use leftovers::clean_up_after_daemon;
pub use members::ListenOptions;
pub use run::{DaemonOptions, run};

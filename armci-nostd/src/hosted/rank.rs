//! Which rank a process is to be.

use std::path::PathBuf;
use std::prelude::v1::*;

/// Which rank of which job to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedRank {
    /// The proxy's socket for ranks.
    pub socket: PathBuf,
    /// The job.
    pub job: String,
    /// The rank, below `size`.
    pub rank: usize,
    /// What the proxy knows that rank by.
    pub token: String,
    /// Ranks of the job.
    pub size: usize,
    /// Bytes of the rank's window.
    pub window: usize,
}

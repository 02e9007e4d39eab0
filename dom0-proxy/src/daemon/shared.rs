//! What all threads of the daemon share.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::leftovers::HostDomains;
use super::registry::Registry;
use super::waiting::Waiting;
use crate::job::{OpenFiles, most_waiting};
use crate::run_dir::RunDir;

/// The daemon.
#[derive(Debug)]
pub struct Daemon {
    /// Its directories, which it has locked.
    pub run_dir: RunDir,
    /// The jobs that run.
    pub registry: Registry,
    /// The right to this host's domains.
    pub host_domains: HostDomains,
    /// The files that jobs may open.
    pub open_files: OpenFiles,
    /// Connections that are served.
    pub connections: AtomicUsize,
    /// Clients whose first words have not come.
    pub waiting_clients: Arc<Waiting>,
    /// Hosted ranks, or whoever wants to be one, whose first words have not come.
    pub waiting_ranks: Arc<Waiting>,
}

impl Daemon {
    /// A daemon without jobs.
    pub fn new(run_dir: RunDir, host_domains: HostDomains) -> Self {
        Self {
            run_dir,
            registry: Registry::default(),
            host_domains,
            open_files: OpenFiles::new(),
            connections: AtomicUsize::new(0),
            waiting_clients: Waiting::new(most_waiting()),
            waiting_ranks: Waiting::new(most_waiting()),
        }
    }
}

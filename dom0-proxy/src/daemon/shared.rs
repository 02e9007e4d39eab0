//! What all threads of the daemon share.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::kept_files::KeptFiles;
use super::leftovers::HostDomains;
use super::registry::Registry;
use super::waiting::Waiting;
use crate::job::{OpenFiles, most_waiting};
use crate::membership::Secret;
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
    /// By what clients on other hosts are known, if it listens for any.
    pub secret: Option<Secret>,
    /// What clients have sent for their jobs.
    pub kept_files: Arc<KeptFiles>,
    /// Connections that are served.
    pub connections: AtomicUsize,
    /// Clients whose first words have not come.
    pub waiting_clients: Arc<Waiting>,
    /// Hosted ranks, or whoever wants to be one, whose first words have not come.
    pub waiting_ranks: Arc<Waiting>,
    /// Whoever has connected over the network and has not said yet what for.
    pub waiting_members: Arc<Waiting>,
}

impl Daemon {
    /// A daemon without jobs. With a secret it listens for members.
    pub fn new(run_dir: RunDir, host_domains: HostDomains, secret: Option<Secret>) -> Self {
        // A stranger from the network takes two files. Those are of what clients may have.
        let (clients, members) = match &secret {
            Some(_) => (most_waiting() / 2, most_waiting() / 4),
            None => (most_waiting(), 0),
        };
        Self {
            kept_files: KeptFiles::new(run_dir.kept()),
            run_dir,
            registry: Registry::default(),
            host_domains,
            open_files: OpenFiles::new(),
            secret,
            connections: AtomicUsize::new(0),
            waiting_clients: Waiting::new(clients),
            waiting_ranks: Waiting::new(most_waiting()),
            waiting_members: Waiting::new(members),
        }
    }
}

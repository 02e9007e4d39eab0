//! What all threads of the daemon share.

use std::sync::atomic::AtomicUsize;

use super::leftovers::HostDomains;
use super::registry::Registry;
use crate::job::OpenFiles;
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
        }
    }
}

//! The hosts of a job over several, and which of its ranks run where. Plain values: no I/O.

mod list;
mod placement;
mod slurm;

use anyhow::ensure;

pub use list::{of_argument, of_file};
pub use placement::{Placed, PlacementOrder, place};
pub use slurm::of_allocation;

/// The most hosts that are taken from any list.
const MOST_HOSTS: usize = 4096;

/// A host on which ranks may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A name that DNS knows, or an IP address without brackets.
    pub name: String,
    /// Where its proxy listens.
    pub port: u16,
    /// How many ranks it gets in proportion to the others; at least 1.
    pub share: u32,
}

impl Host {
    /// Where its proxy listens, as `HOST:PORT`.
    pub fn address(&self) -> String {
        let Self { name, port, .. } = self;
        if name.contains(':') { format!("[{name}]:{port}") } else { format!("{name}:{port}") }
    }
}

/// Hosts in the order in which they were named, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostList {
    /// The hosts.
    hosts: Vec<Host>,
    /// Whether no host takes more ranks than its share.
    is_limited: bool,
}

impl HostList {
    /// Adds a host. One that is there already has a larger share then.
    fn add(&mut self, host: Host) -> anyhow::Result<()> {
        let is_same = |known: &Host| known.name == host.name && known.port == host.port;
        if let Some(known) = self.hosts.iter().position(is_same) {
            let share = &mut self.hosts[known].share;
            *share = share.saturating_add(host.share);
            return Ok(());
        }
        ensure!(
            self.hosts.len() < MOST_HOSTS,
            "{}: that is more than {MOST_HOSTS} hosts",
            host.name
        );
        self.hosts.push(host);
        Ok(())
    }
}

//! Which ranks of a job run where.

/// Which ranks of a job run on which of its hosts. Hosts have numbers, from 0 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// This host.
    pub host: u32,
    /// By rank: its host.
    pub of: Vec<u32>,
}

impl Placement {
    /// That of a job whose ranks all run here.
    pub fn here(size: u32) -> Self {
        Self { host: 0, of: vec![0; size as usize] }
    }

    /// The number of ranks, on all hosts.
    pub(super) fn size(&self) -> usize {
        self.of.len()
    }

    /// Where a rank runs, if that is another host.
    pub(super) fn elsewhere(&self, rank: u32) -> Option<u32> {
        self.of.get(rank as usize).copied().filter(|host| *host != self.host)
    }

    /// The ranks that run on a host, ascending.
    pub(super) fn ranks_on(&self, host: u32) -> impl Iterator<Item = u32> {
        (0..).zip(&self.of).filter(move |(_, on)| **on == host).map(|(rank, _)| rank)
    }

    /// The other hosts that have ranks, ascending.
    pub(super) fn others(&self) -> Vec<u32> {
        let mut others: Vec<u32> =
            self.of.iter().copied().filter(|host| *host != self.host).collect();
        others.sort_unstable();
        others.dedup();
        others
    }
}

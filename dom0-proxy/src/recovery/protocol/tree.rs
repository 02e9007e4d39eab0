//! Who gives orders to whom.

use std::ops::Range;

use super::message::HostId;

/// The hosts of a job as a complete tree: host 0 is the root, and each host but the last has
/// `fanout` children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tree {
    hosts: HostId,
    fanout: HostId,
}

impl Tree {
    /// Children of a host where nothing else is asked for: wide enough that 4,096 hosts are four
    /// levels deep, and narrow enough that a host's own messages cost less than a level does.
    pub const FANOUT: HostId = 8;

    /// A tree of this many hosts, at least one, with up to `fanout` children for each.
    pub fn new(hosts: HostId, fanout: HostId) -> Self {
        Self { hosts: hosts.max(1), fanout: fanout.max(1) }
    }

    /// How many hosts there are.
    pub fn hosts(&self) -> HostId {
        self.hosts
    }

    /// Who gives orders to `host`; nobody to the root.
    pub fn parent(&self, host: HostId) -> Option<HostId> {
        Some(host.checked_sub(1)? / self.fanout)
    }

    /// To whom `host` gives orders.
    pub fn children(&self, host: HostId) -> Range<HostId> {
        let first = host.saturating_mul(self.fanout).saturating_add(1).min(self.hosts);
        first..first.saturating_add(self.fanout).min(self.hosts)
    }

    /// Steps from the root to the host that is farthest from it.
    pub fn depth(&self) -> u32 {
        let mut host = self.hosts - 1;
        let mut steps = 0;
        while let Some(parent) = self.parent(host) {
            host = parent;
            steps += 1;
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_and_children_agree() {
        for (hosts, fanout) in [(1, 8), (2, 1), (3, 1), (3, 2), (10, 8), (73, 8), (4096, 8)] {
            let tree = Tree::new(hosts, fanout);
            let mut seen = vec![false; hosts as usize];
            seen[0] = true;
            for host in 0..hosts {
                for child in tree.children(host) {
                    assert_eq!(tree.parent(child), Some(host));
                    assert!(!std::mem::replace(&mut seen[child as usize], true));
                }
            }
            assert!(seen.into_iter().all(|seen| seen), "{hosts} hosts, fan-out {fanout}");
        }
    }

    #[test]
    fn depth_is_a_logarithm() {
        let depth = |hosts| Tree::new(hosts, Tree::FANOUT).depth();
        assert_eq!([1, 2, 9, 10, 73, 74, 4096].map(depth), [0, 1, 1, 2, 2, 3, 4]);
        assert_eq!(Tree::new(u32::MAX, 1).children(u32::MAX - 1), u32::MAX..u32::MAX);
    }
}

//! Which rank runs on which host.

use anyhow::ensure;
use clap::ValueEnum;

use super::{Host, HostList};

/// In which order hosts get ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlacementOrder {
    /// Each host has ranks that follow each other
    Block,
    /// One rank after the other goes to the next host
    Cyclic,
}

/// The hosts of a job, and where its ranks run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The hosts that have ranks.
    pub hosts: Vec<Host>,
    /// By rank: the host, as an index.
    pub ranks: Vec<u32>,
}

impl Placed {
    /// What the user is told of each host: its name, with the port where several have that name.
    pub fn names(&self) -> Vec<String> {
        let is_alone =
            |host: &Host| self.hosts.iter().filter(|other| other.name == host.name).count() == 1;
        let name = |host: &Host| if is_alone(host) { host.name.clone() } else { host.address() };
        self.hosts.iter().map(name).collect()
    }
}

/// Places `size` ranks. Each host gets as many as its share of all shares says, the first ones one
/// more where that leaves some over; hosts that get none take no part.
pub fn place(list: &HostList, size: u32, placement: PlacementOrder) -> anyhow::Result<Placed> {
    let slots: u64 = list.hosts.iter().map(|host| u64::from(host.share)).sum();
    ensure!(
        !list.is_limited || u64::from(size) <= slots,
        "-n {size}: the hosts have {slots} slots in all: name more hosts, or more slots"
    );
    ensure!(slots > 0, "-n {size}: there is no host");
    let counts = counts(&list.hosts, u64::from(size), slots);
    let (hosts, counts): (Vec<_>, Vec<_>) =
        list.hosts.iter().cloned().zip(counts).filter(|(_, count)| *count > 0).unzip();
    let numbered = || (0_u32..).zip(&counts);
    let ranks = match placement {
        PlacementOrder::Block => numbered()
            .flat_map(|(host, count)| std::iter::repeat_n(host, *count as usize))
            .collect(),
        PlacementOrder::Cyclic => (0..counts.iter().copied().max().unwrap_or(0))
            .flat_map(|round| numbered().filter(move |(_, count)| round < **count))
            .map(|(host, _)| host)
            .collect(),
    };
    Ok(Placed { hosts, ranks })
}

/// How many ranks each host gets: what is left over goes to those with the largest fractions, so a
/// host with room for its share never gets more.
fn counts(hosts: &[Host], size: u64, slots: u64) -> Vec<u64> {
    let exact = |host: &Host| size * u64::from(host.share);
    let mut counts: Vec<u64> = hosts.iter().map(|host| exact(host) / slots).collect();
    let left = size.saturating_sub(counts.iter().sum());
    let mut order: Vec<usize> = (0..hosts.len()).collect();
    // The sort is stable: of equal ones the first comes first.
    order.sort_by_key(|host| std::cmp::Reverse(exact(&hosts[*host]) % slots));
    order.into_iter().take(left as usize).for_each(|host| counts[host] += 1);
    counts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(shares: &[u32], is_limited: bool) -> HostList {
        let host = |(number, share): (usize, &u32)| Host {
            name: format!("h{number}"),
            port: 1,
            share: *share,
        };
        HostList { hosts: shares.iter().enumerate().map(host).collect(), is_limited }
    }

    fn ranks(shares: &[u32], size: u32, placement: PlacementOrder) -> Vec<u32> {
        place(&list(shares, false), size, placement).unwrap().ranks
    }

    #[test]
    fn ranks_are_spread_evenly_and_the_first_hosts_have_more() {
        assert_eq!(ranks(&[1, 1, 1], 8, PlacementOrder::Block), [0, 0, 0, 1, 1, 1, 2, 2]);
        assert_eq!(ranks(&[1, 1, 1], 8, PlacementOrder::Cyclic), [0, 1, 2, 0, 1, 2, 0, 1]);
    }

    #[test]
    fn shares_are_kept() {
        assert_eq!(ranks(&[4, 2], 3, PlacementOrder::Block), [0, 0, 1]);
        assert_eq!(ranks(&[1, 3], 4, PlacementOrder::Cyclic), [0, 1, 1, 1]);
    }

    #[test]
    fn hosts_without_ranks_take_no_part() {
        let placed = place(&list(&[1, 1, 1], false), 2, PlacementOrder::Block).unwrap();
        let names: Vec<_> = placed.hosts.iter().map(|host| host.name.as_str()).collect();
        assert_eq!((names, placed.ranks), (vec!["h0", "h1"], vec![0, 1]));
        // They are not always the last ones.
        let placed = place(&list(&[1, 9, 9], false), 2, PlacementOrder::Block).unwrap();
        let names: Vec<_> = placed.hosts.iter().map(|host| host.name.as_str()).collect();
        assert_eq!((names, placed.ranks), (vec!["h1", "h2"], vec![0, 1]));
    }

    #[test]
    fn hosts_are_told_apart() {
        let host = |name: &str, port| Host { name: name.into(), port, share: 1 };
        let hosts = vec![host("a", 1), host("b", 1), host("b", 2)];
        assert_eq!(Placed { hosts, ranks: Vec::new() }.names(), ["a", "b:1", "b:2"]);
    }

    #[test]
    fn too_few_slots_are_one_line() {
        let error = place(&list(&[2, 1], true), 4, PlacementOrder::Block).unwrap_err().to_string();
        assert!(error.starts_with("-n 4: the hosts have 3 slots"), "{error}");
        assert!(place(&list(&[2, 1], true), 3, PlacementOrder::Block).is_ok());
        assert!(place(&HostList::default(), 1, PlacementOrder::Block).is_err());
    }

    proptest! {
        #[test]
        fn every_rank_has_its_place(
            shares in proptest::collection::vec(1_u32..20, 1..12),
            size in 1_u32..200,
            is_limited: bool,
        ) {
            let list = list(&shares, is_limited);
            let placements = [PlacementOrder::Block, PlacementOrder::Cyclic];
            let placed = placements.map(|placement| place(&list, size, placement));
            let [Ok(block), Ok(cyclic)] = placed else {
                prop_assert!(is_limited && shares.iter().sum::<u32>() < size);
                return Ok(());
            };
            prop_assert_eq!(&block.hosts, &cyclic.hosts);
            prop_assert!(block.ranks.is_sorted(), "block is contiguous");
            let mut sorted = cyclic.ranks.clone();
            sorted.sort_unstable();
            prop_assert_eq!(&block.ranks, &sorted);
            prop_assert_eq!(block.ranks.len(), size as usize);
            let count = |host: usize| sorted.iter().filter(|rank| **rank as usize == host).count();
            let counts: Vec<usize> = (0..block.hosts.len()).map(count).collect();
            prop_assert_eq!(counts.iter().sum::<usize>(), size as usize);
            prop_assert!(counts.iter().all(|count| *count > 0));
            for (host, count) in block.hosts.iter().zip(&counts) {
                prop_assert!(!is_limited || *count <= host.share as usize);
                for (other, others) in block.hosts.iter().zip(&counts) {
                    prop_assert!(host.share != other.share || count.abs_diff(*others) <= 1);
                }
            }
        }
    }
}

//! Memory shared piece by piece, where ranks cannot reach each other's whole windows: it is offered
//! to the neighbours, who map it when they first use it, and again when it has been taken away from
//! them.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use crate::path::link::ProxyLink;
use crate::path::neighbour::Offer;
use crate::path::paths::Paths;
use crate::path::platform::Platform;
use crate::shared::gate::CLOSED;
use crate::wire::area::Mailbox;

impl Paths {
    /// Bytes of a page, where memory is shared piece by piece.
    pub(crate) fn shared_page(&self) -> Option<usize> {
        self.platform()?.page()
    }

    /// Lets the neighbours map whole pages of this rank. They need the token to do so.
    pub(crate) fn share(&self, memory: NonNull<u8>, len: usize) -> Option<u64> {
        self.shared_page()?;
        self.platform()?.share(memory, len)
    }

    /// Takes back what [`share`](Self::share) gave. False if a neighbour still has it mapped.
    pub(crate) fn unshare(&self, memory: NonNull<u8>, len: usize, token: u64) -> bool {
        self.platform().is_none_or(|platform| platform.unshare(memory, len, token))
    }

    /// Notes what a rank of this host shares, as it says itself, to be mapped when it is first
    /// used.
    pub(crate) fn note_offer(&self, rank: u32, address: u64, len: u64, token: u64) {
        if let Some(end) = address.checked_add(len)
            && self.host_of(rank as usize) == self.host_of(self.rank())
            && let Some(neighbour) = self.acquaintance.borrow_mut().neighbour_mut(rank)
        {
            neighbour.offer(address..end, token);
        }
    }

    /// Opens the gate if the proxy offers that, now that what is known of the neighbours is good
    /// again. In the rank's main flow, when it has not been let in.
    #[cold]
    pub(crate) fn open_gate(&self, link: &ProxyLink) {
        self.epoch.set(CLOSED);
        if !self.wants_directly() || link.gate().epoch.load(Ordering::Relaxed) == CLOSED {
            return;
        }
        let platform = link.platform();
        let generation = platform.generation();
        if !self.renew_mappings(platform, generation) {
            return;
        }
        let Some(epoch) = link.gate().take() else { return };
        // Whoever has taken the mappings away since, before the gate was open, has left it alone.
        match platform.generation() == generation {
            true => self.epoch.set(epoch),
            false => link.gate().give_back(),
        }
    }

    /// Forgets mappings of an earlier generation, and maps the mailboxes that are missing in this
    /// one. False if it is over before all is done. What cannot be mapped is tried again in the
    /// next epoch.
    fn renew_mappings(&self, platform: &dyn Platform, generation: u64) -> bool {
        let Ok(mut acquaintance) = self.acquaintance.try_borrow_mut() else { return false };
        if acquaintance.generation != generation {
            acquaintance.generation = generation;
            acquaintance.sharers().for_each(|(_, neighbour, _)| neighbour.forget_mappings());
        }
        for (rank, neighbour, token) in acquaintance.sharers() {
            if neighbour.mailbox().is_none()
                && let Some(here) = map_in(platform, generation, rank, size_of::<Mailbox>(), token)
            {
                neighbour.add_mailbox(here.cast());
            }
        }
        platform.generation() == generation
    }

    /// Maps what `rank` shares at `address` and nobody has used from here yet. False if there is no
    /// such thing.
    #[cold]
    pub(crate) fn map_on_demand(&self, rank: u32, address: u64) -> bool {
        let Some(platform) = self.platform() else { return false };
        let accept = || {
            let epoch = self.epoch.get();
            let mut acquaintance = self.acquaintance.borrow_mut();
            // If it is over, the gate is closed until all has been renewed.
            if epoch == CLOSED || acquaintance.generation != platform.generation() {
                return None;
            }
            let offer = acquaintance.neighbour_mut(rank)?.accept(address, epoch)?;
            Some((offer, acquaintance.generation))
        };
        let Some((Offer { there, token, .. }, generation)) = accept() else { return false };
        // The length is another rank's word, so it may be any.
        let Some(len) = self.whole_pages(there.end - there.start) else { return false };
        // What cannot be mapped is reached by the proxy.
        let Some(here) = map_in(platform, generation, rank as usize, len, token) else {
            return false;
        };
        let mut acquaintance = self.acquaintance.borrow_mut();
        let neighbour = acquaintance.neighbour_mut(rank);
        neighbour.map(|neighbour| neighbour.add(there, here)).is_some()
    }

    /// Gives up what `rank` shares at `address`, which it is about to free.
    pub(crate) fn unmap(&self, rank: u32, address: u64) {
        let forget = || self.acquaintance.borrow_mut().neighbour_mut(rank)?.remove(address);
        if let (Some(platform), Some((here, len))) = (self.platform(), forget())
            && let Some(len) = self.whole_pages(len)
        {
            // SAFETY: mapped on demand with this rank and length; nothing leads there any more.
            unsafe { platform.unmap(rank as usize, here, len) };
        }
    }

    fn whole_pages(&self, len: u64) -> Option<usize> {
        usize::try_from(len).ok()?.checked_next_multiple_of(self.shared_page().unwrap_or(1))
    }
}

/// Maps what a rank shares, in this generation: what comes to be in the next is given up at once,
/// and what was taken away before it could be noted is not noted.
fn map_in(
    platform: &dyn Platform,
    generation: u64,
    rank: usize,
    len: usize,
    token: u64,
) -> Option<NonNull<u8>> {
    let here = platform.map(rank, len, token)?;
    if platform.generation() == generation {
        return Some(here);
    }
    // SAFETY: just mapped with these, and nobody knows of it. Nothing else has been mapped since,
    // so if it is gone there is nothing else in its place.
    unsafe { platform.unmap(rank, here, len) };
    None
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::Ordering;
    use std::prelude::v1::*;

    use real_std::sync::Barrier;
    use real_std::thread;

    use crate::double::{PlainJob, PlainRank};

    const WORDS: usize = 1024;

    /// Two ranks that see nothing of each other but what they share; rank 0 adds numbers to the
    /// words of rank 1, by puts, gets and accumulates, after each step of `between`. All of it must
    /// be done once. How many operations were done directly after each step.
    fn adds(steps: usize, between: impl Fn(usize, &PlainRank) + Sync) -> Vec<u64> {
        let job = PlainJob::by_pieces(2);
        let ended = Barrier::new(2);
        let other = || {
            let armci = job.attach(1);
            let words = armci.malloc::<i64>(WORDS).unwrap();
            ended.wait();
            let mut got = vec![0; WORDS];
            words.read(0, &mut got).unwrap();
            got
        };
        job.served(|| {
            thread::scope(|scope| {
                let other = scope.spawn(other);
                let (armci, rank) = (job.attach(0), job.rank(0));
                let words = armci.malloc::<i64>(WORDS).unwrap();
                let mut direct = Vec::new();
                for step in 0..steps {
                    between(step, rank);
                    let tally = &rank.area().header.tally;
                    let done = || {
                        [&tally.put, &tally.get, &tally.accumulate, &tally.rmw]
                            .map(|kind| kind[0].load(Ordering::Relaxed))
                            .iter()
                            .sum::<u64>()
                    };
                    let before = done();
                    for _ in 0..4 {
                        let mut numbers = vec![0; WORDS];
                        armci.get(&mut numbers, words.at(1, 0)).unwrap();
                        numbers.iter_mut().for_each(|number| *number += 1);
                        armci.put(&numbers, words.at(1, 0)).unwrap();
                        armci.accumulate(1, &numbers, words.at(1, 0)).unwrap();
                        armci.fetch_add(words.at(1, 0), 0).unwrap();
                    }
                    direct.push(done() - before);
                }
                armci.all_fence().unwrap();
                ended.wait();
                let expected = (0..4 * steps).fold(0i64, |n, _| n.wrapping_add(1).wrapping_mul(2));
                assert_eq!(other.join().unwrap(), vec![expected; WORDS]);
                direct
            })
        })
    }

    #[test]
    fn what_was_taken_away_is_mapped_again_when_it_is_used() {
        let direct = adds(4, |step, rank| {
            let mapped = || rank.mapped.lock().unwrap().len();
            assert_eq!(mapped(), if step == 0 { 1 } else { 2 }, "the mailbox, and what is used");
            if step > 0 {
                rank.rob();
                assert_eq!(mapped(), 0);
            }
        });
        assert_eq!(direct, [16; 4], "everything is done directly again");
    }

    /// A suspension between a mapping and the moment at which it is noted, of each mapping.
    #[test]
    fn what_is_taken_away_before_it_is_noted_is_not_used() {
        for moment in 1..=4 {
            let direct = adds(3, |step, rank| {
                if step == 1 {
                    rank.rob();
                    rank.robbed_after.store(moment, Ordering::SeqCst);
                } else if step == 2 {
                    let mut mapped = rank.mapped.lock().unwrap().clone();
                    mapped.sort_unstable();
                    mapped.dedup();
                    assert_eq!(mapped.len(), 2, "one mapping is left behind, or made twice");
                    assert_eq!(rank.mapped.lock().unwrap().len(), 2);
                }
            });
            // The one that finds nothing goes to the proxy, and those behind it until it is done.
            assert!(direct[1] >= 8, "{direct:?} at moment {moment}");
            assert_eq!(direct[2], 16);
        }
    }

    #[test]
    fn what_cannot_be_mapped_is_tried_again_in_the_next_epoch() {
        let direct = adds(4, |step, rank| {
            if step == 1 {
                rank.refuses.store(true, Ordering::SeqCst);
                rank.rob();
            } else if step == 2 {
                rank.refuses.store(false, Ordering::SeqCst);
            } else if step == 3 {
                rank.gate().close();
                rank.gate().offer(2);
            }
        });
        assert_eq!(direct, [16, 0, 0, 16]);
    }

    /// What a rank of another host shares means somebody else's memory here, or nobody's.
    #[test]
    fn of_ranks_on_other_hosts_nothing_is_mapped() {
        let job = PlainJob::by_pieces(3);
        for (rank, host) in [(0, 7), (1, 8), (2, 7)] {
            job.rank(rank).area().header.host.store(host, Ordering::Relaxed);
        }
        let work = |rank: usize| {
            let armci = job.attach(rank);
            let words = armci.malloc::<u64>(WORDS).unwrap();
            for target in 0..3 {
                armci.put(&[10 + rank as u64; 3], words.at(target, 3 * rank)).unwrap();
                armci.set_flag(words.at(target, 20 + rank), 1).unwrap();
            }
            armci.barrier().unwrap();
            let mut got = vec![0; 9];
            words.read(0, &mut got).unwrap();
            assert_eq!(got, [10, 10, 10, 11, 11, 11, 12, 12, 12]);
            let hosts: Vec<_> = (0..3).map(|other| armci.host_of(other).unwrap()).collect();
            assert_eq!(hosts, [0, 1, 0]);
            let mut mapped = job.rank(rank).mapped.lock().unwrap().clone();
            mapped.dedup();
            // Of its neighbour the mailbox and what is used; of the others nothing.
            assert_eq!(mapped.len(), [2, 0, 2][rank], "rank {rank}");
            armci.barrier().unwrap();
            armci.free(words).unwrap();
        };
        job.served(|| {
            thread::scope(|scope| {
                let ranks = [0, 1, 2].map(|rank| scope.spawn(move || work(rank)));
                ranks.into_iter().for_each(|rank| rank.join().unwrap());
            })
        });
    }

    /// Ranks that get acquainted while the gate is closed are not shut out for good.
    #[test]
    fn a_gate_that_is_closed_from_the_start_is_opened_later() {
        let job = PlainJob::by_pieces(2);
        (0..2).for_each(|rank| job.rank(rank).gate().close());
        let work = |rank: usize| {
            let armci = job.attach(rank);
            let words = armci.malloc::<u64>(1).unwrap();
            let directly = || job.rank(rank).area().header.tally.rmw[0].load(Ordering::Relaxed);
            armci.fetch_add(words.at(1 - rank, 0), 1).unwrap();
            assert_eq!(directly(), 0);
            job.rank(rank).gate().offer(2);
            for _ in 0..3 {
                armci.fetch_add(words.at(1 - rank, 0), 1).unwrap();
            }
            assert!(directly() >= 1);
            armci.barrier().unwrap();
            armci.free(words).unwrap();
        };
        job.served(|| {
            thread::scope(|scope| {
                let ranks = [0, 1].map(|rank| scope.spawn(move || work(rank)));
                ranks.into_iter().for_each(|rank| rank.join().unwrap());
            })
        });
    }
}

//! How ranks get acquainted: each tells all others what they must know of it.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use std::prelude::v1::*;

use zerocopy::IntoBytes;

use crate::error::Error;
use crate::path::acquaintance::Acquaintance;
use crate::path::neighbour::Neighbour;
use crate::path::platform::{PublicView, View};
use crate::team::world::World;
use crate::wire::area::Mailbox;

/// What a rank tells: start and end of its public range, its host, its
/// [identity](crate::Platform::identity), and how many [processors](crate::Platform::processors) it
/// shares.
type ToldOfRank = [u64; 5];

impl World {
    /// Collective: exchanges with all ranks what each must know of the others, and replaces what
    /// this one knew. From the first call on what was known before is not used, so everything goes
    /// through the proxy until it returns.
    ///
    /// Ranks call this when they attach, and again when any of them has moved. Of the memory that
    /// neighbours had mapped piece by piece nothing may be mapped any more then.
    pub(crate) fn get_acquainted(&self) -> Result<(), Error> {
        let (rank, size) = (self.rank(), self.size());
        self.become_acquainted(Acquaintance::none());
        let (link, platform) = (self.link()?, self.link()?.platform());
        let header = &link.area().header;
        let generation = platform.generation();

        let public = platform.public();
        let own: ToldOfRank = [
            public.start,
            public.end,
            header.host.load(Ordering::Relaxed).into(),
            platform.identity(),
            platform.processors() as u64,
        ];
        let mut told: Vec<ToldOfRank> = vec![Default::default(); size];
        told[rank] = own;
        self.world().gather(self, told.as_mut_bytes())?;
        // Others may say of themselves what they like, but not of this rank.
        told[rank] = own;
        let same_host = |other: usize| told[other][2] == own[2];
        let identity = |other: usize| same_host(other).then_some(told[other][3]);
        platform.meet(&(0..size).map(identity).collect::<Vec<_>>());

        // Where no view comes of itself the mailboxes are shared piece by piece.
        let mut tokens = vec![0u64; size];
        if platform.page().is_some() {
            tokens[rank] = self
                .share(self.own_mailbox().cast(), size_of::<Mailbox>())
                .map_or(0, |token| token + 1);
            self.world().gather(self, tokens.as_mut_bytes())?;
        }

        let view = |other: usize| {
            if other != rank {
                return platform.view(other);
            }
            let here = NonNull::new(public.start as *mut u8);
            let public = here.map(|here| PublicView { there: public.clone(), here });
            Some(View { mailbox: self.own_mailbox(), public })
        };
        let neighbour = |other: usize| {
            let Some(view) = view(other).filter(|_| same_host(other)) else {
                return Neighbour::stranger();
            };
            let mut neighbour = Neighbour::in_view(view.mailbox);
            if let Some(PublicView { there, here }) = view.public {
                neighbour.add(there, here);
            }
            neighbour
        };
        let neighbours: Vec<Neighbour> = (0..size).map(neighbour).collect();
        // What is not in view is mapped when the gate is opened: all have granted theirs by now.
        let token = |(other, neighbour): (usize, &Neighbour)| {
            let shares = same_host(other) && neighbour.mailbox().is_none();
            tokens[other].checked_sub(1).filter(|_| shares)
        };
        let tokens = neighbours.iter().enumerate().map(token).collect();
        let host = |host: u64| told.iter().position(|other| other[2] == host).unwrap_or_default();
        self.become_acquainted(Acquaintance {
            generation,
            neighbours,
            tokens,
            public: told.iter().map(|told| told[0]..told[1]).collect(),
            hosts: told.iter().map(|told| host(told[2]) as u32).collect(),
        });
        let processors = told.iter().map(|told| told[4]).min().unwrap_or_default();
        self.open_gate(link);
        self.settle_crowded((0..size).all(same_host) && (size as u64) > processors);
        // Nobody goes on before everybody can be reached by everybody.
        self.barrier()
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicBool, Ordering};
    use std::prelude::v1::*;

    use real_std::thread;

    use crate::double::PlainJob;
    use crate::error::Error;
    use crate::path::rows::{Operation, Row};

    /// A rank that claims more public memory than it has cannot make another one write outside of
    /// what is mapped there.
    #[test]
    fn a_claim_does_not_widen_what_is_mapped() {
        let job = PlainJob::new(2);
        let everything = 4096..u64::MAX;
        let mut word = 7u64;
        let put = |remote: u64| {
            let row = Row { local: (&raw const word).cast_mut().cast(), remote, len: 8 };
            let armci = job.attach(0);
            // SAFETY: the word is valid; what is at `remote` must be found out.
            let result = unsafe { armci.move_row(Operation::Put, 1, row) };
            // A put that travels in its request is complete before the proxy has refused it.
            result.and_then(|()| armci.fence(1))
        };
        let outcome = job.served(|| {
            thread::scope(|scope| {
                scope.spawn(|| drop(job.attach_claiming(1, everything)));
                put(job.rank(1).private().addr() as u64)
            })
        });
        assert_eq!(outcome, Err(Error::JobFailed), "the proxy was asked, and has refused");
        // SAFETY: in the rank's memory, which nobody uses any more.
        word = unsafe { job.rank(1).private().cast::<u64>().read() };
        assert_eq!(word, 0, "what is behind the public memory was written");
    }

    /// As after a restart: the old epoch is over, and ranks exchange again what they know.
    #[test]
    fn ranks_get_acquainted_again_in_the_middle_of_their_work() {
        const RANKS: usize = 3;
        let job = PlainJob::new(RANKS);
        let moved = AtomicBool::new(false);
        let work = |rank: usize| {
            let armci = job.attach(rank);
            let table = armci.malloc::<u64>(RANKS).unwrap();
            let next = (rank + 1) % RANKS;
            let count = |times: u64| {
                for _ in 0..times {
                    armci.fetch_add(table.at(next, rank), 1).unwrap();
                }
            };
            let directly = || job.rank(rank).area().header.tally.rmw[0].load(Ordering::Relaxed);
            count(10);
            assert_eq!(directly(), 10);
            armci.barrier().unwrap();
            if rank == 0 {
                (0..RANKS).for_each(|rank| job.rank(rank).gate().close());
                moved.store(true, Ordering::SeqCst);
            }
            while !moved.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            count(10);
            assert_eq!(directly(), 10, "the gate is closed");
            armci.barrier().unwrap();
            job.rank(rank).gate().offer(2);
            armci.get_acquainted().unwrap();
            count(10);
            assert_eq!(directly(), 20);
            armci.barrier().unwrap();
            assert_eq!(table.load((rank + RANKS - 1) % RANKS), Ok(30));
            armci.free(table).unwrap();
        };
        job.served(|| {
            thread::scope(|scope| {
                let ranks: Vec<_> =
                    (0..RANKS).map(|rank| scope.spawn(move || work(rank))).collect();
                ranks.into_iter().for_each(|rank| rank.join().unwrap());
            })
        });
    }
}

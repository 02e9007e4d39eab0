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
/// [identity](crate::Platform::identity), and how many [processors](crate::Platform::processors) it shares.
type Told = [u64; 5];

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
        let epoch = header.gate.0.load(Ordering::Acquire);

        let public = platform.public();
        let own: Told = [
            public.start,
            public.end,
            header.host.load(Ordering::Relaxed).into(),
            platform.identity(),
            platform.processors() as u64,
        ];
        let mut told: Vec<Told> = vec![Default::default(); size];
        told[rank] = own;
        self.world().gather(self, told.as_mut_bytes())?;
        // Others may say of themselves what they like, but not of this rank.
        told[rank] = own;
        platform.meet(&told.iter().map(|told| told[3]).collect::<Vec<_>>());

        // Where no view comes of itself the mailboxes are shared piece by piece.
        let mut tokens = vec![0u64; size];
        if platform.page().is_some() {
            tokens[rank] = self
                .share(self.own_mailbox().cast(), size_of::<Mailbox>())
                .map_or(0, |token| token + 1);
            self.world().gather(self, tokens.as_mut_bytes())?;
        }

        let same_host = |other: usize| told[other][2] == own[2];
        let view = |other: usize| {
            if other == rank {
                let here = NonNull::new(public.start as *mut u8);
                let public = here.map(|here| PublicView { there: public.clone(), here });
                return Some(View { mailbox: self.own_mailbox(), public });
            }
            if !same_host(other) {
                return None;
            }
            platform.view(other).or_else(|| {
                let token = tokens[other].checked_sub(1)?;
                let mailbox = platform.map(other, size_of::<Mailbox>(), token)?.cast();
                Some(View { mailbox, public: None })
            })
        };
        let neighbour = |other: usize| {
            let view = view(other)?;
            let mut neighbour = Neighbour::new(view.mailbox);
            if let Some(PublicView { there, here }) = view.public {
                neighbour.add(there, here);
            }
            Some(neighbour)
        };
        let host = |host: u64| told.iter().position(|other| other[2] == host).unwrap_or_default();
        self.become_acquainted(Acquaintance {
            epoch,
            neighbours: (0..size).map(neighbour).collect(),
            public: told.iter().map(|told| told[0]..told[1]).collect(),
            hosts: told.iter().map(|told| host(told[2]) as u32).collect(),
        });
        let processors = told.iter().map(|told| told[4]).min().unwrap_or_default();
        self.settle_crowded((0..size).all(same_host) && (size as u64) > processors);
        // Nobody goes on before everybody can be reached by everybody.
        self.barrier()
    }
}

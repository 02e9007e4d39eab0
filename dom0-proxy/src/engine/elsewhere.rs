//! The ranks of a job that run on other hosts, and the proxies that serve them.

use std::io;
use std::os::fd::BorrowedFd;

use armci_nostd::serve::{Bounds, Effect, Window, Work};
use armci_nostd::wire::attach::WindowLayout;
use armci_nostd::wire::{Flags, Opcode, PROTOCOL_VERSION, Request};
use serde::{Deserialize, Serialize};

use super::placement::Placement;
use crate::attach::Fleet;
use crate::fabric::{Awaited, MAX_BODY, PIECE, Peer, PeerTrouble, Serve};

/// What a proxy tells another of its ranks.
#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    /// [`PROTOCOL_VERSION`], first in every version.
    version: u32,
    /// Its host.
    host: u32,
    /// Its ranks, and where their memory is, by their own addresses.
    ranks: Vec<(u32, WindowLayout)>,
}

/// What has become of an operation on the memory of a rank elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The asking rank is done with it: what it has put was copied.
    Complete,
    /// It ends with an answer.
    ToBeAnswered,
    /// Not all of it was asked for: there is no room now.
    NoRoom,
}

/// Another host.
struct Host {
    number: u32,
    peer: Peer,
    /// By rank: the newest operation that it has asked for there.
    newest: Vec<u64>,
}

/// The ranks elsewhere, and their hosts.
pub(super) struct Elsewhere {
    placement: Placement,
    /// Ascending by number.
    hosts: Vec<Host>,
    /// By rank: the limits of its memory, if it is elsewhere and known.
    known: Vec<Option<Bounds>>,
}

impl Elsewhere {
    /// Of a job of which nothing was said yet over these connections to the other hosts.
    pub(super) fn new(placement: Placement, peers: Vec<(u32, Peer)>) -> Self {
        let size = placement.size();
        let host = |(number, peer)| Host { number, peer, newest: vec![0; size] };
        let mut hosts: Vec<Host> = peers.into_iter().map(host).collect();
        hosts.sort_unstable_by_key(|host| host.number);
        Self { placement, hosts, known: vec![None; size] }
    }

    /// How many other hosts there are.
    pub(super) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// The number of the host at that place among them.
    pub(super) fn number(&self, place: usize) -> u32 {
        self.hosts[place].number
    }

    /// Where to wait for the other hosts.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.hosts.iter().map(|host| host.peer.fd())
    }

    /// The limits of all ranks' memory, once all are known.
    ///
    /// # Panics
    /// If one is not.
    pub(super) fn bounds(&self, fleet: &Fleet) -> Vec<Bounds> {
        let all = (0..).zip(&self.known);
        let bounds = all.map(|(rank, known)| match fleet.window(rank) {
            Some(window) => window.bounds().clone(),
            None => known.clone().expect("all hosts have said which ranks they have"),
        });
        bounds.collect()
    }

    /// Tells the other hosts of the ranks here.
    pub(super) fn say_hello(&mut self, fleet: &Fleet) -> io::Result<()> {
        let ranks = fleet.numbers().iter().copied().zip(fleet.windows());
        let hello = Hello {
            version: PROTOCOL_VERSION,
            host: self.placement.host,
            ranks: ranks.map(|(rank, window)| (rank, window.bounds().layout())).collect(),
        };
        let body = postcard::to_extend(&hello, Vec::new()).map_err(io::Error::other)?;
        if body.len() > MAX_BODY {
            return Err(io::Error::other("there are too many ranks to tell other hosts of"));
        }
        self.hosts.iter_mut().for_each(|host| host.peer.say_hello(&body));
        Ok(())
    }

    /// Takes in what other hosts say of their ranks. Whether all have, or which is lost.
    pub(super) fn greet(&mut self) -> Result<bool, (u32, String)> {
        let Self { placement, hosts, known } = self;
        for host in &mut *hosts {
            let mut greeting = Greeting { placement, host: host.number, known };
            host.peer.poll(&mut greeting).map_err(|trouble| match trouble {
                PeerTrouble::Lost(why) => (host.number, why),
                PeerTrouble::Own(never) => match never {},
            })?;
        }
        Ok(hosts.iter().all(|host| host.peer.is_known()))
    }

    /// Tells all hosts that nothing more is to come from here.
    pub(super) fn say_bye(&mut self) {
        self.hosts.iter_mut().for_each(|host| host.peer.say_bye());
    }

    /// Sends, receives and serves what can be now, of the host at that place.
    pub(super) fn poll<E>(
        &mut self,
        place: usize,
        serve: &mut impl Serve<E>,
    ) -> Result<bool, PeerTrouble<E>> {
        self.hosts[place].peer.poll(serve)
    }

    /// Asks for what was checked to be `work` of the rank `asking`, whose window is `own`, on the
    /// memory of a rank elsewhere, beginning with the byte at `asked`, which gets on as far as
    /// there is room.
    pub(super) fn ask(
        &mut self,
        asking: u32,
        request: &Request,
        work: &Work,
        own: &Window,
        asked: &mut u64,
    ) -> Asked {
        let Some(host) = self.host_of(work.target()) else { return Asked::Complete };
        let all = work.bytes();
        loop {
            let end = match work.effect() {
                Effect::PutInline { .. } | Effect::ReadModifyWrite { .. } => all,
                _ => all.min(*asked + PIECE as u64),
            };
            let (begin, length, is_last) = (*asked, end - *asked, end == all);
            let mut piece = Request { tag: 0, local: 0, ..*request };
            if !is_last {
                piece.flags &= !Flags::NOTIFY.bits();
            }
            // The check has found that the whole does not wrap.
            (piece.remote, piece.len) = (piece.remote.wrapping_add(begin), length);
            let answered = |address: u64, length| {
                Some(Awaited { rank: asking, tag: request.tag, address, length, is_last })
            };
            let (data, answer) = match *work.effect() {
                Effect::PutInline { .. } => (None, None),
                Effect::Put { from, .. } | Effect::Accumulate { from, .. } => {
                    (Some(from.wrapping_add(begin)), None)
                }
                Effect::Get { to, .. } => (None, answered(to.wrapping_add(begin), length)),
                Effect::ReadModifyWrite { .. } => (None, answered(0, 0)),
            };
            let fill = |bytes: &mut [u8]| {
                if let Some(from) = data.filter(|_| !bytes.is_empty()) {
                    own.read(from, bytes);
                }
            };
            let sent = data.map_or(0, |_| length as usize);
            let Some(number) = host.peer.ask(&piece, sent, fill, answer) else {
                return Asked::NoRoom;
            };
            host.newest[asking as usize] = number;
            *asked = end;
            if is_last {
                return if answer.is_some() { Asked::ToBeAnswered } else { Asked::Complete };
            }
        }
    }

    /// Whether all that the rank `asking` has asked for elsewhere is done, at one target's host or
    /// at all. With `notify` a target elsewhere is woken then.
    pub(super) fn fence(&mut self, asking: u32, target: Option<u32>, notify: bool) -> bool {
        let is_done = |host: &Host| host.peer.done() >= host.newest[asking as usize];
        let Some(target) = target else { return self.hosts.iter().all(is_done) };
        let Some(host) = self.host_of(target) else { return true };
        if !is_done(host) {
            return false;
        }
        let wake = Request {
            opcode: Opcode::Put as u8,
            flags: (Flags::INLINE | Flags::NOTIFY | Flags::MAILBOX).bits(),
            rank: target,
            ..Request::default()
        };
        !notify || host.peer.ask(&wake, 0, |_| (), None).is_some()
    }

    /// A host with which something is under way, if there is one: what it was asked for is not
    /// done, or it does not know that what it has asked for is.
    pub(super) fn not_drained(&self) -> Option<u32> {
        let host = self.hosts.iter().find(|host| !host.peer.is_drained());
        host.map(|host| host.number)
    }

    fn host_of(&mut self, rank: u32) -> Option<&mut Host> {
        let number = self.placement.elsewhere(rank)?;
        let place = self.hosts.binary_search_by_key(&number, |host| host.number).ok()?;
        Some(&mut self.hosts[place])
    }
}

/// What is done for a host that has not said yet which ranks it has.
struct Greeting<'a> {
    placement: &'a Placement,
    host: u32,
    known: &'a mut [Option<Bounds>],
}

/// Nothing can be wrong here yet.
enum Nothing {}

impl Serve<Nothing> for Greeting<'_> {
    fn hello(&mut self, body: &[u8]) -> Result<(), PeerTrouble<Nothing>> {
        let lost = |why: String| Err(PeerTrouble::Lost(why));
        match postcard::take_from_bytes::<u32>(body) {
            Ok((PROTOCOL_VERSION, _)) => {}
            Ok((version, _)) => {
                return lost(format!(
                    "its proxy speaks protocol version {version}, this one {PROTOCOL_VERSION}: \
                     install the same version on both"
                ));
            }
            Err(_) => return lost("what it says of its ranks makes no sense".into()),
        }
        let Ok((hello, [])) = postcard::take_from_bytes::<Hello>(body) else {
            return lost("what it says of its ranks makes no sense".into());
        };
        let ranks = hello.ranks.iter().map(|(rank, _)| *rank);
        if hello.host != self.host || !ranks.eq(self.placement.ranks_on(self.host)) {
            return lost("it has other ranks than it should".into());
        }
        for (rank, layout) in hello.ranks {
            let bounds = Bounds::new(&layout);
            match (self.known.get_mut(rank as usize), bounds) {
                (Some(known), Ok(bounds)) => *known = Some(bounds),
                (_, Err(why)) => return lost(format!("rank {rank} cannot be as it says: {why}")),
                (None, _) => return lost(format!("there is no rank {rank}")),
            }
        }
        Ok(())
    }

    fn ask(&mut self, _: &Request, _: &mut [u8]) -> Result<Option<u64>, PeerTrouble<Nothing>> {
        // It knows all hosts already; the ranks here do not.
        Ok(None)
    }

    fn answer(&mut self, _: &Awaited, _: u64, _: &[u8]) -> Result<(), PeerTrouble<Nothing>> {
        Err(PeerTrouble::Lost("it answers before it was asked".into()))
    }
}

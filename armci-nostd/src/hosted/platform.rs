//! The attachment of one process.

use core::alloc::Layout;
use core::hint::spin_loop;
use core::ops::Range;
use core::ptr::NonNull;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::prelude::v1::*;
use std::thread;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::error::ProxyGone;
use crate::hosted::error::{HostedError, system};
use crate::hosted::frame::{receive, send};
use crate::hosted::peer::Peer;
use crate::hosted::threads;
use crate::hosted::window::OwnWindow;
use crate::path::platform::{Awaited, Platform, View};
use crate::wire::area::RuntimeArea;
use crate::wire::attach::{Attach, AttachReply, Introduction, MessageError};
use crate::wire::limits::PROTOCOL_VERSION;

/// Looks for an answer of the proxy between which a waiting rank only spins.
const SPINS: u32 = 10;
/// The same for something that another rank does, where every rank can have a processor: about a
/// microsecond.
const SPINS_FOR_RANK: u32 = 100;
/// Looks with a yield in between, before it blocks.
const YIELDS: u32 = 200;

/// How long a thread blocks that waits for another rank, where there are others: they may answer the
/// ring that was meant for it.
const NAP: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// A rank that is a Linux process.
pub(super) struct HostedPlatform {
    window: OwnWindow,
    /// Rings the proxy.
    proxy_bell: OwnedFd,
    /// Is rung by the proxy.
    rank_bell: OwnedFd,
    /// Closes when the proxy dies.
    socket: UnixStream,
    /// By rank; none for this one.
    peers: Vec<Option<Peer>>,
    processors: usize,
    /// Looks without a yield while waiting for another rank.
    spins_for_rank: u32,
}

impl HostedPlatform {
    /// Attaches to the proxy, and waits until all ranks of the job have.
    pub fn connect(
        socket: &Path,
        job: String,
        rank: usize,
        size: usize,
        len: usize,
    ) -> Result<Self, HostedError> {
        let (window, memory) = OwnWindow::create(len)?;
        let bell = || {
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map_err(system("create a doorbell"))
        };
        let (proxy_bell, rank_bell) = (bell()?, bell()?);
        let stream = UnixStream::connect(socket)
            .map_err(system("reach the proxy (is dom0-proxy running?)"))?;
        let layout = window.layout();
        let attach = Attach { version: PROTOCOL_VERSION, job, rank: rank as u32, layout };
        send(&stream, &attach, &[memory.as_fd(), proxy_bell.as_fd(), rank_bell.as_fd()])
            .map_err(system("attach to the proxy"))?;
        if let (AttachReply::Refused(reason), _) = receive(&stream)? {
            return Err(HostedError::Refused(reason));
        }
        let mut peers: Vec<Option<Peer>> = (0..size).map(|_| None).collect();
        for _ in 1..size {
            let (introduction, descriptors) = receive::<Introduction>(&stream)?;
            let [memory, bell] =
                <[OwnedFd; 2]>::try_from(descriptors).map_err(|_| MessageError::Malformed)?;
            let peer = peers.get_mut(introduction.rank as usize).ok_or(MessageError::Malformed)?;
            *peer = Some(Peer::new(&introduction, &memory, bell)?);
        }
        let processors = thread::available_parallelism().map_or(1, |count| count.get());
        let spins_for_rank = if size <= processors { SPINS_FOR_RANK } else { SPINS };
        Ok(Self {
            window,
            proxy_bell,
            rank_bell,
            socket: stream,
            peers,
            processors,
            spins_for_rank,
        })
    }
}

/// Rings a doorbell. It fails only when its count is full, and then whoever it is for is being woken
/// anyway.
fn ring(bell: &OwnedFd) {
    let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
}

// SAFETY: the area is always the same, the heap hands out memory that is its own until it is given
// back, and what peers have is mapped whole as long as the process lives.
unsafe impl Platform for HostedPlatform {
    fn area(&self) -> &'static RuntimeArea {
        self.window.area()
    }

    fn notify(&self) {
        ring(&self.proxy_bell);
    }

    fn wait(&self, awaited: Awaited) -> Result<(), ProxyGone> {
        let mut fds =
            [PollFd::new(&self.rank_bell, PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
        // An interrupted call is an early return, which is allowed.
        let _ = match awaited {
            Awaited::Proxy => poll(&mut fds, None),
            Awaited::Rank => threads::meanwhile(|others| poll(&mut fds, others.then_some(&NAP))),
        };
        // The proxy says nothing more on the socket: whatever happens there is its end.
        if !fds[1].revents().is_empty() {
            return Err(ProxyGone);
        }
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.rank_bell, &mut count);
        Ok(())
    }

    fn pause(&self, looks: u32, awaited: Awaited) -> bool {
        // Rank and proxy often share a processor, however many there are: the kernel likes to wake
        // where it is. There a rank that spins keeps the proxy from doing what it spins for. Ranks
        // that compute are spread.
        let spins = match awaited {
            Awaited::Proxy => SPINS,
            Awaited::Rank => self.spins_for_rank,
        };
        if looks < spins {
            spin_loop();
        } else if looks < spins + YIELDS {
            thread::yield_now();
        } else {
            return false;
        }
        true
    }

    fn let_threads_in(&self, looks: u32) -> bool {
        threads::let_others(looks)
    }

    fn contains(&self, address: usize, len: usize) -> bool {
        self.window.contains(address, len)
    }

    fn public(&self) -> Range<u64> {
        self.window.public()
    }

    fn alloc(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.window.alloc(layout)
    }

    unsafe fn dealloc(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: by the caller.
        unsafe { self.window.dealloc(memory, layout) };
    }

    fn view(&self, rank: usize) -> Option<View> {
        self.peers.get(rank)?.as_ref().map(|peer| peer.view.clone())
    }

    fn rings(&self) -> bool {
        true
    }

    fn ring(&self, rank: usize) {
        if let Some(Some(peer)) = self.peers.get(rank) {
            ring(&peer.bell);
        }
    }

    fn processors(&self) -> usize {
        self.processors
    }

    fn yield_now(&self) {
        thread::yield_now();
    }
}

//! The attachment of one process.

use core::alloc::Layout;
use core::hint::spin_loop;
use core::ops::Range;
use core::ptr::NonNull;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::prelude::v1::*;
use std::{io, thread};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send as send_byte};

use crate::error::ProxyGone;
use crate::hosted::error::{HostedError, system};
use crate::hosted::frame::{Received, receive, send};
use crate::hosted::mapped_rank::MappedRank;
use crate::hosted::rank::HostedRank;
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

/// How long a thread blocks that waits for another rank, where there are others: they may answer
/// the ring that was meant for it.
const NAP: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// A rank that is a Linux process.
pub(super) struct HostedPlatform {
    window: OwnWindow,
    /// Rings the proxy.
    proxy_bell: OwnedFd,
    /// Is rung by the proxy and by other ranks.
    rank_bell: UnixStream,
    /// Closes when the proxy dies.
    socket: UnixStream,
    /// By rank; none for this one.
    others: Vec<Option<MappedRank>>,
    processors: usize,
    /// Looks without a yield while waiting for another rank.
    spins_for_rank: u32,
}

impl HostedPlatform {
    /// Attaches to the proxy, and waits until all ranks of the job have.
    pub fn connect(who: &HostedRank) -> Result<Self, HostedError> {
        let size = who.size;
        let (window, memory) = OwnWindow::create(who.window)?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let proxy_bell = eventfd(0, flags).map_err(system("create a doorbell"))?;
        let (rank_bell, button) = UnixStream::pair().map_err(system("create a doorbell"))?;
        let stream = UnixStream::connect(&who.socket)
            .map_err(system("reach the proxy (is dom0-proxy running?)"))?;
        let attach = Attach {
            version: PROTOCOL_VERSION,
            job: who.job.clone(),
            rank: who.rank as u32,
            token: who.token.clone(),
            layout: window.layout(),
        };
        send(&stream, &attach, &[memory.as_fd(), proxy_bell.as_fd(), button.as_fd()])
            .map_err(system("attach to the proxy"))?;
        let neighbours = match receive(&stream)?.message {
            AttachReply::Accepted { neighbours } => neighbours as usize,
            AttachReply::Refused(reason) => return Err(HostedError::Refused(reason)),
        };
        let mut others: Vec<Option<MappedRank>> = (0..size).map(|_| None).collect();
        for _ in 0..neighbours.min(size - 1) {
            let Received { message: introduction, descriptors, lost } =
                receive::<Introduction>(&stream)?;
            if lost {
                let error = io::Error::from(rustix::io::Errno::MFILE);
                return Err(system("take what other ranks share")(error));
            }
            let [memory, bell] =
                <[OwnedFd; 2]>::try_from(descriptors).map_err(|_| MessageError::Malformed)?;
            let other =
                others.get_mut(introduction.rank as usize).ok_or(MessageError::Malformed)?;
            *other = Some(MappedRank::new(&introduction, &memory, bell)?);
        }
        let processors = thread::available_parallelism().map_or(1, |count| count.get());
        let spins_for_rank = if neighbours < processors { SPINS_FOR_RANK } else { SPINS };
        Ok(Self {
            window,
            proxy_bell,
            rank_bell,
            socket: stream,
            others,
            processors,
            spins_for_rank,
        })
    }
}

// SAFETY: the area is always the same, the heap hands out memory that is its own until it is given
// back, and what others have is mapped whole as long as the process lives.
unsafe impl Platform for HostedPlatform {
    fn area(&self) -> &'static RuntimeArea {
        self.window.area()
    }

    fn notify(&self) {
        // It fails only when the count is full, and then the proxy is being woken anyway.
        let _ = rustix::io::write(&self.proxy_bell, &1u64.to_ne_bytes());
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
        // What does not fit is read the next time.
        let mut rings = [0; 256];
        let _ = recv(&self.rank_bell, &mut rings, RecvFlags::DONTWAIT);
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
        self.others.get(rank)?.as_ref().map(|other| other.view.clone())
    }

    fn rings(&self) -> bool {
        true
    }

    fn ring(&self, rank: usize) {
        if let Some(Some(other)) = self.others.get(rank) {
            // Where there is no room the rank is being woken anyway.
            let _ = send_byte(&other.bell, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        }
    }

    fn processors(&self) -> usize {
        self.processors
    }

    fn yield_now(&self) {
        thread::yield_now();
    }
}

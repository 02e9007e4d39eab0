//! A rank as a Linux process: the same ring on a memfd, doorbells by eventfd, attached through a
//! Unix socket.

use core::alloc::Layout;
use core::cell::RefCell;
use core::hint::spin_loop;
use core::ptr::NonNull;
use std::io::{IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::prelude::v1::*;
use std::{env, io, ptr, thread};

use linked_list_allocator::Heap;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::api::armci::Armci;
use crate::error::{Error, ProxyGone};
use crate::path::platform::{Awaited, Platform, PublicView, View};
use crate::wire::area::RuntimeArea;
use crate::wire::attach::{self, Attach, AttachReply, Introduction, MessageError, WindowLayout};
use crate::wire::limits::PROTOCOL_VERSION;

/// Bytes of a rank's window where `$XENOLITH_MEM` does not say. They cost nothing until they are
/// used.
const DEFAULT_WINDOW: usize = 256 << 20;

/// Looks for an answer of the proxy between which a waiting rank only spins.
const SPINS: u32 = 10;
/// The same for something that another rank does, where every rank can have a processor: about a
/// microsecond.
const SPINS_FOR_RANK: u32 = 100;
/// Looks with a yield in between, before it blocks.
const YIELDS: u32 = 200;

/// Why a process could not become a rank.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The environment that `pgas run` sets is not complete.
    #[error("${0} is missing or not understood: start ranks with `pgas run --hosted`")]
    Environment(&'static str),
    /// A call to the system failed.
    #[error("cannot {what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// The proxy did not want this rank.
    #[error("the proxy refused this rank: {0}")]
    Refused(String),
    /// The proxy's answer was not understood.
    #[error("attaching to the proxy: {0}")]
    Control(#[from] MessageError),
    /// The job failed before it started.
    #[error(transparent)]
    Armci(#[from] Error),
}

/// Becomes the rank that the environment says, or the only rank of a job of one where it says
/// nothing. With `XENOLITH_DIRECT=0` all goes through the proxy, as if no other rank were on this
/// host, with `mixed` that of the odd ranks: to try and to measure.
pub fn attach() -> Result<Armci, AttachError> {
    let Some(socket) = env::var_os("XENOLITH_SOCKET") else { return Ok(Armci::alone()) };
    let rank = number("XENOLITH_RANK")?;
    let size = number("XENOLITH_SIZE")?;
    if rank >= size {
        return Err(AttachError::Environment("XENOLITH_RANK"));
    }
    let job = env::var("XENOLITH_JOB").map_err(|_| AttachError::Environment("XENOLITH_JOB"))?;
    let window = match env::var_os("XENOLITH_MEM") {
        Some(_) => number("XENOLITH_MEM")?,
        None => DEFAULT_WINDOW,
    };
    let armci = attach_as(&Seat { socket: socket.into(), job, rank, size, window })?;
    match env::var("XENOLITH_DIRECT").as_deref() {
        Ok("0") => armci.reach_directly(false),
        Ok("mixed") => armci.reach_directly(rank % 2 == 0),
        _ => {}
    }
    Ok(armci)
}

/// Which rank of which job to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The proxy's socket for ranks.
    pub socket: PathBuf,
    /// The job.
    pub job: String,
    /// The rank, below `size`.
    pub rank: usize,
    /// Ranks of the job.
    pub size: usize,
    /// Bytes of the rank's window.
    pub window: usize,
}

/// Becomes this rank. Waits until all others of the job are attached.
pub fn attach_as(seat: &Seat) -> Result<Armci, AttachError> {
    let port =
        HostedPlatform::connect(&seat.socket, seat.job.clone(), seat.rank, seat.size, seat.window)?;
    Ok(Armci::attach(seat.rank, seat.size, Box::new(port))?)
}

fn number(name: &'static str) -> Result<usize, AttachError> {
    env::var(name).ok().and_then(|value| value.parse().ok()).ok_or(AttachError::Environment(name))
}

/// Names what was tried in an error of the system.
fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> AttachError {
    move |error| AttachError::System { what, error: error.into() }
}

/// The attachment of one process.
struct HostedPlatform {
    area: &'static RuntimeArea,
    window: core::ops::Range<usize>,
    /// The public part of the window, after the runtime area.
    heap: RefCell<Heap>,
    /// Rings the proxy.
    proxy_bell: OwnedFd,
    /// Is rung by the proxy.
    rank_bell: OwnedFd,
    /// Closes when the proxy dies.
    socket: UnixStream,
    /// By rank; none for this one.
    neighbours: Vec<Option<Mapped>>,
    processors: usize,
    /// Looks without a yield while waiting for another rank.
    spins_for_rank: u32,
}

/// Another rank's window, mapped here as long as the process lives.
struct Mapped {
    view: View,
    bell: OwnedFd,
}

impl Mapped {
    fn new(
        introduction: &Introduction,
        window: &OwnedFd,
        bell: OwnedFd,
    ) -> Result<Self, AttachError> {
        let layout = &introduction.layout;
        let len = usize::try_from(layout.len)
            .map_err(|_| AttachError::Control(MessageError::Malformed))?;
        // The proxy has checked the layout, and that the memory cannot shrink.
        // SAFETY: a fresh mapping, which stays for as long as the process lives.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                window,
                0,
            )
        }
        .map_err(system("map another rank's window"))?
        .cast::<u8>();
        let place =
            |address: u64| NonNull::new(start.wrapping_add((address - layout.window) as usize));
        let mailbox = place(layout.runtime + core::mem::offset_of!(RuntimeArea, mailbox) as u64);
        let mailbox = mailbox.ok_or(AttachError::Control(MessageError::Malformed))?.cast();
        let public = place(layout.public_start)
            .map(|here| PublicView { there: layout.public_start..layout.public_end, here });
        Ok(Self { view: View { mailbox, public }, bell })
    }
}

impl HostedPlatform {
    fn connect(
        socket: &Path,
        job: String,
        rank: usize,
        size: usize,
        len: usize,
    ) -> Result<Self, AttachError> {
        let len = len.max(2 * size_of::<RuntimeArea>()).next_multiple_of(4096);
        let memory =
            memfd_create("xenolith-window", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
                .map_err(system("create the rank's window"))?;
        ftruncate(&memory, len as u64).map_err(system("size the rank's window"))?;
        fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(system("seal the rank's window"))?;
        // SAFETY: a fresh mapping, which stays for as long as the process lives.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &memory,
                0,
            )
        }
        .map_err(system("map the rank's window"))?
        .cast::<u8>();
        // SAFETY: the start of the mapping is page-aligned, long enough and ours; it is never
        // unmapped.
        let area: &'static RuntimeArea = unsafe {
            start.cast::<RuntimeArea>().write(RuntimeArea::new());
            &*start.cast::<RuntimeArea>()
        };
        let public = size_of::<RuntimeArea>();
        // SAFETY: the rest of the mapping is ours and stays; other ranks change only what was
        // allocated from it.
        let heap = unsafe { Heap::new(start.add(public), len - public) };
        let bell = || {
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map_err(system("create a doorbell"))
        };
        let (proxy_bell, rank_bell) = (bell()?, bell()?);
        let base = start.expose_provenance() as u64;
        let attach = Attach {
            version: PROTOCOL_VERSION,
            job,
            rank: rank as u32,
            layout: WindowLayout {
                window: base,
                len: len as u64,
                runtime: base,
                public_start: base + public as u64,
                public_end: base + len as u64,
            },
        };
        let stream = UnixStream::connect(socket)
            .map_err(system("reach the proxy (is dom0-proxy running?)"))?;
        send_with_fds(&stream, &attach::encode(&attach)?, [&memory, &proxy_bell, &rank_bell])
            .map_err(system("attach to the proxy"))?;
        let (reply, _) = receive(&stream)?;
        if let AttachReply::Refused(reason) = attach::decode(&reply)? {
            return Err(AttachError::Refused(reason));
        }
        let mut neighbours: Vec<Option<Mapped>> = (0..size).map(|_| None).collect();
        for _ in 1..size {
            let (introduction, fds) = receive(&stream)?;
            let introduction: Introduction = attach::decode(&introduction)?;
            let [window, bell] = <[OwnedFd; 2]>::try_from(fds)
                .map_err(|_| AttachError::Control(MessageError::Malformed))?;
            let slot = neighbours.get_mut(introduction.rank as usize);
            *slot.ok_or(AttachError::Control(MessageError::Malformed))? =
                Some(Mapped::new(&introduction, &window, bell)?);
        }
        let window = start.addr()..start.addr() + len;
        let processors = thread::available_parallelism().map_or(1, |count| count.get());
        let spins_for_rank = if size <= processors { SPINS_FOR_RANK } else { SPINS };
        let heap = RefCell::new(heap);
        Ok(Self {
            area,
            window,
            heap,
            proxy_bell,
            rank_bell,
            socket: stream,
            neighbours,
            processors,
            spins_for_rank,
        })
    }
}

/// The body of the proxy's next message, and what came with it.
fn receive(mut socket: &UnixStream) -> Result<(Vec<u8>, Vec<OwnedFd>), AttachError> {
    let mut prefix = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut prefix)], &mut ancillary, flags)
        .map_err(system("hear from the proxy"))?;
    let fds = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    socket.read_exact(&mut prefix[received.bytes..]).map_err(system("hear from the proxy"))?;
    let mut body = vec![0; attach::body_length(prefix)?];
    socket.read_exact(&mut body).map_err(system("hear from the proxy"))?;
    Ok((body, fds))
}

/// Sends `bytes`, with `fds` on the first of them.
fn send_with_fds(socket: &UnixStream, bytes: &[u8], fds: [&OwnedFd; 3]) -> io::Result<()> {
    let fds = fds.map(AsFd::as_fd);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("no room for the file descriptors"));
    }
    let sent = sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    io::Write::write_all(&mut &*socket, &bytes[sent..])
}

/// Writes zeros. Whole pages of much memory are given back to the system instead, which has zeros
/// for whoever comes back to them: so memory that nobody uses costs nothing.
///
/// # Safety
/// The memory must be valid for writes, lie in a mapping of a memfd, and be nobody else's.
unsafe fn zero(memory: NonNull<u8>, len: usize) {
    const PAGE: usize = 4096;
    const MUCH: usize = 1 << 20;
    let start = memory.as_ptr();
    if len >= MUCH {
        let head = start.addr().next_multiple_of(PAGE) - start.addr();
        let pages = (len - head) / PAGE * PAGE;
        // SAFETY: whole pages within the memory; what they held is lost, as is wanted.
        unsafe {
            if madvise(start.add(head).cast(), pages, Advice::LinuxRemove).is_ok() {
                start.write_bytes(0, head);
                return start.add(head + pages).write_bytes(0, len - head - pages);
            }
        }
    }
    // SAFETY: by the caller.
    unsafe { start.write_bytes(0, len) };
}

// SAFETY: `area` is always the same, and the heap hands out memory that is its own until it is
// given back.
unsafe impl Platform for HostedPlatform {
    fn area(&self) -> &'static RuntimeArea {
        self.area
    }

    fn notify(&self) {
        // It fails only when the counter is full, and then the proxy is being woken anyway.
        let _ = rustix::io::write(&self.proxy_bell, &1u64.to_ne_bytes());
    }

    fn wait(&self) -> Result<(), ProxyGone> {
        let mut fds =
            [PollFd::new(&self.rank_bell, PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
        // An interrupted call is an early return, which is allowed.
        let _ = poll(&mut fds, None);
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

    fn public(&self) -> core::ops::Range<u64> {
        (self.window.start + size_of::<RuntimeArea>()) as u64..self.window.end as u64
    }

    fn view(&self, rank: usize) -> Option<View> {
        self.neighbours.get(rank)?.as_ref().map(|mapped| mapped.view.clone())
    }

    fn rings(&self) -> bool {
        true
    }

    fn ring(&self, rank: usize) {
        if let Some(Some(mapped)) = self.neighbours.get(rank) {
            // It fails only when the counter is full, and then the rank is being woken anyway.
            let _ = rustix::io::write(&mapped.bell, &1u64.to_ne_bytes());
        }
    }

    fn processors(&self) -> usize {
        self.processors
    }

    fn yield_now(&self) {
        thread::yield_now();
    }

    fn contains(&self, address: usize, len: usize) -> bool {
        address >= self.window.start
            && address.checked_add(len).is_some_and(|end| end <= self.window.end)
    }

    fn alloc(&self, layout: Layout) -> Option<NonNull<u8>> {
        let memory = self.heap.borrow_mut().allocate_first_fit(layout).ok()?;
        // SAFETY: just allocated with this size.
        unsafe { zero(memory, layout.size()) };
        Some(memory)
    }

    unsafe fn dealloc(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: by the caller.
        unsafe { self.heap.borrow_mut().deallocate(memory, layout) };
    }
}

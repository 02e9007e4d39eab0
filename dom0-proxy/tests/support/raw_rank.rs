//! A rank that writes its rings by hand, so that it can write anything.

#![allow(dead_code, reason = "each test uses its part")]

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use armci_nostd::shared::gate::{CLOSED, Gate, Pass};
use armci_nostd::shared::ring::{Bell, Consumer, Producer, SharedSlots};
use armci_nostd::wire::attach::{self, Attach, WindowLayout};
use armci_nostd::wire::{
    COMPLETIONS, Completion, Header, JobState, Mailbox, Opcode, PROTOCOL_VERSION, Request,
    RuntimeArea, SUBMISSIONS,
};
use dom0_proxy::attach::SharedMemory;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg};

/// The rank's own address of its window.
pub const BASE: u64 = 0x1000_0000;
/// Bytes of the window.
pub const LEN: u64 = 1 << 20;
/// The first address that others may touch.
pub const PUBLIC: u64 = BASE + 0x10000;
/// The address after the last.
pub const END: u64 = BASE + LEN;

/// A rank's memory and doorbells.
pub struct RawRank {
    pub memfd: OwnedFd,
    pub to_proxy: OwnedFd,
    /// What the proxy rings with, and what is rung.
    pub to_rank: OwnedFd,
    rung: UnixStream,
    memory: SharedMemory,
}

impl Default for RawRank {
    fn default() -> Self {
        Self::new()
    }
}

impl RawRank {
    pub fn new() -> Self {
        let memfd =
            memfd_create("raw-rank", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&memfd, LEN).unwrap();
        fcntl_add_seals(&memfd, SealFlags::SHRINK).unwrap();
        let memory = SharedMemory::map(&memfd, LEN).unwrap();
        // SAFETY: the mapping is fresh, page-aligned and long enough.
        unsafe { memory.base().cast::<RuntimeArea>().write(RuntimeArea::new()) };
        let to_proxy = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap();
        let (rung, to_rank) = UnixStream::pair().unwrap();
        Self { memfd, to_proxy, to_rank: to_rank.into(), rung, memory }
    }

    /// The honest attach.
    pub fn message(job: &str, rank: u32) -> Attach {
        let token = std::env::var("XENOLITH_TOKEN").unwrap_or_default();
        let layout = WindowLayout {
            window: BASE,
            len: LEN,
            runtime: BASE,
            public_start: PUBLIC,
            public_end: END,
        };
        Attach { version: PROTOCOL_VERSION, job: job.into(), rank, token, layout }
    }

    /// The descriptors that go with it.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 3] {
        [self.memfd.as_fd(), self.to_proxy.as_fd(), self.to_rank.as_fd()]
    }

    fn area(&self) -> NonNull<RuntimeArea> {
        self.memory.base().cast()
    }

    pub fn header(&self) -> &Header {
        // SAFETY: mapped as long as `self`; all that changes in a header is atomic.
        unsafe { &(*self.area().as_ptr()).header }
    }

    pub fn mailbox(&self) -> &Mailbox {
        // SAFETY: mapped as long as `self`; all that changes in a mailbox is atomic or a cell.
        unsafe { &(*self.area().as_ptr()).mailbox }
    }

    pub fn gate(&self) -> Gate<'_> {
        Gate { epoch: &self.header().gate.0, inside: &self.header().inside.0 }
    }

    /// Goes into the memory of neighbours, if the gate is open or offered.
    pub fn enter(&self) -> Option<Pass<'_>> {
        self.gate().enter(self.gate().take()?)
    }

    /// Whether the proxy has closed the gate.
    pub fn is_shut_out(&self) -> bool {
        self.gate().epoch.load(Ordering::Acquire) == CLOSED
    }

    pub fn state(&self) -> JobState {
        JobState::from_wire(self.header().state.0.load(Ordering::Acquire))
    }

    /// Submits entries and rings the proxy if it sleeps.
    pub fn submit(&self, requests: &[Request]) {
        // SAFETY: in bounds of the mapped area.
        let slots = unsafe {
            SharedSlots::new((&raw mut (*self.area().as_ptr()).submissions).cast(), SUBMISSIONS)
        };
        let header = self.header();
        let mut ring = Producer::new(slots, &header.submission_tail.0, &header.submission_head.0);
        for request in requests {
            assert!(ring.push(*request).unwrap(), "the submission ring is full");
        }
        ring.publish();
        self.ring();
    }

    /// Rings the proxy if it sleeps.
    pub fn ring(&self) {
        if Bell(&self.header().proxy_asleep.0).take() {
            rustix::io::write(&self.to_proxy, &1u64.to_ne_bytes()).unwrap();
        }
    }

    /// Waits for as many completions.
    pub fn completions(&self, count: usize) -> Vec<Completion> {
        // SAFETY: in bounds of the mapped area.
        let slots = unsafe {
            SharedSlots::new((&raw mut (*self.area().as_ptr()).completions).cast(), COMPLETIONS)
        };
        let header = self.header();
        let mut ring = Consumer::new(slots, &header.completion_tail.0, &header.completion_head.0);
        let mut found = Vec::new();
        wait_until("completions", || {
            while let Some(completion) = ring.pop().unwrap() {
                found.push(completion);
            }
            ring.release();
            found.len() >= count
        });
        found
    }

    /// Submits one entry and waits for its end.
    pub fn run(&self, request: Request) -> Completion {
        self.submit(&[request]);
        self.completions(1)[0]
    }

    /// A word of the window.
    pub fn word(&self, address: u64) -> u64 {
        assert!(address >= BASE && address + 8 <= END && address.is_multiple_of(8));
        // SAFETY: in bounds of the mapping, aligned.
        unsafe { self.memory.base().add((address - BASE) as usize).cast::<u64>().read_volatile() }
    }

    pub fn set_word(&self, address: u64, value: u64) {
        assert!(address >= BASE && address + 8 <= END && address.is_multiple_of(8));
        // SAFETY: in bounds of the mapping, aligned.
        unsafe {
            self.memory.base().add((address - BASE) as usize).cast::<u64>().write_volatile(value)
        };
    }

    /// Says that the rank is about to sleep.
    pub fn fall_asleep(&self) {
        let mut rings = [0; 4096];
        let _ = recv(&self.rung, &mut rings, RecvFlags::DONTWAIT);
        Bell(&self.mailbox().asleep.0).arm();
    }

    /// Whether the rank's doorbell rings in time.
    pub fn is_woken(&self, patience: Duration) -> bool {
        let mut fds = [PollFd::new(&self.rung, PollFlags::IN)];
        let patience =
            Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
        poll(&mut fds, Some(&patience)).unwrap() == 1
    }
}

/// An entry that does nothing wrong.
pub fn put(rank: u32, remote: u64, local: u64, len: u64) -> Request {
    Request { opcode: Opcode::Put as u8, rank, tag: 7, remote, local, len, ..Request::default() }
}

/// Sends bytes with descriptors on the first of them.
pub fn send_with_descriptors(stream: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(descriptors.is_empty() || ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
    let sent =
        sendmsg(stream, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL).unwrap();
    assert_eq!(sent, bytes.len());
}

/// Sends the honest attach of a rank.
pub fn send_attach(stream: &UnixStream, rank: &RawRank, job: &str, number: u32) {
    let frame = attach::encode(&RawRank::message(job, number)).unwrap();
    send_with_descriptors(stream, &frame, &rank.descriptors());
}

/// Waits until something holds, for a while.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come");
        thread::sleep(Duration::from_micros(200));
    }
}

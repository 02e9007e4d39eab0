//! A domain that waits to become a saved rank, made up for tests: memory and bells, and no Xen.

use std::mem::offset_of;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use armci_nostd::serve::Window;
use armci_nostd::wire::attach::WindowLayout;
use armci_nostd::wire::{Header, LandingPages, Request, RuntimeArea};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use super::attachment::RankAttachment;
use super::doorbell::Doorbell;
use super::landing::Landing;
use super::provided::Provided;
use super::shared_memory::SharedMemory;

/// Bytes of its memory.
pub(crate) const LEN: usize = 1 << 20;
/// Where its runtime area is.
pub(crate) const RUNTIME: usize = 0x1000;
/// Where what others may touch begins; it goes on to the end.
pub(crate) const PUBLIC: usize = 0x40000;
/// What it keeps to itself until it has landed, and where its landing pages are in there.
pub(crate) const APART: std::ops::Range<usize> = 0x20000..0x24000;
const PAGES: usize = 0x21000;

/// The domain.
pub(crate) struct MadeUpDomain {
    memory: SharedMemory,
    to_proxy: Arc<OwnedFd>,
    /// How often its doorbell, and its bell for parking, have been rung.
    pub(crate) rung: Arc<AtomicU32>,
    pub(crate) rung_for_parking: Arc<AtomicU32>,
}

// SAFETY: the memory is reached by atomics, and by copies that only make sense while nobody writes.
unsafe impl Sync for MadeUpDomain {}

struct Bell {
    to_proxy: Arc<OwnedFd>,
    rung: Arc<AtomicU32>,
}

impl Doorbell for Bell {
    fn ring(&self) {
        self.rung.fetch_add(1, Ordering::Release);
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.to_proxy.as_fd()
    }

    fn acknowledge(&self) -> bool {
        true
    }
}

impl MadeUpDomain {
    /// A domain of that number, whose memory is full of garbage, and what attaches it.
    pub(crate) fn new(domain: u32) -> (Self, RankAttachment) {
        let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
        let memfd = memfd_create("domain", flags).unwrap();
        ftruncate(&memfd, LEN as u64).unwrap();
        fcntl_add_seals(&memfd, SealFlags::SHRINK).unwrap();
        let map = || SharedMemory::map(&memfd, LEN as u64).unwrap();
        let this = Self {
            memory: map(),
            to_proxy: Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap()),
            rung: Arc::default(),
            rung_for_parking: Arc::default(),
        };
        this.write(0, &[0xee; LEN]);
        this.write(APART.start, &[0; APART.end - APART.start]);
        let layout = WindowLayout {
            window: 0,
            len: LEN as u64,
            runtime: RUNTIME as u64,
            public_start: PUBLIC as u64,
            public_end: LEN as u64,
        };
        let mapped = map();
        // SAFETY: the mapping is as long, and goes where the window goes.
        let window = unsafe { Window::new(mapped.base(), &layout) }.unwrap();
        let bell = |rung: &Arc<AtomicU32>| {
            Box::new(Bell { to_proxy: this.to_proxy.clone(), rung: rung.clone() })
        };
        let landing =
            Landing { domain, apart: APART.start as u64..APART.end as u64, pages: PAGES as u64 };
        let memory = Box::new(Provided::new(mapped, &memfd, None).unwrap());
        let (doorbell, park_bell) = (bell(&this.rung), bell(&this.rung_for_parking));
        // SAFETY: as above.
        let attachment = unsafe { RankAttachment::of_landing(window, doorbell, landing, memory) };
        (this, attachment.that_parks_by(park_bell))
    }

    /// What a rank's memory is like that was saved: it stood still, after five requests that were
    /// answered, and had asked for this besides.
    pub(crate) fn saved(content: u8, asked: Option<Request>) -> Vec<u8> {
        let (this, _) = Self::new(0);
        this.write(0, &[content; LEN]);
        // SAFETY: in bounds, on a page boundary, and nobody else's.
        unsafe {
            let area = this.memory.base().add(RUNTIME).cast::<RuntimeArea>();
            area.write(RuntimeArea::new());
            if let Some(request) = asked {
                let slots = (&raw mut (*area.as_ptr()).submissions).cast::<Request>();
                slots.add(5).write(request);
            }
        }
        let tail = 5 + u32::from(asked.is_some());
        this.header(offset_of!(Header, submission_tail)).store(tail, Ordering::Relaxed);
        for index in [
            offset_of!(Header, submission_head),
            offset_of!(Header, completion_tail),
            offset_of!(Header, completion_head),
        ] {
            this.header(index).store(5, Ordering::Relaxed);
        }
        this.header(offset_of!(Header, state)).store(1, Ordering::Relaxed);
        this.header(offset_of!(Header, park)).store(5, Ordering::Relaxed);
        this.header(offset_of!(Header, parked)).store(5, Ordering::Relaxed);
        this.read()
    }

    /// All of its memory.
    pub(crate) fn read(&self) -> Vec<u8> {
        let mut bytes = vec![0; LEN];
        // SAFETY: as long as the mapping; whoever writes meanwhile is another mapping's.
        unsafe {
            self.memory.base().as_ptr().copy_to_nonoverlapping(bytes.as_mut_ptr(), LEN);
        }
        bytes
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= LEN);
        // SAFETY: in bounds of the mapping.
        unsafe {
            let to = self.memory.base().as_ptr().add(offset);
            to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= LEN);
        // SAFETY: in bounds of the mapping, aligned.
        unsafe { AtomicU32::from_ptr(self.memory.base().as_ptr().add(offset).cast()) }
    }

    /// Writes a word of 8 bytes.
    pub(crate) fn write_word(&self, offset: usize, word: u64) {
        self.write(offset, &word.to_le_bytes());
    }

    /// A word of its header, by its offset there.
    pub(crate) fn header(&self, offset: usize) -> &AtomicU32 {
        self.word(RUNTIME + offset)
    }

    /// The proxy's word that its memory is filled.
    pub(crate) fn go(&self) -> &AtomicU32 {
        self.word(PAGES + offset_of!(LandingPages, go))
    }

    /// The domains that it has been told of.
    pub(crate) fn told(&self) -> Vec<u32> {
        let size = self.word(PAGES + offset_of!(LandingPages, size)).load(Ordering::Acquire);
        let domains = PAGES + offset_of!(LandingPages, domains);
        let told = (0..size as usize).map(|rank| self.word(domains + 4 * rank));
        told.map(|domain| domain.load(Ordering::Relaxed)).collect()
    }

    /// Rings the proxy.
    pub(crate) fn ring(&self) {
        rustix::io::write(&self.to_proxy, &1u64.to_ne_bytes()).unwrap();
    }
}

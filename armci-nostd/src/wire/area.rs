//! The memory that a rank and its proxy share for talking: rings, flags, and the mailbox for collectives.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, AtomicU64};

use super::{COMPLETIONS, Completion, PROTOCOL_VERSION, Request, SUBMISSIONS};

/// First word of the header: "XNLT".
pub const MAGIC: u32 = u32::from_le_bytes(*b"XNLT");

/// One cache line with one word in it, so that a side that spins on its own word does not slow the other.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Line(pub AtomicU32);

/// The words by which the two sides follow each other.
///
/// Indices count entries since the start, modulo 2^32; an entry's slot is its index modulo the ring's size.
/// Each word has exactly one writer but for the two `*_asleep` flags, which the sleeper sets and either
/// side clears.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u32,
    /// [`PROTOCOL_VERSION`].
    pub version: u32,
    /// Written by the proxy: a [`JobState`].
    pub state: Line,
    /// Written by the rank: submissions made.
    pub submission_tail: Line,
    /// Written by the proxy: submissions taken.
    pub submission_head: Line,
    /// Written by the proxy: completions made.
    pub completion_tail: Line,
    /// Written by the rank: completions taken.
    pub completion_head: Line,
    /// Not zero: the rank is about to block and wants its doorbell rung.
    pub rank_asleep: Line,
    /// Not zero: the proxy is about to block and wants its doorbell rung.
    pub proxy_asleep: Line,
}

/// What the proxy tells a rank about its job, in [`Header::state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum JobState {
    /// Not yet attached.
    Detached = 0,
    /// The proxy takes operations.
    Attached = 1,
    /// The job has failed: the proxy takes nothing more.
    Failed = 2,
}

impl JobState {
    /// The state with this number; anything unknown counts as a failure.
    pub fn from_wire(word: u32) -> Self {
        match word {
            0 => Self::Detached,
            1 => Self::Attached,
            _ => Self::Failed,
        }
    }
}

/// Rounds of a barrier, and children of a rank in the tree of a reduction: enough for 2^32 ranks.
pub const ROUNDS: usize = 32;

/// Bytes of a collective's data that move at a time.
pub const CHUNK: usize = 8192;

/// What collectives keep in each rank. Other ranks write it by puts with `Flags::MAILBOX`, and read
/// `outbox` by gets; all its counters only grow, and each has a single writer.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Mailbox {
    /// `barrier[k]`: barriers in which the rank 2^k below (modulo the size) has reached round k.
    pub barrier: [AtomicU64; ROUNDS],
    /// `up[k]`: chunks that the k-th child has laid out in its outbox.
    pub up: [AtomicU64; ROUNDS],
    /// Chunks that the parent has laid out in its outbox.
    pub down: AtomicU64,
    /// Fills the page.
    reserved: [u64; 512 - 2 * ROUNDS - 1],
    /// This rank's part of a chunk, for parent and children to get.
    pub outbox: UnsafeCell<[u64; CHUNK / 8]>,
    /// Where this rank's own gets land.
    pub inbox: UnsafeCell<[u64; CHUNK / 8]>,
}

/// All that a rank shares with its proxy for talking. Lies in the rank's window, so it is part of the rank's
/// memory when that is saved: entries not yet taken are not lost.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct RuntimeArea {
    /// Indices and flags.
    pub header: Header,
    /// Fills the page.
    reserved: [u64; 512 - size_of::<Header>() / 8],
    /// Operations from the rank.
    pub submissions: UnsafeCell<[Request; SUBMISSIONS as usize]>,
    /// Their ends, from the proxy.
    pub completions: UnsafeCell<[Completion; COMPLETIONS as usize]>,
    /// For collectives.
    pub mailbox: Mailbox,
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Header, state) == 64);
    assert!(offset_of!(Header, submission_tail) == 128);
    assert!(offset_of!(Header, submission_head) == 192);
    assert!(offset_of!(Header, completion_tail) == 256);
    assert!(offset_of!(Header, completion_head) == 320);
    assert!(offset_of!(Header, rank_asleep) == 384);
    assert!(offset_of!(Header, proxy_asleep) == 448);
    assert!(size_of::<Header>() == 512);
    assert!(offset_of!(RuntimeArea, submissions) == 4096);
    assert!(offset_of!(RuntimeArea, completions) == 12288);
    assert!(offset_of!(RuntimeArea, mailbox) == 16384);
    assert!(offset_of!(Mailbox, up) == 256);
    assert!(offset_of!(Mailbox, down) == 512);
    assert!(offset_of!(Mailbox, outbox) == 4096);
    assert!(offset_of!(Mailbox, inbox) == 12288);
    assert!(size_of::<Mailbox>() == 20480);
    assert!(size_of::<RuntimeArea>() == 36864);
};

// SAFETY: the fields are atomics, or cells whose entries are reached only through raw pointers by the one
// side that owns them at that moment according to the indices (see `ring`).
unsafe impl Sync for RuntimeArea {}

impl RuntimeArea {
    /// An area that nobody is attached to.
    pub const fn new() -> Self {
        Self {
            header: Header {
                magic: MAGIC,
                version: PROTOCOL_VERSION,
                state: Line(AtomicU32::new(JobState::Detached as u32)),
                submission_tail: Line(AtomicU32::new(0)),
                submission_head: Line(AtomicU32::new(0)),
                completion_tail: Line(AtomicU32::new(0)),
                completion_head: Line(AtomicU32::new(0)),
                rank_asleep: Line(AtomicU32::new(0)),
                proxy_asleep: Line(AtomicU32::new(0)),
            },
            reserved: [0; 512 - size_of::<Header>() / 8],
            submissions: UnsafeCell::new(
                [const {
                    Request {
                        opcode: 0,
                        flags: 0,
                        kind: 0,
                        reserved0: 0,
                        rank: 0,
                        tag: 0,
                        reserved1: 0,
                        remote: 0,
                        local: 0,
                        len: 0,
                        operand: [0; 2],
                        reserved2: 0,
                    }
                }; SUBMISSIONS as usize],
            ),
            completions: UnsafeCell::new([const { Completion { tag: 0, status: 0, value: 0 } }; COMPLETIONS as usize]),
            mailbox: Mailbox {
                barrier: [const { AtomicU64::new(0) }; ROUNDS],
                up: [const { AtomicU64::new(0) }; ROUNDS],
                down: AtomicU64::new(0),
                reserved: [0; 512 - 2 * ROUNDS - 1],
                outbox: UnsafeCell::new([0; CHUNK / 8]),
                inbox: UnsafeCell::new([0; CHUNK / 8]),
            },
        }
    }
}

impl Default for RuntimeArea {
    fn default() -> Self {
        Self::new()
    }
}

//! The memory that a rank and its proxy share for talking: rings, flags, and the mailbox for
//! collectives.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::wire::limits::{COMPLETIONS, MAX_RANKS, PROTOCOL_VERSION, SUBMISSIONS};
use crate::wire::request::{Completion, Request};

/// First word of the header: "XNLT".
pub const MAGIC: u32 = u32::from_le_bytes(*b"XNLT");

/// One cache line with one word in it, so that a side that spins on its own word does not slow the
/// other.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Word32(pub AtomicU32);

/// The same with a word of 64 bits.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Word64(pub AtomicU64);

/// What a rank has done to memory by itself, for the user's statistics: written by the rank, read
/// by the proxy.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Tally {
    /// Puts, and their bytes.
    pub put: [AtomicU64; 2],
    /// Gets, and their bytes.
    pub get: [AtomicU64; 2],
    /// Accumulates, and their bytes.
    pub accumulate: [AtomicU64; 2],
    /// Read-modify-writes, and their bytes.
    pub rmw: [AtomicU64; 2],
}

/// How a rank gets on, for the proxy to know when others wait in vain for one that has left:
/// written by the rank, read by the proxy.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Standing {
    /// Steps of collectives of all ranks that it has begun, modulo 2^32: every rank takes the same.
    pub steps: AtomicU32,
    /// Grows by one when the rank begins to wait for another, and by one when that wait is over:
    /// odd while it waits.
    pub waits: AtomicU32,
}

/// The words by which rank and proxy follow each other.
///
/// Indices count entries since the start, modulo 2^32; an entry's slot is its index modulo the
/// ring's size. Each word has exactly one writer but for `proxy_asleep` (and [`Mailbox::asleep`]),
/// which the sleeper sets and either side clears.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u32,
    /// [`PROTOCOL_VERSION`].
    pub version: u32,
    /// Written by the proxy before the job is attached: a number of its host, the same for all
    /// ranks on it.
    pub host: AtomicU32,
    /// Written by the proxy: a [`JobState`].
    pub state: Word32,
    /// Written by the rank: submissions made.
    pub submission_tail: Word32,
    /// Written by the proxy: submissions taken.
    pub submission_head: Word32,
    /// Written by the proxy: completions made.
    pub completion_tail: Word32,
    /// Written by the rank: completions taken.
    pub completion_head: Word32,
    /// Not zero: the proxy is about to block and wants its doorbell rung.
    pub proxy_asleep: Word32,
    /// Written by the proxy, who closes it or offers an epoch, and by the rank, who opens it: the
    /// epoch in which the rank reaches its neighbours' memory by itself. See
    /// [`Gate`](crate::shared::gate::Gate).
    pub gate: Word32,
    /// Written by the rank: not zero while it does.
    pub inside: Word32,
    /// Written by the rank: what it does directly.
    pub tally: Tally,
    /// Written by the rank: how it gets on.
    pub standing: Standing,
    /// Written by the proxy: not zero while the rank is to stand still, a number that is new each
    /// time.
    pub park: Word32,
    /// Written by the rank: that number while it stands still, else zero. All that it is, is in its
    /// memory then, and it changes none of that.
    pub parked: Word32,
    /// Written by the rank before it stands still: the address of the first of its free pieces of
    /// memory, or zero if it tells none. A piece begins with two words of 64 bits, its length in
    /// bytes and the address of the next, which is higher, or zero; what follows nobody needs.
    pub free: Word64,
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

/// Rounds of a barrier, and children of a rank in the tree of a reduction: enough for
/// [`MAX_RANKS`].
pub const ROUNDS: usize = 16;

/// Bytes of a collective's data that move at a time.
pub const CHUNK: usize = 8192;

/// What the collectives of one team of ranks keep in each of them. Members write each other's
/// counters and read each other's `outbox`. All counters only grow; but for `arrived` and
/// `released` each has a single writer.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct TeamArea {
    /// `barrier[k]`: barriers in which the member 2^k below (modulo the size) has reached round k.
    pub barrier: [Word64; ROUNDS],
    /// `up[k]`: chunks that the k-th child has laid out in its outbox.
    pub up: [Word64; ROUNDS],
    /// Chunks that the parent has laid out in its outbox.
    pub down: Word64,
    /// Of member 0: arrivals of members at all barriers so far, where ranks are more than
    /// processors. Changed by fetch-and-adds.
    pub arrived: Word64,
    /// Barriers that the last to arrive has declared complete.
    pub released: Word64,
    /// Fills the page.
    reserved: [u64; 512 - 8 * (2 * ROUNDS + 3)],
    /// This member's part of a chunk, for parent and children to get.
    pub outbox: UnsafeCell<[u64; CHUNK / 8]>,
    /// Where this member's own gets land.
    pub inbox: UnsafeCell<[u64; CHUNK / 8]>,
}

impl TeamArea {
    /// Of a team that has done nothing yet.
    pub const fn new() -> Self {
        Self {
            barrier: [const { Word64(AtomicU64::new(0)) }; ROUNDS],
            up: [const { Word64(AtomicU64::new(0)) }; ROUNDS],
            down: Word64(AtomicU64::new(0)),
            arrived: Word64(AtomicU64::new(0)),
            released: Word64(AtomicU64::new(0)),
            reserved: [0; 512 - 8 * (2 * ROUNDS + 3)],
            outbox: UnsafeCell::new([0; CHUNK / 8]),
            inbox: UnsafeCell::new([0; CHUNK / 8]),
        }
    }
}

impl Default for TeamArea {
    fn default() -> Self {
        Self::new()
    }
}

/// Messages that a rank's queue holds. A power of two.
pub const LETTERS: usize = 32;

/// Bytes of a message that travel in its [`Letter`]; longer ones wait at the sender.
pub const LETTER_BYTES: usize = 88;

/// One place of a rank's message queue.
///
/// Message number n gets place n modulo [`LETTERS`], in lap n divided by [`LETTERS`]. A sender
/// draws its number by a fetch-and-add on [`Mailbox::drawn`], waits until `turn` is twice the lap,
/// fills the place and adds one. The receiver takes the messages in the order of their numbers, and
/// adds one more.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Letter {
    /// Whose turn it is: even the sender's, odd the receiver's.
    pub turn: AtomicU64,
    /// Everything else: sender, tag, length and data, see `message.rs`.
    pub envelope: UnsafeCell<[u64; 15]>,
}

/// What ranks share with each other, not only with the proxy. Others reach it by requests with
/// `Flags::MAILBOX`, and neighbours on the same host directly.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Mailbox {
    /// Not zero: the rank is about to block and wants its doorbell rung.
    pub asleep: Word32,
    /// Held by whoever accumulates into this rank's memory or changes a word of it: see
    /// [`TargetLock`](crate::shared::lock::TargetLock).
    pub lock: Word32,
    /// Messages for which a number has been drawn.
    pub drawn: Word64,
    /// Fills the page.
    reserved: [u64; 512 - 3 * 8],
    /// The message queue.
    pub letters: [Letter; LETTERS],
    /// For collectives of all ranks.
    pub team: TeamArea,
}

impl Letter {
    const fn empty() -> Self {
        Self { turn: AtomicU64::new(0), envelope: UnsafeCell::new([0; 15]) }
    }
}

impl Mailbox {
    /// With nothing in it.
    pub const fn new() -> Self {
        Self {
            asleep: Word32(AtomicU32::new(0)),
            lock: Word32(AtomicU32::new(0)),
            drawn: Word64(AtomicU64::new(0)),
            reserved: [0; 512 - 3 * 8],
            letters: [const { Letter::empty() }; LETTERS],
            team: TeamArea::new(),
        }
    }
}

impl Default for Mailbox {
    fn default() -> Self {
        Self::new()
    }
}

/// All that a rank shares with its proxy for talking. All zeros but for magic and version make a
/// fresh one. Lies in the rank's window, so it is part of the rank's memory when that is saved:
/// entries not yet taken are not lost.
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
    /// For other ranks.
    pub mailbox: Mailbox,
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Header, state) == 64);
    assert!(offset_of!(Header, submission_tail) == 128);
    assert!(offset_of!(Header, submission_head) == 192);
    assert!(offset_of!(Header, completion_tail) == 256);
    assert!(offset_of!(Header, completion_head) == 320);
    assert!(offset_of!(Header, proxy_asleep) == 384);
    assert!(offset_of!(Header, gate) == 448);
    assert!(offset_of!(Header, inside) == 512);
    assert!(offset_of!(Header, tally) == 576);
    assert!(offset_of!(Header, standing) == 640);
    assert!(offset_of!(Header, park) == 704);
    assert!(offset_of!(Header, parked) == 768);
    assert!(offset_of!(Header, free) == 832);
    assert!(size_of::<Header>() == 896);
    assert!(offset_of!(RuntimeArea, submissions) == 4096);
    assert!(offset_of!(RuntimeArea, completions) == 12288);
    assert!(offset_of!(RuntimeArea, mailbox) == 16384);
    assert!(offset_of!(Mailbox, lock) == 64);
    assert!(offset_of!(Mailbox, drawn) == 128);
    assert!(offset_of!(Mailbox, letters) == 4096);
    assert!(offset_of!(Mailbox, team) == 8192);
    assert!(size_of::<Letter>() == 128);
    assert!(offset_of!(TeamArea, up) == 1024);
    assert!(offset_of!(TeamArea, down) == 2048);
    assert!(offset_of!(TeamArea, arrived) == 2112);
    assert!(offset_of!(TeamArea, released) == 2176);
    assert!(offset_of!(TeamArea, outbox) == 4096);
    assert!(offset_of!(TeamArea, inbox) == 12288);
    assert!(size_of::<TeamArea>() == 20480);
    assert!(size_of::<Mailbox>() == 28672);
    assert!(size_of::<RuntimeArea>() == 45056);
    assert!(1 << ROUNDS >= MAX_RANKS);
};

// SAFETY: the fields are atomics, or cells whose entries are reached only through raw pointers by
// the one side that owns them at that moment according to the indices (see `ring`).
unsafe impl Sync for RuntimeArea {}
// SAFETY: as for the area; its cells are written by the one member or sender whose turn it is.
unsafe impl Sync for Mailbox {}
// SAFETY: as for the mailbox.
unsafe impl Sync for TeamArea {}

impl RuntimeArea {
    /// An area that nobody is attached to.
    pub const fn new() -> Self {
        Self {
            header: Header {
                magic: MAGIC,
                version: PROTOCOL_VERSION,
                host: AtomicU32::new(0),
                state: Word32(AtomicU32::new(JobState::Detached as u32)),
                submission_tail: Word32(AtomicU32::new(0)),
                submission_head: Word32(AtomicU32::new(0)),
                completion_tail: Word32(AtomicU32::new(0)),
                completion_head: Word32(AtomicU32::new(0)),
                proxy_asleep: Word32(AtomicU32::new(0)),
                gate: Word32(AtomicU32::new(0)),
                inside: Word32(AtomicU32::new(0)),
                tally: Tally {
                    put: [const { AtomicU64::new(0) }; 2],
                    get: [const { AtomicU64::new(0) }; 2],
                    accumulate: [const { AtomicU64::new(0) }; 2],
                    rmw: [const { AtomicU64::new(0) }; 2],
                },
                standing: Standing { steps: AtomicU32::new(0), waits: AtomicU32::new(0) },
                park: Word32(AtomicU32::new(0)),
                parked: Word32(AtomicU32::new(0)),
                free: Word64(AtomicU64::new(0)),
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
            completions: UnsafeCell::new(
                [const { Completion { tag: 0, status: 0, value: 0 } }; COMPLETIONS as usize],
            ),
            mailbox: Mailbox::new(),
        }
    }
}

impl Default for RuntimeArea {
    fn default() -> Self {
        Self::new()
    }
}

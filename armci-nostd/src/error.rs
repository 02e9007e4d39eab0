//! What can go wrong: for an application ([`Error`]), with one request ([`Fault`]), and with the
//! proxy ([`ProxyGone`]).

use core::ops::Range;

use crate::shared::ring::IndexJumped;
use crate::wire::request::Opcode;

/// What can go wrong in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No rank has this number.
    #[error("no rank {rank} in a job of {size}")]
    NoRank {
        /// The number.
        rank: usize,
        /// Ranks in the job.
        size: usize,
    },
    /// More elements than there are from the given place to the end of the target's part.
    #[error("{len} elements do not fit into the {room} at that place of rank {rank}")]
    OutOfBounds {
        /// The target.
        rank: u32,
        /// Elements asked for.
        len: usize,
        /// Elements there.
        room: usize,
    },
    /// A shape whose counts, strides or pieces do not go together.
    #[error("{0}")]
    Shape(&'static str),
    /// A rank could not allocate its part.
    #[error(
        "no room for a collective allocation: {bytes} bytes asked for by this rank; \
         give ranks more memory"
    )]
    OutOfMemory {
        /// What this rank asked for.
        bytes: usize,
    },
    /// The operation cannot be done at that place; to ask the proxy for it would fail the job.
    #[error("{0}")]
    Refused(Fault),
    /// A list of ranks that is not one of a group, or a group that cannot be made now.
    #[error("{0}")]
    Group(&'static str),
    /// There is no such mutex, or it is not in the state that the call needs.
    #[error("mutex {mutex} of rank {rank} {problem}")]
    Mutex {
        /// The mutex.
        mutex: usize,
        /// The rank that holds it in its memory.
        rank: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A message is longer than the place for it. It stays in the queue.
    #[error("a message of {len} bytes from rank {from} does not fit into {room} bytes")]
    MessageTooLong {
        /// The sender.
        from: usize,
        /// Its length.
        len: usize,
        /// Bytes that the place has.
        room: usize,
    },
    /// The call waits for what only another rank can bring about, and there is none.
    #[error("this rank is alone: what it waits for will never come")]
    NobodyElse,
    /// The job has failed, because of any rank; the proxy has told the user why.
    #[error("the job has failed")]
    JobFailed,
    /// The proxy is gone.
    #[error(transparent)]
    ProxyGone(#[from] ProxyGone),
    /// The proxy published indices that cannot be.
    #[error("the proxy broke the ring: {0}")]
    Ring(#[from] IndexJumped),
    /// The proxy completed an operation that was not under way.
    #[error("the proxy completed operation {0}, which was not under way")]
    StrayCompletion(u32),
}

/// The proxy is gone: its end of the connection has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the proxy is gone")]
pub struct ProxyGone;

/// Whose memory an address is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The asking rank's.
    Local,
    /// The target's.
    Remote,
}

impl core::fmt::Display for Side {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Local => "own window",
            Self::Remote => "target's public range",
        })
    }
}

/// Why a request is refused: by the proxy, whom it makes fail the job, or by the rank itself before
/// it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No operation has this number.
    #[error("unknown opcode {0}")]
    Opcode(u8),
    /// Flags that do not exist, or not with this operation.
    #[error("flags {flags:#x} do not go with {opcode:?}")]
    Flags {
        /// The flags.
        flags: u8,
        /// The operation.
        opcode: Opcode,
    },
    /// No element type or read-modify-write has this number.
    #[error("unknown kind {kind} for {opcode:?}")]
    Kind {
        /// The number.
        kind: u8,
        /// The operation.
        opcode: Opcode,
    },
    /// A reserved field is not zero.
    #[error("a reserved field is not zero")]
    Reserved,
    /// No such rank in this job.
    #[error("no rank {rank} in a job of {size}")]
    Rank {
        /// The rank asked for.
        rank: u32,
        /// Ranks in the job.
        size: usize,
    },
    /// Bytes outside of the memory that may be touched.
    #[error("{len} bytes at {address:#x} are outside of the {side} {start:#x}..{end:#x}")]
    Range {
        /// Whose memory.
        side: Side,
        /// First address.
        address: u64,
        /// Bytes.
        len: u64,
        /// First address that may be touched.
        start: u64,
        /// The address after the last that may be touched.
        end: u64,
    },
    /// An address that is not a multiple of the element's alignment.
    #[error("address {address:#x} is not a multiple of {align}")]
    Misaligned {
        /// The address.
        address: u64,
        /// What it must be a multiple of.
        align: usize,
    },
    /// A length that is not a whole number of elements, or does not fit the operation.
    #[error("{len} bytes do not go with {opcode:?}")]
    Length {
        /// The length.
        len: u64,
        /// The operation.
        opcode: Opcode,
    },
}

impl Fault {
    /// Checks that `len` bytes at `address` lie in `range`, which is the memory that may be touched
    /// on that side. No bytes at all may have any address, null included.
    pub(crate) fn check_range(
        side: Side,
        address: u64,
        len: u64,
        range: &Range<u64>,
    ) -> Result<(), Self> {
        match address.checked_add(len) {
            _ if len == 0 => Ok(()),
            Some(end) if address >= range.start && end <= range.end => Ok(()),
            _ => Err(Self::Range { side, address, len, start: range.start, end: range.end }),
        }
    }
}

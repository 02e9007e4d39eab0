//! What a rank and its proxy say to each other.
//!
//! Everything here is shared by the guest, the hosted rank and the proxy, and is described for
//! other implementers in `docs/protocol.md`. The ring has fixed little-endian layouts, asserted at
//! compile time, because its entries are read from memory that the other side may be changing;
//! messages that are sent once, at attach, are [`attach`] messages in postcard.

pub mod area;
pub mod attach;
pub mod request;

pub use area::{Header, JobState, Mailbox, RuntimeArea, TeamArea};
pub use request::{AccKind, Completion, Flags, Opcode, Request, RmwKind, Status};

/// Version of the ring layout and of the attach messages. Both sides must agree exactly.
pub const PROTOCOL_VERSION: u32 = 2;

/// Entries of the submission ring. A power of two.
pub const SUBMISSIONS: u32 = 128;

/// Entries of the completion ring. A power of two, at least [`SUBMISSIONS`], so that a rank that
/// keeps no more than [`SUBMISSIONS`] operations under way can never make the proxy find it full.
pub const COMPLETIONS: u32 = 256;

/// Most ranks that a job may have. The ring has room for more; this bounds what a message can make
/// a proxy allocate.
pub const MAX_RANKS: u32 = 65_536;

//! Numbers on which both sides must agree.

/// Version of the ring layout and of the attach messages. Both sides must agree exactly.
pub const PROTOCOL_VERSION: u32 = 5;

/// Entries of the submission ring. A power of two.
pub const SUBMISSIONS: u32 = 128;

/// Entries of the completion ring. A power of two, at least [`SUBMISSIONS`], so that a rank that
/// keeps no more than [`SUBMISSIONS`] operations under way can never make the proxy find it full.
pub const COMPLETIONS: u32 = 256;

/// Most ranks that a job may have. The ring has room for more; this bounds what a message can make
/// a proxy allocate.
pub const MAX_RANKS: u32 = 65_536;

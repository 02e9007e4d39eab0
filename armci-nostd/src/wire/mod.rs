//! What a rank and its proxy say to each other.
//!
//! Everything here is shared by the guest, the hosted rank and the proxy, and is described for
//! other implementers in `docs/protocol.md`. The [ring's entries](request) and the [memory that
//! both sides use](area) have fixed little-endian layouts, asserted at compile time, because they
//! are read while the other side may be changing them; messages that are sent once, at attach, are
//! [`attach`] messages in postcard.

pub mod area;
pub mod attach;
pub mod landing;
pub mod limits;
pub mod request;

pub use area::{Header, JobState, Mailbox, RuntimeArea, TeamArea};
pub use landing::{LANDING_DOMAINS, LandingPages, NO_DOMAIN, XenLanding};
pub use limits::{COMPLETIONS, MAX_RANKS, PROTOCOL_VERSION, SUBMISSIONS};
pub use request::{AccKind, Completion, Flags, Opcode, Request, RmwKind, Status};

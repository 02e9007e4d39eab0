//! How proxies, and `pgas` and proxies, know that the other side belongs to them.
//!
//! Whoever connects says in a header what it wants, and then both prove that they know a secret,
//! by Noise (pattern NNpsk0): `docs/protocol.md` has the bytes. A client's connection is encrypted
//! from then on; one between proxies is not, so that the fabric loses no time.
//!
//! ```text
//! secret      what only members know
//! header      what is said first, as bytes
//! handshake   what both sides prove, and by which messages; no I/O
//! connection  both sides of it over TCP, within a time
//! tcp         how soon a dead host is noticed
//! member      what it was for: a stream that belongs to a member
//! bridge      encrypted bytes on one side, a local socket on the other
//! error       why somebody is no member
//! ```

mod bridge;
mod connection;
mod error;
mod handshake;
mod header;
mod member;
mod secret;
mod tcp;
#[cfg(test)]
mod tests;

pub use connection::{accept, connect};
pub use error::MembershipError;
pub use handshake::{
    ANSWER_LENGTH, CONFIRMATION_LENGTH, Dialler, FIRST_LENGTH, Responder, Session,
};
pub use header::{HEADER_LENGTH, HeaderError, Purpose, VERSION};
pub use member::Member;
pub use secret::Secret;

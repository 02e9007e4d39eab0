//! How proxies, and `pgas` and proxies, know that the other side belongs to them.

mod secret;

use std::io;
use std::net::TcpStream;

pub use secret::Secret;

/// What a member connects for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A part of a job talks with another.
    Fabric {
        /// The job.
        job: String,
        /// The host that connects.
        from: u32,
    },
}

/// Why there is no connection with a member. `Display` is the whole line for the user.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// The address means nothing.
    #[error("{address} is no address: {source}: it has the form HOST:PORT")]
    Unresolved {
        /// What was to be reached.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// Nobody is there.
    #[error("{address} cannot be reached: {source}")]
    Unreachable {
        /// What was to be reached.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// It has said what members do not say.
    #[error("{address} is not a dom0-proxy: {why}")]
    Stranger {
        /// The other side.
        address: String,
        /// What is wrong.
        why: String,
    },
    /// It has another secret, or none.
    #[error("{address} does not know this secret: both sides must have the same")]
    WrongSecret {
        /// The other side.
        address: String,
    },
    /// It is of another version.
    #[error("{address} is of another version: install the same Xenolith on all hosts")]
    OtherVersion {
        /// The other side.
        address: String,
    },
}

/// A connection with a member.
#[derive(Debug)]
pub struct Member(TcpStream);

impl Member {
    /// The connection itself.
    pub fn into_plain(self) -> TcpStream {
        self.0
    }
}

/// Connects with a member. Nothing is proved yet.
pub fn connect(
    address: &str,
    secret: &Secret,
    _purpose: &Purpose,
) -> Result<Member, MembershipError> {
    let _ = secret.bytes();
    let unreachable = |source| MembershipError::Unreachable { address: address.into(), source };
    TcpStream::connect(address).map(Member).map_err(unreachable)
}

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

/// Why there is no connection with a member.
pub type MembershipError = io::Error;

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
    TcpStream::connect(address).map(Member)
}

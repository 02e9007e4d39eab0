//! Why somebody is no member.

use std::io;

use super::header::HeaderError;
use crate::error::Error;

/// Why there is no member at the other end. `Display` is the whole line for the user.
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
    #[error(
        "{address} cannot be reached: {source}: \
         is the host up, and does its dom0-proxy listen there (dom0-proxy --listen)?"
    )]
    Unreachable {
        /// What was to be reached.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// It takes too long to prove that it is a member.
    #[error("{address} has connected, but did not prove in time that it knows the secret")]
    Silent {
        /// The other side.
        address: String,
    },
    /// It has hung up before it has proved that it is a member.
    #[error("{address} has closed the connection before it has proved that it knows the secret")]
    Closed {
        /// The other side.
        address: String,
    },
    /// It has said what members do not say.
    #[error("{address} is not a dom0-proxy or pgas of ours: {why}")]
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
    /// There is no such job where it was looked for; it may come yet.
    #[error("there is no job {job} for {address}")]
    UnknownJob {
        /// The other side.
        address: String,
        /// The job's name.
        job: String,
    },
    /// No job has such a name.
    #[error("{address} was not asked: {source}")]
    BadName {
        /// What was to be reached.
        address: String,
        /// What is wrong with it.
        source: HeaderError,
    },
    /// The system refused something.
    #[error("talk with {address}: {source}")]
    Io {
        /// The other side.
        address: String,
        /// Why it did not work.
        source: io::Error,
    },
}

impl MembershipError {
    /// Of a connection to `address` that has broken during the handshake.
    pub(super) fn broken(address: &str, source: io::Error) -> Self {
        let address = address.to_owned();
        match source.kind() {
            io::ErrorKind::TimedOut => Self::Silent { address },
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => Self::Closed { address },
            io::ErrorKind::InvalidData => Self::Stranger { address, why: source.to_string() },
            _ => Self::Io { address, source },
        }
    }

    /// Of a message of `address` that Noise does not take.
    pub(super) fn undecipherable(address: &str, error: &snow::Error) -> Self {
        let address = address.to_owned();
        match error {
            snow::Error::Decrypt => Self::WrongSecret { address },
            error => Self::Stranger { address, why: error.to_string() },
        }
    }
}

impl From<MembershipError> for Error {
    fn from(error: MembershipError) -> Self {
        Self::NoMember(error.to_string())
    }
}

//! A stream that belongs to a member.

use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use super::bridge;
use super::handshake::Session;
use super::tcp;

/// A connection whose other side has proved that it is a member, and knows that this side is one.
#[derive(Debug)]
pub struct Member {
    stream: TcpStream,
    session: Session,
}

impl Member {
    pub(super) fn new(stream: TcpStream, session: Session) -> Self {
        Self { stream, session }
    }

    /// The stream as it is, for the fabric: from here on **nothing on it is encrypted or signed**.
    /// Both sides have proved what they are as it began; whoever can read what passes between the
    /// hosts reads it, and whoever can change that changes it.
    pub fn into_plain(self) -> TcpStream {
        self.stream
    }

    /// One end of a local socket. What is written there the other member reads, and the other way
    /// round; between the hosts it is encrypted. An end of what is written, by `shutdown` or by the
    /// end of the process, arrives as such.
    ///
    /// When the connection breaks, or somebody has changed what passes, the local socket ends.
    pub fn bridge(self) -> io::Result<UnixStream> {
        tcp::make_room(&self.stream)?;
        bridge::start(self.stream, self.session)
    }
}

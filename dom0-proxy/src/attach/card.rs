//! What the ranks of a job that are processes are told of each other.

use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use armci_nostd::wire::attach::{self, Introduction, WindowLayout};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

/// What other ranks need to reach a rank's memory, and the connection on which the rank is told of
/// others.
#[derive(Debug)]
pub(super) struct Card {
    /// Where its memory is, by its own addresses.
    pub layout: WindowLayout,
    /// Its memory.
    pub window: OwnedFd,
    /// Its doorbell.
    pub to_rank: Arc<OwnedFd>,
    /// The rank's connection. It stays open as long as the card lives: by that the rank sees that
    /// its proxy does.
    pub stream: UnixStream,
}

impl Card {
    /// Tells this rank of another one.
    pub fn introduce(&self, rank: u32, other: &Self) -> io::Result<()> {
        let introduction = Introduction { rank, layout: other.layout };
        let frame = attach::encode(&introduction).map_err(io::Error::other)?;
        let fds = [other.window.as_fd(), other.to_rank.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::Error::other("no room for the file descriptors"));
        }
        let bytes = [IoSlice::new(&frame)];
        let sent = rustix::net::sendmsg(&self.stream, &bytes, &mut ancillary, SendFlags::NOSIGNAL)?;
        (&self.stream).write_all(&frame[sent..])
    }
}

//! What the ranks of a job that are processes are told of each other.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use armci_nostd::hosted::frame;
use armci_nostd::wire::attach::{Introduction, WindowLayout};
use rustix::net::sockopt::set_socket_send_buffer_size;

/// What other ranks need to reach a rank's memory, and the connection on which the rank is told of
/// others.
#[derive(Debug)]
pub(super) struct Card {
    /// Where its memory is, by its own addresses.
    layout: WindowLayout,
    /// Its memory.
    window: OwnedFd,
    /// Its doorbell.
    to_rank: Arc<OwnedFd>,
    /// The rank's connection. It stays open as long as the card lives: by that the rank sees that
    /// its proxy does.
    stream: UnixStream,
}

/// Messages to a rank that it has not read yet take no more than this, which the kernel raises to
/// its own minimum: a few messages.
const UNREAD: usize = 1;

impl Card {
    /// Puts it together, and keeps what is on its way to the rank short.
    pub fn new(
        layout: WindowLayout,
        window: OwnedFd,
        to_rank: Arc<OwnedFd>,
        stream: UnixStream,
    ) -> io::Result<Self> {
        set_socket_send_buffer_size(&stream, UNREAD)?;
        Ok(Self { layout, window, to_rank, stream })
    }

    /// Tells this rank of another one, without waiting.
    pub fn introduce(&self, rank: u32, other: &Self) -> io::Result<()> {
        let introduction = Introduction { rank, layout: other.layout };
        frame::try_send(&self.stream, &introduction, &[other.window.as_fd(), other.to_rank.as_fd()])
    }
}

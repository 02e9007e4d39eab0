//! What the ranks of a job that are processes are told of each other.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use armci_nostd::hosted::frame;
use armci_nostd::wire::attach::{Introduction, WindowLayout};

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
        frame::send(&self.stream, &introduction, &[other.window.as_fd(), other.to_rank.as_fd()])
    }
}

//! A connection to the proxy of one other host.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

/// Carries bytes to the proxy of another host and back, whole and in order, without ever waiting.
pub(crate) trait Link: fmt::Debug + Send {
    /// What was received and not taken yet, and where to append what is to be sent.
    fn buffers(&mut self) -> (&mut [u8], &mut Vec<u8>);

    /// Bytes that were appended and are not on their way yet.
    fn unsent(&self) -> usize;

    /// Sends and receives as much as goes now. Whether that was anything.
    ///
    /// # Errors
    /// When the connection is broken.
    fn carry(&mut self) -> io::Result<bool>;

    /// Takes as many bytes of what was received.
    fn take(&mut self, count: usize);

    /// Whether the other side sends nothing any more.
    fn has_ended(&self) -> bool;

    /// Becomes readable when something has come, and writable when there is room.
    fn fd(&self) -> BorrowedFd<'_>;
}

//! A link that is a TCP connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use super::frame::{HEAD, MAX_BODY};
use super::link::Link;

/// Room for what is received: two frames of the longest.
const ROOM: usize = 2 * (HEAD + MAX_BODY);

/// Sent bytes are forgotten when they are as many as this.
const FORGET: usize = 1 << 20;

/// A TCP connection that does not block.
#[derive(Debug)]
pub(crate) struct TcpLink {
    stream: TcpStream,
    /// What was appended, of which `sent` bytes are on their way.
    outgoing: Vec<u8>,
    sent: usize,
    /// Of which those from `taken` to `filled` were received and not taken.
    incoming: Box<[u8]>,
    taken: usize,
    filled: usize,
    has_ended: bool,
}

impl TcpLink {
    /// Over this connection.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            outgoing: Vec::new(),
            sent: 0,
            incoming: vec![0; ROOM].into_boxed_slice(),
            taken: 0,
            filled: 0,
            has_ended: false,
        })
    }

    fn send(&mut self) -> io::Result<bool> {
        let mut worked = false;
        while self.sent < self.outgoing.len() {
            match self.stream.write(&self.outgoing[self.sent..]) {
                Ok(count) => (self.sent, worked) = (self.sent + count, true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if self.sent == self.outgoing.len() || self.sent >= FORGET {
            self.outgoing.drain(..self.sent);
            self.sent = 0;
        }
        Ok(worked)
    }

    fn receive(&mut self) -> io::Result<bool> {
        if self.taken == self.filled {
            (self.taken, self.filled) = (0, 0);
        } else if self.incoming.len() - self.filled < HEAD + MAX_BODY {
            self.incoming.copy_within(self.taken..self.filled, 0);
            (self.taken, self.filled) = (0, self.filled - self.taken);
        }
        let mut worked = false;
        while self.filled < self.incoming.len() && !self.has_ended {
            match self.stream.read(&mut self.incoming[self.filled..]) {
                Ok(0) => (self.has_ended, worked) = (true, true),
                Ok(count) => {
                    (self.filled, worked) = (self.filled + count, true);
                    if self.filled < self.incoming.len() {
                        // There is no more, most likely.
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(worked)
    }
}

impl Link for TcpLink {
    fn buffers(&mut self) -> (&mut [u8], &mut Vec<u8>) {
        (&mut self.incoming[self.taken..self.filled], &mut self.outgoing)
    }

    fn unsent(&self) -> usize {
        self.outgoing.len() - self.sent
    }

    fn carry(&mut self) -> io::Result<bool> {
        let sent = self.send()?;
        Ok(self.receive()? || sent)
    }

    fn take(&mut self, count: usize) {
        self.taken = (self.taken + count).min(self.filled);
    }

    fn has_ended(&self) -> bool {
        self.has_ended
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

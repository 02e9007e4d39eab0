//! One thing that ranks write to.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::io::ioctl_fionread;

use crate::control::OutputStream;
use crate::xen::{ConsolePage, Unread};

/// A pipe of a process, or the console of a domain.
#[derive(Debug)]
pub struct Source {
    /// The rank that writes.
    pub rank: u32,
    /// Which of its outputs that is.
    pub stream: OutputStream,
    /// What is read. It does not block.
    pub file: File,
    kind: SourceKind,
    /// Bytes read so far, as a console's page counts them.
    read: u32,
    /// What is still to be read, once that is certain.
    left: Option<u64>,
    /// Where the rank stood still, until all is read that it had written by then.
    line: Option<LineMark>,
}

/// How far a domain had written when it stood still at a recovery line.
#[derive(Debug)]
struct LineMark {
    /// All that it had written, modulo 2^32.
    written: u32,
    /// What of that was in the ring.
    ring: Unread,
}

/// What a console's page is asked.
pub trait RingPage: fmt::Debug + Send {
    /// Bytes that the domain says it has written, modulo 2^32.
    fn written(&self) -> u32;

    /// What of that is in the ring.
    fn unread(&self) -> Unread;

    /// Asks the domain to write nothing more for now, or allows it again.
    fn hold(&self, held: bool);
}

impl RingPage for ConsolePage {
    fn written(&self) -> u32 {
        self.written()
    }

    fn unread(&self) -> Unread {
        self.unread()
    }

    fn hold(&self, held: bool) {
        self.hold(held);
    }
}

#[derive(Debug)]
enum SourceKind {
    Pipe,
    /// With the page where the domain's kernel counts what it has written, as long as that matters.
    Console(Option<Box<dyn RingPage>>),
}

/// What one look at a source has found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Bytes: how many.
    Bytes(usize),
    /// None for now.
    Nothing,
    /// The end.
    End,
}

impl Source {
    /// A pipe of which nothing has been read.
    pub fn pipe(rank: u32, stream: OutputStream, fd: OwnedFd) -> Self {
        Self::new(rank, stream, fd, SourceKind::Pipe)
    }

    /// A console of which nothing has been read.
    pub fn console(rank: u32, fd: OwnedFd, page: Option<Box<dyn RingPage>>) -> Self {
        Self::new(rank, OutputStream::Output, fd, SourceKind::Console(page))
    }

    fn new(rank: u32, stream: OutputStream, fd: OwnedFd, kind: SourceKind) -> Self {
        Self { rank, stream, file: fd.into(), kind, read: 0, left: None, line: None }
    }

    /// Whether it is a domain's.
    pub fn is_console(&self) -> bool {
        matches!(self.kind, SourceKind::Console(_))
    }

    /// Asks a domain's kernel to write nothing more for now, or allows it again. (A process waits
    /// by itself when its pipe is full.)
    pub fn hold(&self, held: bool) {
        if let SourceKind::Console(Some(page)) = &self.kind {
            page.hold(held);
        }
    }

    /// Begins where another source of the same console has ended.
    pub fn go_on_from(&mut self, read: u32) {
        self.read = read;
    }

    /// Bytes read so far, modulo 2^32, with those that other sources have read before.
    pub fn read_so_far(&self) -> u32 {
        self.read
    }

    /// The rank stands still at a recovery line: notes how far it has written. Where nobody knows
    /// that, it is as far as was read.
    pub fn note_line(&mut self) {
        if let SourceKind::Console(Some(page)) = &self.kind {
            self.line = Some(LineMark { ring: page.unread(), written: page.written() });
        }
    }

    /// Bytes from before the line that is noted, which are still to be read.
    pub fn before_line(&self) -> u32 {
        // Negative when more has come than the domain says: it can say what it likes.
        let left = |line: &LineMark| line.written.wrapping_sub(self.read) as i32;
        self.line.as_ref().map(left).unwrap_or(0).max(0) as u32
    }

    /// Reads on behind the line. What had been written before and nobody has been able to read is
    /// given: it is in the ring as it was.
    pub fn leave_line(&mut self) -> Vec<u8> {
        let left = self.before_line() as usize;
        let Some(LineMark { ring, .. }) = self.line.take() else { return Vec::new() };
        // What xenconsoled has taken meanwhile it may still pass on.
        let SourceKind::Console(Some(page)) = &self.kind else { return Vec::new() };
        let taken = page.unread().from.wrapping_sub(ring.from) as usize;
        let unread = ring.bytes.get(taken..).unwrap_or_default();
        unread[unread.len().saturating_sub(left)..].to_vec()
    }

    /// Reads a piece, which does not go over a line that is noted. Once [all is
    /// counted](Self::count_pipe), no more than is counted.
    pub fn read(&mut self, buffer: &mut [u8]) -> Found {
        let most = self.left.map_or(buffer.len(), |left| buffer.len().min(left as usize));
        let most = if self.line.is_some() { most.min(self.before_line() as usize) } else { most };
        if most == 0 {
            return Found::Nothing;
        }
        match self.file.read(&mut buffer[..most]) {
            Ok(0) => Found::End,
            Ok(count) => {
                self.read = self.read.wrapping_add(count as u32);
                self.left = self.left.map(|left| left - count as u64);
                Found::Bytes(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Found::Nothing,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Found::Bytes(0),
            // A terminal whose other side has been closed says EIO.
            Err(_) => Found::End,
        }
    }

    /// Counts what the rank has written to its console by now: all that is still to be read. The
    /// page is given back, or its domain could not go.
    pub fn count_console(&mut self) {
        if let SourceKind::Console(page) = &mut self.kind
            && let Some(page) = page.take()
        {
            // Negative when more has come than the domain says: it can say what it likes.
            let left = page.written().wrapping_sub(self.read) as i32;
            self.left = Some(left.max(0) as u64);
        }
    }

    /// Counts what is in the pipe: all that is still to be read, when whoever belongs to the job
    /// has ended. Others may have kept the other end, and may write forever.
    pub fn count_pipe(&mut self) {
        self.left = Some(ioctl_fionread(&self.file).unwrap_or(0));
    }

    /// How many bytes are still to be read; `None` while that is not certain.
    pub fn left(&self) -> Option<u64> {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_write_to_a_pipe_later_is_not_waited_for() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut source = Source::pipe(0, OutputStream::Output, reader);
        rustix::io::write(&writer, b"the rank's").unwrap();
        source.count_pipe();
        rustix::io::write(&writer, b"a stranger's").unwrap();
        let mut buffer = [0; 64];
        assert_eq!(source.read(&mut buffer[..4]), Found::Bytes(4));
        assert_eq!(source.read(&mut buffer), Found::Bytes(6));
        assert_eq!(source.read(&mut buffer), Found::Nothing);
        assert_eq!(source.left(), Some(0));
    }
}

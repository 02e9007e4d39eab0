//! One thing that ranks write to.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::io::ioctl_fionread;

use crate::control::OutputStream;
use crate::xen::ConsolePage;

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
}

#[derive(Debug)]
enum SourceKind {
    Pipe,
    /// With the page where the domain's kernel counts what it has written, as long as that matters.
    Console(Option<ConsolePage>),
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
        Self { rank, stream, file: fd.into(), kind: SourceKind::Pipe, read: 0, left: None }
    }

    /// A console of which nothing has been read.
    pub fn console(rank: u32, fd: OwnedFd, page: Option<ConsolePage>) -> Self {
        let (stream, kind) = (OutputStream::Output, SourceKind::Console(page));
        Self { rank, stream, file: fd.into(), kind, read: 0, left: None }
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

    /// Reads a piece. Once [all is counted](Self::count_pipe), no more than is counted.
    pub fn read(&mut self, buffer: &mut [u8]) -> Found {
        let most = self.left.map_or(buffer.len(), |left| buffer.len().min(left as usize));
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

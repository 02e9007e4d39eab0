//! The file descriptors of a C program: 0 to 2 are the console, the others read-only files.

use alloc::vec::Vec;

use super::linux_abi::{Errno, FileKind};

/// File descriptors that stand for the console: standard input, output and error.
const CONSOLE: u64 = 3;
/// Files that may be open at a time.
const MOST: usize = 256;

/// All open files.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    /// From file descriptor [`CONSOLE`] on.
    open: Vec<Option<OpenFile>>,
}

#[derive(Clone, Copy, Debug)]
struct OpenFile {
    content: &'static [u8],
    /// Where to read next; may lie behind the end.
    position: u64,
}

impl OpenFiles {
    pub(crate) const fn new() -> Self {
        OpenFiles { open: Vec::new() }
    }

    /// Opens a file of this content; gives its descriptor, the lowest that is free.
    pub(crate) fn open(&mut self, content: &'static [u8]) -> Result<u64, Errno> {
        let file = Some(OpenFile { content, position: 0 });
        let free = self.open.iter().position(Option::is_none);
        let index = match free {
            Some(index) => {
                self.open[index] = file;
                index
            }
            None if self.open.len() == MOST => return Err(Errno::TOO_MANY_FILES),
            None => {
                self.open.push(file);
                self.open.len() - 1
            }
        };
        Ok(CONSOLE + index as u64)
    }

    /// Closes a file. The console stays open.
    pub(crate) fn close(&mut self, descriptor: u64) -> Result<(), Errno> {
        if descriptor >= CONSOLE {
            self.file(descriptor)?;
            self.open[(descriptor - CONSOLE) as usize] = None;
        }
        Ok(())
    }

    /// What the descriptor stands for.
    pub(crate) fn kind(&mut self, descriptor: u64) -> Result<FileKind, Errno> {
        if descriptor < CONSOLE {
            return Ok(FileKind::Console);
        }
        self.file(descriptor).map(|file| FileKind::File(file.content.len() as u64))
    }

    /// The next bytes, `len` at most. The console has none.
    pub(crate) fn read(&mut self, descriptor: u64, len: u64) -> Result<&'static [u8], Errno> {
        if descriptor < CONSOLE {
            return Ok(&[]);
        }
        let file = self.file(descriptor)?;
        let rest =
            usize::try_from(file.position).ok().and_then(|position| file.content.get(position..));
        let rest = rest.unwrap_or_default();
        let read = &rest[..rest.len().min(usize::try_from(len).unwrap_or(usize::MAX))];
        file.position += read.len() as u64;
        Ok(read)
    }

    /// Sets where to read next: `offset` from the start (0), from there (1) or from the end (2).
    /// The new position.
    pub(crate) fn seek(&mut self, descriptor: u64, offset: i64, from: u64) -> Result<u64, Errno> {
        if descriptor < CONSOLE {
            return Err(Errno::NO_SEEK);
        }
        let file = self.file(descriptor)?;
        let base = match from {
            0 => 0,
            1 => file.position,
            2 => file.content.len() as u64,
            _ => return Err(Errno::INVALID),
        };
        let position =
            base.checked_add_signed(offset).filter(|position| i64::try_from(*position).is_ok());
        file.position = position.ok_or(Errno::INVALID)?;
        Ok(file.position)
    }

    fn file(&mut self, descriptor: u64) -> Result<&mut OpenFile, Errno> {
        let index = descriptor.checked_sub(CONSOLE).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.open.get_mut(index)?.as_mut()).ok_or(Errno::BAD_FILE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_to_their_end() {
        let mut files = OpenFiles::new();
        let file = files.open(b"hello").unwrap();
        assert_eq!(file, 3);
        assert_eq!(files.kind(file), Ok(FileKind::File(5)));
        assert_eq!(files.read(file, 2), Ok(&b"he"[..]));
        assert_eq!(files.read(file, 99), Ok(&b"llo"[..]));
        assert_eq!(files.read(file, u64::MAX), Ok(&b""[..]));
    }

    #[test]
    fn positions_are_set_as_c_wants_it() {
        let mut files = OpenFiles::new();
        let file = files.open(b"hello").unwrap();
        assert_eq!(files.seek(file, -1, 2), Ok(4));
        assert_eq!(files.read(file, 9), Ok(&b"o"[..]));
        assert_eq!(files.seek(file, -4, 1), Ok(1));
        assert_eq!(files.seek(file, 100, 0), Ok(100));
        assert_eq!(files.read(file, 9), Ok(&b""[..]));
        assert_eq!(files.seek(file, -101, 1), Err(Errno::INVALID));
        assert_eq!(files.seek(file, i64::MAX, 1), Err(Errno::INVALID));
        assert_eq!(files.seek(file, 0, 3), Err(Errno::INVALID));
        assert_eq!(files.seek(1, 0, 0), Err(Errno::NO_SEEK));
    }

    #[test]
    fn descriptors_are_used_again() {
        let mut files = OpenFiles::new();
        let all: Vec<u64> = (0..MOST).map(|_| files.open(b"").unwrap()).collect();
        assert_eq!(files.open(b""), Err(Errno::TOO_MANY_FILES));
        assert_eq!(files.close(all[7]), Ok(()));
        assert_eq!(files.close(all[7]), Err(Errno::BAD_FILE));
        assert_eq!(files.open(b""), Ok(all[7]));
        assert_eq!(files.close(u64::MAX), Err(Errno::BAD_FILE));
    }

    #[test]
    fn the_console_has_nothing_to_read() {
        let mut files = OpenFiles::new();
        assert_eq!(files.read(0, 10), Ok(&b""[..]));
        assert_eq!(files.close(1), Ok(()));
        assert_eq!(files.kind(1), Ok(FileKind::Console));
        assert_eq!(files.kind(3), Err(Errno::BAD_FILE));
    }
}

//! Writes archives in the "newc" format of cpio, the one that Linux unpacks as an initramfs.
//!
//! Owner of everything is root and times are zero, whoever runs this: no `fakeroot` is needed, and
//! equal input gives equal bytes. Archives may be put one after another; Linux unpacks them all,
//! later files over earlier ones.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const TRAILER: &str = "TRAILER!!!";
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

/// An archive being written.
pub struct Archive<W: Write> {
    out: W,
    written: u64,
    next_inode: u32,
    directories: BTreeSet<PathBuf>,
}

/// Permissions of programs.
pub const EXECUTABLE: u32 = 0o755;
/// Permissions of plain files.
pub const READABLE: u32 = 0o644;

impl<W: Write> Archive<W> {
    /// Starts an archive.
    pub fn new(out: W) -> Self {
        Self { out, written: 0, next_inode: 1, directories: BTreeSet::new() }
    }

    /// Adds a directory, and those above it, unless they are there already.
    pub fn directory(&mut self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = relative(path.as_ref());
        if path.as_os_str().is_empty() || self.directories.contains(&path) {
            return Ok(());
        }
        self.parents_of(&path)?;
        self.entry(&path, DIRECTORY | 0o755, 0, (0, 0))?;
        self.directories.insert(path);
        Ok(())
    }

    /// Adds a file with this content.
    pub fn file(
        &mut self,
        path: impl AsRef<Path>,
        permissions: u32,
        content: &[u8],
    ) -> io::Result<()> {
        self.stream(path.as_ref(), permissions, content.len() as u64, content)
    }

    /// Adds a copy of a local file.
    pub fn copy(
        &mut self,
        path: impl AsRef<Path>,
        permissions: u32,
        local: &Path,
    ) -> io::Result<()> {
        let source = File::open(local)?;
        let length = source.metadata()?.len();
        self.stream(path.as_ref(), permissions, length, source)
    }

    /// Adds a copy of a local file, directory or symbolic link, with all below it and the
    /// permissions they have.
    pub fn copy_tree(&mut self, path: impl AsRef<Path>, local: &Path) -> io::Result<()> {
        let path = path.as_ref();
        let metadata = fs::symlink_metadata(local)?;
        if metadata.is_symlink() {
            self.symlink(path, fs::read_link(local)?)
        } else if metadata.is_dir() {
            self.directory(path)?;
            let mut names = fs::read_dir(local)?
                .map(|entry| entry.map(|e| e.file_name()))
                .collect::<io::Result<Vec<_>>>()?;
            names.sort();
            names.iter().try_for_each(|name| self.copy_tree(path.join(name), &local.join(name)))
        } else {
            self.copy(path, metadata.permissions().mode() & 0o777, local)
        }
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> io::Result<()> {
        let target = target.as_ref().as_os_str().as_bytes();
        let path = relative(path.as_ref());
        self.parents_of(&path)?;
        self.entry(&path, SYMLINK | 0o777, target.len() as u64, (0, 0))?;
        self.put(target)?;
        self.pad()
    }

    /// Adds a character device.
    pub fn character_device(
        &mut self,
        path: impl AsRef<Path>,
        major: u32,
        minor: u32,
    ) -> io::Result<()> {
        let path = relative(path.as_ref());
        self.parents_of(&path)?;
        self.entry(&path, CHARACTER | 0o600, 0, (major, minor))
    }

    /// Writes the end of the archive and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.entry(Path::new(TRAILER), 0, 0, (0, 0))?;
        let rest = (512 - self.written % 512) % 512;
        self.put(&vec![0; rest as usize])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn parents_of(&mut self, path: &Path) -> io::Result<()> {
        path.parent().map_or(Ok(()), |parent| self.directory(parent))
    }

    fn stream(
        &mut self,
        path: &Path,
        permissions: u32,
        length: u64,
        content: impl Read,
    ) -> io::Result<()> {
        let path = relative(path);
        self.parents_of(&path)?;
        self.entry(&path, REGULAR | permissions, length, (0, 0))?;
        let copied = io::copy(&mut content.take(length), &mut self.out)?;
        self.written += copied;
        if copied != length {
            return Err(io::Error::other(format!("{} shrank while it was copied", path.display())));
        }
        self.pad()
    }

    fn entry(&mut self, path: &Path, mode: u32, length: u64, device: (u32, u32)) -> io::Result<()> {
        let length = u32::try_from(length).map_err(|_| {
            io::Error::other(format!("{} is over 4 GiB, too long for cpio", path.display()))
        })?;
        let name = path.as_os_str().as_bytes();
        let inode = self.next_inode;
        self.next_inode += 1;
        let links = if mode & 0o170_000 == DIRECTORY { 2 } else { 1 };
        let fields = [
            inode,
            mode,
            0, // user
            0, // group
            links,
            0, // time
            length,
            0, // device holding the file
            0,
            device.0,
            device.1,
            name.len() as u32 + 1,
            0, // checksum
        ];
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08x}"));
        }
        self.put(header.as_bytes())?;
        self.put(name)?;
        self.put(&[0])?;
        self.pad()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn pad(&mut self) -> io::Result<()> {
        let rest = (4 - self.written % 4) % 4;
        self.put(&[0; 3][..rest as usize])
    }
}

/// Names in an archive have no leading slash.
fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(archive: &[u8]) -> Vec<String> {
        let number = |at: usize| {
            usize::from_str_radix(std::str::from_utf8(&archive[at..at + 8]).unwrap(), 16).unwrap()
        };
        let mut names = Vec::new();
        let mut at = 0;
        loop {
            assert_eq!(&archive[at..at + 6], b"070701", "at {at}");
            let (length, name_length) = (number(at + 54), number(at + 94));
            let name = &archive[at + 110..at + 110 + name_length - 1];
            names.push(String::from_utf8(name.to_vec()).unwrap());
            if name == TRAILER.as_bytes() {
                return names;
            }
            at = (at + 110 + name_length).next_multiple_of(4);
            at = (at + length).next_multiple_of(4);
        }
    }

    #[test]
    fn directories_come_before_what_is_in_them_and_once() {
        let mut archive = Archive::new(Vec::new());
        archive.file("/a/b/one", READABLE, b"12345").unwrap();
        archive.symlink("a/b/two", "one").unwrap();
        archive.character_device("dev/null", 1, 3).unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 512, 0);
        assert_eq!(names(&bytes), ["a", "a/b", "a/b/one", "a/b/two", "dev", "dev/null", TRAILER]);
    }

    #[test]
    fn a_tree_is_copied_in_order_of_name() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("d")).unwrap();
        fs::write(tree.path().join("d/y"), "y").unwrap();
        fs::write(tree.path().join("d/x"), "x").unwrap();
        let mut archive = Archive::new(Vec::new());
        archive.copy_tree("t", tree.path()).unwrap();
        assert_eq!(names(&archive.finish().unwrap()), ["t", "t/d", "t/d/x", "t/d/y", TRAILER]);
    }
}

//! Archives in the "newc" format of cpio, the one that Linux unpacks as an initramfs.
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

use cpio::newc::{self, Builder, ModeFileType};

/// Permissions of programs and of most directories.
pub const EXECUTABLE: u32 = 0o755;
/// Permissions of plain files.
pub const READABLE: u32 = 0o644;

/// The name of an archive's last entry.
const TRAILER: &str = "TRAILER!!!";

/// An archive being written.
pub struct Archive<W: Write> {
    out: W,
    next_inode: u32,
    directories: BTreeSet<PathBuf>,
}

impl<W: Write> Archive<W> {
    /// Starts an archive.
    pub fn new(out: W) -> Self {
        Self { out, next_inode: 1, directories: BTreeSet::new() }
    }

    /// Adds a directory, and those above it, unless they are there already.
    pub fn directory(&mut self, path: impl AsRef<Path>) -> io::Result<()> {
        self.directory_with(path, EXECUTABLE)
    }

    /// The same with these permissions for the last of them.
    pub fn directory_with(&mut self, path: impl AsRef<Path>, permissions: u32) -> io::Result<()> {
        let path = relative(path.as_ref());
        if path.as_os_str().is_empty() || self.directories.contains(&path) {
            return Ok(());
        }
        let entry = self.entry(&path)?.mode(permissions).nlink(2);
        self.write(&path, entry.set_mode_file_type(ModeFileType::Directory), 0, io::empty())?;
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
        let entry = self.entry(&path)?.mode(0o777).set_mode_file_type(ModeFileType::Symlink);
        self.write(&path, entry, target.len() as u64, target)
    }

    /// Adds a character device.
    pub fn character_device(
        &mut self,
        path: impl AsRef<Path>,
        major: u32,
        minor: u32,
    ) -> io::Result<()> {
        let path = relative(path.as_ref());
        let entry = self.entry(&path)?.mode(0o600).rdev_major(major).rdev_minor(minor);
        self.write(&path, entry.set_mode_file_type(ModeFileType::Char), 0, io::empty())
    }

    /// Writes the end of the archive and gives the writer back.
    pub fn finish(self) -> io::Result<W> {
        let mut out = newc::trailer(self.out)?;
        out.flush()?;
        Ok(out)
    }

    fn stream(
        &mut self,
        path: &Path,
        permissions: u32,
        length: u64,
        content: impl Read,
    ) -> io::Result<()> {
        let path = relative(path);
        let entry = self.entry(&path)?.mode(permissions);
        self.write(&path, entry.set_mode_file_type(ModeFileType::Regular), length, content)
    }

    /// An entry to be described further. What it lies in is in the archive then.
    fn entry(&mut self, path: &Path) -> io::Result<Builder> {
        if let Some(parent) = path.parent() {
            self.directory(parent)?;
        }
        let name = path.to_str().ok_or_else(|| wrong(path, "has a name that is not UTF-8"))?;
        if name == TRAILER {
            return Err(wrong(path, "cannot be in an archive: its name means the end of one"));
        }
        let inode = self.next_inode;
        self.next_inode += 1;
        Ok(Builder::new(name).ino(inode))
    }

    fn write(
        &mut self,
        path: &Path,
        entry: Builder,
        length: u64,
        content: impl Read,
    ) -> io::Result<()> {
        let size = u32::try_from(length)
            .map_err(|_| wrong(path, "is over 4 GiB, too long for an archive"))?;
        let mut entry = entry.write(&mut self.out, size);
        if io::copy(&mut content.take(length), &mut entry)? != length {
            return Err(wrong(path, "shrank while it was copied"));
        }
        entry.finish().map(drop)
    }
}

fn wrong(path: &Path, why: &str) -> io::Error {
    io::Error::other(format!("{} {why}", path.display()))
}

/// Names in an archive have no leading slash.
fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(mut archive: &[u8]) -> Vec<String> {
        let mut names = Vec::new();
        while names.last().is_none_or(|name| name != TRAILER) {
            let entry = newc::Reader::new(archive).unwrap();
            names.push(entry.entry().name().to_owned());
            archive = entry.finish().unwrap();
        }
        names
    }

    #[test]
    fn directories_come_before_what_is_in_them_and_once() {
        let mut archive = Archive::new(Vec::new());
        archive.file("/a/b/one", READABLE, b"12345").unwrap();
        archive.symlink("a/b/two", "one").unwrap();
        archive.character_device("dev/null", 1, 3).unwrap();
        archive.directory_with("tmp", 0o1777).unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0, "another archive can follow");
        assert_eq!(
            names(&bytes),
            ["a", "a/b", "a/b/one", "a/b/two", "dev", "dev/null", "tmp", TRAILER]
        );
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
    #[test]
    fn entries_are_what_they_should_be() {
        let mut archive = Archive::new(Vec::new());
        archive.directory_with("t", 0o1777).unwrap();
        archive.file("t/f", EXECUTABLE, b"abc").unwrap();
        archive.symlink("t/l", "f").unwrap();
        archive.character_device("t/d", 5, 1).unwrap();
        let bytes = archive.finish().unwrap();
        let mut rest = bytes.as_slice();
        for (mode, device, content) in [
            (0o041_777, (0, 0), ""),
            (0o100_755, (0, 0), "abc"),
            (0o120_777, (0, 0), "f"),
            (0o020_600, (5, 1), ""),
        ] {
            let mut entry = newc::Reader::new(rest).unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let about = entry.entry();
            assert_eq!((about.mode(), about.uid(), about.mtime()), (mode, 0, 0));
            assert_eq!((about.rdev_major(), about.rdev_minor()), device);
            assert_eq!(text, content);
            rest = entry.finish().unwrap();
        }
    }

    #[test]
    fn nothing_but_the_end_has_its_name() {
        let error = Archive::new(Vec::new()).file("/TRAILER!!!", READABLE, b"").unwrap_err();
        assert!(error.to_string().contains("means the end"), "{error}");
    }

    #[test]
    fn a_file_that_shrinks_is_an_error() {
        let mut archive = Archive::new(Vec::new());
        let error = archive.stream(Path::new("f"), READABLE, 4, &b"abc"[..]).unwrap_err();
        assert_eq!(error.to_string(), "f shrank while it was copied");
        let error = archive.stream(Path::new("f"), READABLE, 1 << 32, io::repeat(0)).unwrap_err();
        assert!(error.to_string().contains("4 GiB"), "{error}");
    }
}

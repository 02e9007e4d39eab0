//! The directory, and all that is ever done to files in it.
//!
//! It is held open, so that whatever happens to its path, files are made and found in this one.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};

use super::error::{ImagesError, Result};

/// One change of the directory or of a file in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// An empty file is made.
    Create(&'a str),
    /// Bytes are added to a file.
    Write(&'a str, &'a [u8]),
    /// The bytes of a file are made durable.
    Sync(&'a str),
    /// A file gets another name.
    Rename(&'a str, &'a str),
    /// A file is removed.
    Remove(&'a str),
    /// The names in the directory are made durable.
    SyncFolder,
}

/// Hears of each change before it is made, and may refuse it. For tests.
pub trait Watch: Send + Sync {
    /// This is to be done now.
    ///
    /// # Errors
    /// Then it is not done, as if the system had refused it.
    fn before(&self, step: Step<'_>) -> io::Result<()>;
}

/// The directory, open.
pub struct Folder {
    path: PathBuf,
    open: OwnedFd,
    watch: Option<Arc<dyn Watch>>,
}

impl Folder {
    /// Makes the directory, for this user alone, unless it is there, and opens it.
    pub fn open_or_create(path: &Path, watch: Option<Arc<dyn Watch>>) -> Result<Self> {
        let context = |source| failed("create directory", path, source);
        let path = std::path::absolute(path).map_err(context)?;
        let missing = path.ancestors().take_while(|dir| !dir.exists());
        let missing: Vec<_> = missing.map(Path::to_owned).collect();
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(context)?;
        // What is made durable in it is nowhere if it is not in its parent.
        for parent in missing.iter().filter_map(|dir| dir.parent()) {
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(context)?;
        }
        Self::open(&path, watch)
    }

    /// Opens the directory, unless others could have put into it what they like.
    pub fn open(path: &Path, watch: Option<Arc<dyn Watch>>) -> Result<Self> {
        let path = std::path::absolute(path)
            .map_err(|source| failed("open directory of images", path, source))?;
        let refuse = |why| Err(ImagesError::UnsafeFolder { path: path.clone(), why });
        let user = rustix::process::geteuid().as_raw();
        let context = |source| failed("open directory of images", &path, source);
        let link = std::fs::symlink_metadata(&path).map_err(context)?;
        if link.is_symlink() && ![user, 0].contains(&link.uid()) {
            return refuse("it is another user's link");
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = rustix::fs::open(&path, flags, Mode::empty());
        let open = open.map_err(|error| context(error.into()))?;
        let found = rustix::fs::fstat(&open).map_err(|error| context(error.into()))?;
        if found.st_uid != user {
            return refuse("it belongs to another user");
        }
        if found.st_mode & 0o022 != 0 {
            return refuse("other users can write into it");
        }
        Ok(Self { path, open, watch })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file in it is, for people.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The names of all that is in it.
    pub fn names(&self) -> Result<Vec<String>> {
        let context = |error: rustix::io::Errno| failed("read directory", &self.path, error.into());
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.open).map_err(context)? {
            // Ours are plain ASCII.
            if let Ok(name) = entry.map_err(context)?.file_name().to_str()
                && ![".", ".."].contains(&name)
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Whether nothing at all is in it.
    pub fn is_empty(&self) -> Result<bool> {
        let context = |error: rustix::io::Errno| failed("read directory", &self.path, error.into());
        for entry in Dir::read_from(&self.open).map_err(context)? {
            let entry = entry.map_err(context)?;
            if ![&b"."[..], b".."].contains(&entry.file_name().to_bytes()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Opens a file to be read, if it is one, and this user's.
    pub fn open_file(&self, name: &str) -> Result<File> {
        // Whatever is there in the file's place must not block.
        self.open_with(name, OFlags::RDONLY | OFlags::NONBLOCK)
    }

    /// Opens a file to be locked and written, making it if it is not there.
    pub fn open_lock(&self, name: &str) -> Result<File> {
        self.open_with(name, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CREATE)
    }

    fn open_with(&self, name: &str, flags: OFlags) -> Result<File> {
        let context = |error| failed("open", &self.path_of(name), error);
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.open, name, flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(file.map_err(|error| context(error.into()))?);
        let found = file.metadata().map_err(context)?;
        if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() {
            return Err(self.damaged(name, "it is not a file of this user"));
        }
        Ok(file)
    }

    /// Whether this open file is what has the name now.
    pub fn is_named(&self, file: &File, name: &str) -> bool {
        let here = rustix::fs::statat(&self.open, name, AtFlags::SYMLINK_NOFOLLOW);
        match (here, file.metadata()) {
            (Ok(here), Ok(file)) => (here.st_dev, here.st_ino) == (file.dev(), file.ino()),
            _ => false,
        }
    }

    /// Makes a file, which must not be there yet.
    pub fn create_file(self: &Arc<Self>, name: String) -> Result<NewFile> {
        let context = |error| failed("create", &self.path_of(&name), error);
        self.announce(Step::Create(&name)).map_err(context)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.open, &name, flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(file.map_err(|error| context(error.into()))?);
        Ok(NewFile { folder: Arc::clone(self), name, file })
    }

    /// Gives a file another name, in place of whatever has that.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let done = self
            .announce(Step::Rename(from, to))
            .and_then(|()| Ok(rustix::fs::renameat(&self.open, from, &self.open, to)?));
        done.map_err(|error| failed("rename", &self.path_of(from), error))
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) -> Result<()> {
        let done = self
            .announce(Step::Remove(name))
            .and_then(|()| Ok(rustix::fs::unlinkat(&self.open, name, AtFlags::empty())?));
        match done {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done.map_err(|error| failed("remove", &self.path_of(name), error)),
        }
    }

    /// Makes the names in it durable.
    pub fn sync(&self) -> Result<()> {
        let done = self.announce(Step::SyncFolder);
        let done = done.and_then(|()| Ok(rustix::fs::fsync(&self.open)?));
        done.map_err(|error| failed("sync directory", &self.path, error))
    }

    /// The error that says that a file is damaged.
    pub fn damaged(&self, name: &str, why: impl Into<String>) -> ImagesError {
        ImagesError::Damaged { path: self.path_of(name), why: why.into() }
    }

    /// The error that says that a file could not be read.
    pub fn unreadable(&self, name: &str, source: io::Error) -> ImagesError {
        failed("read", &self.path_of(name), source)
    }

    fn announce(&self, step: Step<'_>) -> io::Result<()> {
        self.watch.as_ref().map_or(Ok(()), |watch| watch.before(step))
    }
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folder").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct NewFile {
    folder: Arc<Folder>,
    name: String,
    file: File,
}

impl NewFile {
    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let done = self.folder.announce(Step::Write(&self.name, bytes));
        let done = done.and_then(|()| self.file.write_all(bytes));
        done.map_err(|error| failed("write", &self.folder.path_of(&self.name), error))
    }

    /// Makes the bytes durable.
    pub fn sync(&self) -> Result<()> {
        let done = self.folder.announce(Step::Sync(&self.name));
        let done = done.and_then(|()| self.file.sync_all());
        done.map_err(|error| failed("sync", &self.folder.path_of(&self.name), error))
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> ImagesError {
    ImagesError::Io { action, path: path.into(), source }
}

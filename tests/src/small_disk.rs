//! A disk that is soon full.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::PathBuf;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A small file system in memory, as long as this is there.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Has `folder`, which is made for `user` alone, or for the one who asks, be a disk of `kib`
    /// KiB. `None` for users who may not mount.
    ///
    /// # Errors
    /// When that fails for another reason.
    pub fn mount(folder: PathBuf, kib: usize, user: Option<u32>) -> Result<Option<Self>> {
        fs::DirBuilder::new().mode(0o700).create(&folder).context("make a folder")?;
        if user.is_some() {
            // What is under the disk, for when that is gone.
            chown(&folder, user, user).context("give a folder away")?;
        }
        let owner = user.map(|user| format!(",uid={user},gid={user}")).unwrap_or_default();
        let data = CString::new(format!("size={kib}k,mode=700{owner}"))?;
        match mount("small-disk", &folder, "tmpfs", MountFlags::NODEV, Some(data.as_c_str())) {
            Ok(()) => Ok(Some(Self { folder })),
            Err(Errno::PERM | Errno::ACCESS | Errno::NODEV) => Ok(None),
            Err(error) => Err(error).context("mount a small disk"),
        }
    }

    /// Leaves no room.
    ///
    /// # Errors
    /// When it cannot be written to for another reason.
    pub fn fill(&self) -> Result<()> {
        let full = |error: std::io::Error| match error.kind() {
            ErrorKind::StorageFull => Ok(()),
            _ => Err(error).context("fill the disk"),
        };
        let mut filler = match File::create(self.filler()) {
            Ok(filler) => filler,
            Err(error) => return full(error),
        };
        loop {
            if let Err(error) = filler.write_all(&[0; 4096]) {
                return full(error);
            }
        }
    }

    /// Takes back what [`fill`](Self::fill) has taken.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn empty(&self) -> Result<()> {
        match fs::remove_file(self.filler()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("empty a disk"),
            _ => Ok(()),
        }
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Files that are open keep it until they are closed.
        let _ = unmount(self.folder.as_path(), UnmountFlags::DETACH);
    }
}

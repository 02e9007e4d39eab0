//! What a run adds to dom0's root file system: the agent, programs, images, scripts.
//!
//! It is packed once, before the first boot: all hosts of a run get the same, whatever is built
//! meanwhile.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::agent;
use crate::cpio::{Archive, EXECUTABLE};
use crate::dom0_image::Dom0Image;
use crate::workspace::Workspace;

/// Directory in dom0 for programs; on PATH.
pub const PROGRAMS: &str = "/opt/xenolith/bin";
/// Directory in dom0 for images; `$XENOLITH_IMAGES`.
pub const IMAGES: &str = "/opt/xenolith/images";

/// This program, which is also the agent. The path is good even if the file has been built anew
/// meanwhile.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// An overlay that is being packed.
pub struct Packing<'a> {
    image: &'a Dom0Image,
    archive: Archive<BufWriter<File>>,
}

impl<'a> Packing<'a> {
    /// Begins with what every run needs.
    pub fn start(workspace: &Workspace, image: &'a Dom0Image) -> Result<Self> {
        let dir = workspace.cache()?;
        // It has no name, so it goes with this process.
        let file = tempfile::tempfile_in(&dir)
            .with_context(|| format!("cannot create a file in {}", dir.display()))?;
        let mut packing = Self { image, archive: Archive::new(BufWriter::new(file)) };
        packing.add_agent().context("cannot pack qemu-ci itself for dom0")?;
        Ok(packing)
    }

    fn add_agent(&mut self) -> Result<()> {
        self.image.check_runs(Path::new(OWN_PROGRAM))?;
        let agent = Path::new("usr/sbin").join(agent::NAME);
        self.archive.copy(&agent, EXECUTABLE, Path::new(OWN_PROGRAM))?;
        self.archive.symlink(Path::new("usr/bin").join(agent::ON), Path::new("/").join(&agent))?;
        self.archive.directory(PROGRAMS)?;
        self.archive.directory(IMAGES)?;
        Ok(())
    }

    /// Adds a local file, or a directory with all below it.
    pub fn put(&mut self, local: &Path, remote: impl AsRef<Path>) -> Result<()> {
        let metadata =
            fs::metadata(local).with_context(|| format!("cannot read {}", local.display()))?;
        if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
            self.image.check_runs(local)?;
        }
        // What a link leads to is meant, not the link.
        fs::canonicalize(local)
            .and_then(|local| self.archive.copy_tree(remote, &local))
            .with_context(|| format!("cannot pack {} for dom0", local.display()))
    }

    /// Adds a local file under its own name to a directory of dom0.
    pub fn put_into(&mut self, local: &Path, directory: &str) -> Result<()> {
        let Some(name) = local.file_name() else { bail!("{} has no file name", local.display()) };
        self.put(local, Path::new(directory).join(name))
    }

    /// Nothing more comes.
    pub fn finish(self) -> Result<Overlay> {
        let file = self.archive.finish().and_then(|out| out.into_inner().map_err(Into::into));
        Ok(Overlay { archive: file.context("cannot pack files for dom0")? })
    }
}

/// A packed archive.
pub struct Overlay {
    archive: File,
}

impl Overlay {
    /// Writes the root file system for one boot: the image's and, behind it, what is added.
    pub fn write_initramfs(&self, image: &Dom0Image, target: &Path) -> Result<()> {
        let write = || {
            let mut file = File::create(target)?;
            io::copy(&mut File::open(image.initramfs())?, &mut file)?;
            let mut archive = &self.archive;
            archive.rewind()?;
            io::copy(&mut archive, &mut file)
        };
        write().map(drop).with_context(|| format!("cannot write {}", target.display()))
    }
}

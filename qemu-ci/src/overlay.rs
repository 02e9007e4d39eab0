//! What a run adds to dom0's root file system: the agent, programs, images, scripts.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::agent;
use crate::cpio::Archive;
use crate::dom0_image::Dom0Image;

/// Directory in dom0 for programs; on PATH.
pub const PROGRAMS: &str = "/opt/xenolith/bin";
/// Directory in dom0 for images; `$XENOLITH_IMAGES`.
pub const IMAGES: &str = "/opt/xenolith/images";

/// Files for dom0, by their place there.
#[derive(Debug, Default, Clone)]
pub struct Overlay {
    files: Vec<(PathBuf, PathBuf)>,
}

impl Overlay {
    /// Adds a local file or directory.
    pub fn put(&mut self, local: impl Into<PathBuf>, remote: impl Into<PathBuf>) {
        self.files.push((remote.into(), local.into()));
    }

    /// Adds a local file under its own name to a directory of dom0.
    pub fn put_into(&mut self, local: &Path, directory: &str) -> Result<()> {
        let Some(name) = local.file_name() else { bail!("{} has no file name", local.display()) };
        self.put(local, Path::new(directory).join(name));
        Ok(())
    }

    /// Writes the root file system for one boot: the image's and, behind it, an archive with what
    /// is added.
    pub fn write_initramfs(&self, image: &Dom0Image, target: &Path) -> Result<()> {
        self.check(image)?;
        self.write(image, target).with_context(|| format!("cannot write {}", target.display()))
    }

    fn check(&self, image: &Dom0Image) -> Result<()> {
        for (_, local) in &self.files {
            let metadata =
                fs::metadata(local).with_context(|| format!("cannot read {}", local.display()))?;
            if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
                image.check_runs(local)?;
            }
        }
        image.check_runs(Path::new(OWN_PROGRAM))
    }

    fn write(&self, image: &Dom0Image, target: &Path) -> Result<()> {
        let mut base = File::open(image.initramfs()).context("cannot open the dom0 image")?;
        let mut file = File::create(target)?;
        io::copy(&mut base, &mut file)?;
        let mut archive = Archive::new(BufWriter::new(file));
        let agent = Path::new("usr/sbin").join(agent::NAME);
        archive.copy(&agent, 0o755, Path::new(OWN_PROGRAM))?;
        archive.symlink(Path::new("usr/bin").join(agent::ON), Path::new("/").join(&agent))?;
        archive.directory(PROGRAMS)?;
        archive.directory(IMAGES)?;
        for (remote, local) in &self.files {
            let local = fs::canonicalize(local)
                .with_context(|| format!("cannot read {}", local.display()))?;
            archive
                .copy_tree(remote, &local)
                .with_context(|| format!("cannot add {}", local.display()))?;
        }
        archive.finish()?;
        Ok(())
    }
}

/// This program, which is also the agent. The path is good even if the file has been built anew
/// meanwhile.
const OWN_PROGRAM: &str = "/proc/self/exe";

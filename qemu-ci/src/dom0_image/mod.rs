//! The software of a host: Xen, dom0's kernel and dom0's root file system, made from Debian
//! packages.
//!
//! Packages are fetched and unpacked by `mmdebstrap` without being installed or configured
//! (`packages`); what dom0 needs is picked out of them (`selection`, `linux`) as the `recipe` says
//! and put into an initramfs. It is not compressed: QEMU hands it over in memory, and unpacking
//! would cost more than copying when the processor is emulated.
//!
//! The result is kept under a name made from the recipe's hash. It is built aside and renamed, so
//! it is whole or not there.

mod linux;
mod packages;
mod recipe;
mod selection;

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::cpio::{Archive, EXECUTABLE, READABLE};
use crate::elf::{Elf, GlibcVersion};
use crate::progress::Step;
use crate::workspace::Workspace;
use selection::Selection;

const XEN: &str = "xen";
const KERNEL: &str = "vmlinux";
const INITRAMFS: &str = "initramfs";
const FACTS: &str = "facts.json";

/// A complete image.
#[derive(Debug, Clone)]
pub struct Dom0Image {
    dir: PathBuf,
    facts: Facts,
    /// The file of facts, locked: who builds another image leaves this one alone.
    _in_use: Arc<File>,
}

/// What is worth knowing about an image without opening it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Facts {
    glibc: GlibcVersion,
    kernel_release: String,
}

impl Dom0Image {
    /// The image for today's recipe; builds it when there is none.
    pub fn ensure(workspace: &Workspace) -> Result<Self> {
        let cache = workspace.cache()?;
        let dir = cache.join(format!("dom0-{}", recipe::hash()));
        if let Ok(image) = Self::open(&dir) {
            return Ok(image);
        }
        let _turn = workspace.take_turn()?;
        // Another qemu-ci may have built it while we waited.
        if let Ok(image) = Self::open(&dir) {
            return Ok(image);
        }
        let step = Step::start("Building the dom0 image from Debian packages (once)");
        remove_others(&cache);
        let aside = tempfile::Builder::new()
            .prefix("dom0-building-")
            .tempdir_in(&cache)
            .with_context(|| format!("cannot create a directory in {}", cache.display()))?;
        build(aside.path())?;
        let aside = aside.keep();
        fs::rename(&aside, &dir)
            .with_context(|| format!("cannot rename {} to {}", aside.display(), dir.display()))?;
        step.done();
        Self::open(&dir)
    }

    fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(FACTS);
        let mut file =
            File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        file.lock_shared().with_context(|| format!("cannot lock {}", path.display()))?;
        // It may have been removed before it was locked.
        ensure!(path.exists(), "{} is gone", path.display());
        let facts = serde_json::from_reader(&mut file)
            .with_context(|| format!("{} is broken", path.display()))?;
        Ok(Self { dir: dir.to_path_buf(), facts, _in_use: Arc::new(file) })
    }

    /// Xen, as QEMU loads it.
    pub fn xen(&self) -> PathBuf {
        self.dir.join(XEN)
    }

    /// dom0's Linux.
    pub fn kernel(&self) -> PathBuf {
        self.dir.join(KERNEL)
    }

    /// dom0's root file system.
    pub fn initramfs(&self) -> PathBuf {
        self.dir.join(INITRAMFS)
    }

    /// Release of dom0's Linux.
    pub fn kernel_release(&self) -> &str {
        &self.facts.kernel_release
    }

    /// Makes sure that dom0's C library is new enough for a program of this machine.
    pub fn check_runs(&self, program: &Path) -> Result<()> {
        let wanted = Elf::read(program)?.and_then(|elf| elf.glibc);
        match wanted {
            Some(wanted) if wanted > self.facts.glibc => bail!(
                "{} needs glibc {wanted}, dom0 (Debian {suite}) has {}: build on Debian {suite} \
                 or an older system",
                program.display(),
                self.facts.glibc,
                suite = recipe::SUITE,
            ),
            _ => Ok(()),
        }
    }
}

/// Images of older recipes that nobody uses, and what interrupted builds left. It is the caller's
/// turn, so nobody builds now.
fn remove_others(cache: &Path) {
    let Ok(entries) = fs::read_dir(cache) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with("dom0-") {
            continue;
        }
        let facts = File::open(entry.path().join(FACTS));
        if facts.as_ref().is_ok_and(|facts| facts.try_lock().is_err()) {
            continue;
        }
        // Only wasted space if it fails. The facts, if any, stay locked until the rest is gone.
        let _ = fs::remove_dir_all(entry.path());
    }
}

fn build(dir: &Path) -> Result<()> {
    let root = dir.join("root");
    packages::extract(&root)?;

    let release = linux::release(&root)?;
    let bzimage = root.join("boot").join(format!("vmlinuz-{release}"));
    linux::unpack_bzimage(&bzimage, &dir.join(KERNEL))?;
    unpack_xen(&root.join("boot"), &dir.join(XEN))?;
    let modules = dir.join("modules");
    linux::cut_modules(&root, &release, recipe::MODULES, &modules)?;

    let mut selection = Selection::new(&root);
    for pattern in recipe::FILES {
        selection.add(pattern)?;
    }
    selection.add_libraries()?;

    let path = dir.join(INITRAMFS);
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut archive = Archive::new(BufWriter::new(file));
    fill(&mut archive, &root, &selection, &modules, &bzimage)
        .and_then(|()| archive.finish().context("cannot write its end"))
        .with_context(|| format!("cannot write {}", path.display()))?;

    let libc = root.join("lib/x86_64-linux-gnu/libc.so.6");
    let facts = Facts {
        glibc: Elf::read(&libc)?
            .and_then(|elf| elf.glibc)
            .with_context(|| format!("{} tells no version", libc.display()))?,
        kernel_release: release,
    };
    for done_with in [&root, &modules] {
        fs::remove_dir_all(done_with)
            .with_context(|| format!("cannot remove {}", done_with.display()))?;
    }
    fs::write(dir.join(FACTS), serde_json::to_vec_pretty(&facts)?)
        .with_context(|| format!("cannot write {FACTS} in {}", dir.display()))
}

fn fill(
    archive: &mut Archive<impl std::io::Write>,
    root: &Path,
    selection: &Selection,
    modules: &Path,
    bzimage: &Path,
) -> Result<()> {
    for (directory, permissions) in recipe::DIRECTORIES {
        archive.directory_with(directory, *permissions)?;
    }
    archive.character_device("dev/console", 5, 1)?;
    for (link, target) in recipe::LINKS {
        archive.symlink(link, target)?;
    }
    for path in selection.paths() {
        archive.copy_tree(path, &root.join(path))?;
    }
    archive.copy_tree("lib/modules", &modules.join("lib/modules"))?;
    for applet in busybox_applets(&root.join("bin/busybox"))? {
        if !selection.provides(&applet) {
            archive.symlink(&applet, "/bin/busybox")?;
        }
    }
    for tool in selection.below("usr/lib/xen-4.17/bin") {
        if let Some(name) = tool.file_name() {
            archive.symlink(Path::new("usr/sbin").join(name), Path::new("/").join(tool))?;
        }
    }
    for (path, text) in recipe::TEXTS {
        archive.file(path, READABLE, text.as_bytes())?;
    }
    archive.file("init", EXECUTABLE, recipe::INIT.as_bytes())?;
    let share = Path::new("usr/share/xenolith/linux");
    archive.copy(share.join("vmlinuz"), READABLE, bzimage)?;
    archive.file(share.join("initramfs"), READABLE, &linux_domu(&root.join("bin/busybox"))?)?;
    Ok(())
}

/// The initramfs of the Linux domU that benchmarks compare with.
fn linux_domu(busybox: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::new(Vec::new());
    archive.character_device("dev/console", 5, 1)?;
    archive.copy("bin/busybox", EXECUTABLE, busybox)?;
    archive.file("init", EXECUTABLE, recipe::LINUX_DOMU_INIT.as_bytes())?;
    Ok(archive.finish()?)
}

/// The commands that busybox can be, with the paths that it wants for them.
fn busybox_applets(busybox: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new(busybox)
        .arg("--list-full")
        .output()
        .with_context(|| format!("cannot run {}", busybox.display()))?;
    let text = String::from_utf8(output.stdout).context("busybox lists odd names")?;
    Ok(text.lines().map(PathBuf::from).collect())
}

fn unpack_xen(boot: &Path, target: &Path) -> Result<()> {
    let is_xen = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("xen-") && name.ends_with(".gz")
    };
    let xen = fs::read_dir(boot)
        .with_context(|| format!("cannot list {}", boot.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(is_xen)
        .with_context(|| format!("no xen-*.gz in {}", boot.display()))?;
    unpack(Command::new("gzip").arg("-dc").arg(&xen), target)
}

/// Runs a program that writes what it unpacks to its standard output.
fn unpack(command: &mut Command, target: &Path) -> Result<()> {
    let file =
        File::create(target).with_context(|| format!("cannot create {}", target.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file)
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !status.success() {
        bail!(
            "{} could not unpack {}: {status}",
            command.get_program().display(),
            target.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_in_use_stays_and_others_go() {
        let cache = tempfile::tempdir().unwrap();
        let dir = |name: &str| cache.path().join(name);
        for name in ["dom0-used", "dom0-old", "dom0-building-x", "logs"] {
            fs::create_dir(dir(name)).unwrap();
        }
        let facts = Facts { glibc: GlibcVersion(2, 36), kernel_release: "6.1".into() };
        for name in ["dom0-used", "dom0-old"] {
            fs::write(dir(name).join(FACTS), serde_json::to_vec(&facts).unwrap()).unwrap();
        }
        let used = Dom0Image::open(&dir("dom0-used")).unwrap();
        remove_others(cache.path());
        let there = ["dom0-used", "dom0-old", "dom0-building-x", "logs"].map(|n| dir(n).exists());
        assert_eq!(there, [true, false, false, true]);
        drop(used);
        remove_others(cache.path());
        assert!(!dir("dom0-used").exists());
    }
}

//! Linux's packages: the kernel unpacked, and few of its many modules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::unpack;
use crate::install;

/// The release of the only kernel in `root`.
pub fn release(root: &Path) -> Result<String> {
    let modules = root.join("lib/modules");
    let mut names = fs::read_dir(&modules)
        .with_context(|| format!("cannot list {}", modules.display()))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    match (names.next(), names.next()) {
        (Some(release), None) => Ok(release),
        (None, _) => bail!("no kernel in {}", modules.display()),
        (Some(one), Some(other)) => {
            bail!("two kernels in {}: {one} and {other}", modules.display())
        }
    }
}

/// Takes the ELF file out of a bzImage, so that Xen need not do so in emulation at each boot.
pub fn unpack_bzimage(bzimage: &Path, target: &Path) -> Result<()> {
    let image = fs::read(bzimage).with_context(|| format!("cannot read {}", bzimage.display()))?;
    let payload = payload(&image)
        .with_context(|| format!("{} is no bzImage packed with xz", bzimage.display()))?;
    let packed = target.with_extension("xz");
    fs::write(&packed, payload).with_context(|| format!("cannot write {}", packed.display()))?;
    // The kernel's build appends four bytes of its own to the stream.
    unpack(Command::new("xz").args(["-dc", "--single-stream"]).arg(&packed), target)?;
    fs::remove_file(&packed).with_context(|| format!("cannot remove {}", packed.display()))
}

/// The packed kernel inside a bzImage, by the fields of Linux's boot protocol.
fn payload(image: &[u8]) -> Option<&[u8]> {
    const SETUP_SECTORS: usize = 0x1f1;
    const PAYLOAD_OFFSET: usize = 0x248;
    const PAYLOAD_LENGTH: usize = 0x24c;
    const XZ_MAGIC: &[u8] = b"\xfd7zXZ\0";
    let word = |at: usize| {
        let bytes = image.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let sectors = match *image.get(SETUP_SECTORS)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * 512 + word(PAYLOAD_OFFSET)?;
    let payload = image.get(start..start + word(PAYLOAD_LENGTH)?)?;
    payload.starts_with(XZ_MAGIC).then_some(payload)
}

/// Links `wanted` modules, and those that they need, into a tree of their own below `stage`, and
/// indexes it for modprobe.
pub fn cut_modules(root: &Path, release: &str, wanted: &[&str], stage: &Path) -> Result<()> {
    depmod(root, release)?;
    let from = root.join("lib/modules").join(release);
    let to = stage.join("lib/modules").join(release);
    let read = |name: &str| {
        let path = from.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let needed = closure(&read("modules.dep")?, wanted, &read("modules.builtin")?)?;
    for file in needed.iter().map(String::as_str).chain([
        "modules.order",
        "modules.builtin",
        "modules.builtin.modinfo",
    ]) {
        let (source, target) = (from.join(file), to.join(file));
        let dir = target.parent().unwrap_or(&to);
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        fs::copy(&source, &target).with_context(|| format!("cannot copy {}", source.display()))?;
    }
    depmod(stage, release)
}

fn depmod(root: &Path, release: &str) -> Result<()> {
    let program = install::find("depmod").context("depmod is missing (package kmod)")?;
    let output = Command::new(program)
        .arg("-b")
        .arg(root)
        .arg(release)
        .output()
        .context("cannot run depmod")?;
    ensure!(
        output.status.success(),
        "depmod failed on {}: {}",
        root.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// The files of the wanted modules and of all that they depend on.
fn closure(dependencies: &str, wanted: &[&str], builtin: &str) -> Result<BTreeSet<String>> {
    let built_in: BTreeSet<String> = builtin.lines().map(module_name).collect();
    let by_name: BTreeMap<String, (&str, &str)> = dependencies
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(file, needs)| (module_name(file), (file, needs)))
        .collect();
    let mut files = BTreeSet::new();
    for name in wanted.iter().map(|name| name.replace('-', "_")) {
        match by_name.get(&name) {
            // The list of what a module needs is complete: depmod has followed it to the end.
            Some((file, needs)) => {
                files.insert((*file).to_owned());
                files.extend(needs.split_whitespace().map(str::to_owned));
            }
            None if built_in.contains(&name) => {}
            None => bail!("dom0's kernel has no module {name}"),
        }
    }
    Ok(files)
}

fn module_name(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split('.').next().unwrap_or(name).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPENDENCIES: &str = "kernel/a/rdma-rxe.ko: kernel/b/ib_core.ko kernel/c/crc.ko\n\
                                kernel/b/ib_core.ko:\nkernel/c/crc.ko:\nkernel/d/other.ko:\n";

    #[test]
    fn modules_bring_what_they_need() {
        let files =
            closure(DEPENDENCIES, &["rdma_rxe", "virtio_pci"], "kernel/v/virtio-pci.ko\n").unwrap();
        let expected = ["kernel/a/rdma-rxe.ko", "kernel/b/ib_core.ko", "kernel/c/crc.ko"];
        assert_eq!(files.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_missing_module_is_named() {
        let error = closure(DEPENDENCIES, &["nonesuch"], "").unwrap_err();
        assert!(error.to_string().contains("nonesuch"));
    }

    #[test]
    fn the_payload_is_found_and_bounds_are_kept() {
        let mut image = vec![0; 2048];
        image[0x1f1] = 1;
        image[0x248] = 16; // offset
        image[0x24c] = 8; // length
        image[1024 + 16..1024 + 24].copy_from_slice(b"\xfd7zXZ\0ab");
        assert_eq!(payload(&image), Some(&b"\xfd7zXZ\0ab"[..]));
        image[0x24f] = 1;
        assert_eq!(payload(&image), None);
        assert_eq!(payload(b"short"), None);
    }
}

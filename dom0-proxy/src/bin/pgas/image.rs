//! Finding and checking what a job is to run, before anything is started.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dom0_proxy::control::RankKind;
use dom0_proxy::job::domains::check_image;
use dom0_proxy::{Error, Result};
use image_builder::mebibytes::Mebibytes;

/// The image that `name` means: a path, or a name in one of the directories.
pub fn find(name: &str, kind: RankKind, directories: &[PathBuf]) -> Result<PathBuf> {
    let endings: &[&str] = match kind {
        RankKind::Xen => &["", ".img"],
        RankKind::Hosted => &[""],
    };
    let in_directories =
        directories.iter().filter(|_| !name.contains('/')).map(|directory| directory.join(name));
    std::iter::once(PathBuf::from(name))
        .chain(in_directories)
        .flat_map(|path| {
            endings.iter().map(move |ending| PathBuf::from(format!("{}{ending}", path.display())))
        })
        .find(|path| path.is_file())
        .and_then(|path| std::path::absolute(path).ok())
        .ok_or_else(|| Error::ImageNotFound(name.into()))
}

/// Whether the image can be run by ranks of `memory` bytes.
pub fn check(path: &Path, kind: RankKind, memory: u64) -> Result<()> {
    let unusable = |why: String| Error::ImageUnusable { path: path.into(), why };
    let bytes = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    match kind {
        RankKind::Xen => check_image(path, &bytes, memory),
        RankKind::Hosted if image_builder::image::verify(&bytes).is_ok() => {
            Err(unusable("it is a Xen image: run it without --hosted".into()))
        }
        RankKind::Hosted => {
            let mode = std::fs::metadata(path)
                .map_err(|error| unusable(error.to_string()))?
                .permissions()
                .mode();
            match mode & 0o111 {
                0 => Err(unusable("it is not executable".into())),
                _ => Ok(()),
            }
        }
    }
}

/// Bytes of a size such as `16M` or `1G`, in whole MiB.
pub fn parse_memory(text: &str) -> Result<u64> {
    const LEAST: u64 = 4;
    // A number alone is refused: to other launchers it means bytes or KiB.
    let amount = text.parse::<Mebibytes>().ok().filter(|_| !text.ends_with(char::is_numeric));
    let amount = amount.filter(|amount| amount.count() >= LEAST);
    amount.map(Mebibytes::bytes).ok_or_else(|| Error::BadMemory(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const MIB: u64 = 1 << 20;

    #[test]
    fn sizes_are_whole_mebibytes() {
        assert_eq!(parse_memory("16M").unwrap(), 16 * MIB);
        assert_eq!(parse_memory("1G").unwrap(), 1024 * MIB);
        assert_eq!(parse_memory("8MiB").unwrap(), 8 * MIB);
        for bad in [
            "",
            "M",
            "16",
            "3M",
            "0G",
            "16K",
            "-1M",
            "1.5G",
            "99999999999999999999M",
            "18446744073709551615G",
        ] {
            assert!(parse_memory(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn images_are_found_by_path_then_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("cg.img");
        fs::write(&image, "not an image").unwrap();
        let directories = [dir.path().to_owned()];
        assert_eq!(find("cg", RankKind::Xen, &directories).unwrap(), image);
        assert_eq!(find("cg.img", RankKind::Xen, &directories).unwrap(), image);
        assert_eq!(find(image.to_str().unwrap(), RankKind::Xen, &[]).unwrap(), image);
        assert!(matches!(find("cg", RankKind::Hosted, &directories), Err(Error::ImageNotFound(_))));
        assert!(matches!(find("mg", RankKind::Xen, &directories), Err(Error::ImageNotFound(_))));
    }

    #[test]
    fn what_is_no_image_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("cg.img");
        fs::write(&image, "not an image").unwrap();
        let error = check(&image, RankKind::Xen, 16 * MIB).unwrap_err().to_string();
        assert!(error.contains("cg.img") && error.contains("ELF"), "{error}");
        let error = check(&image, RankKind::Hosted, 16 * MIB).unwrap_err().to_string();
        assert!(error.contains("not executable"), "{error}");
    }
}

//! A job's own copy of its image: whoever writes to the user's file meanwhile changes nothing for
//! ranks that are still to be created.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::regular_file::open_regular;
use crate::error::{Context, Error, Result};

const MIB: u64 = 1 << 20;

/// The copy's name in the job's record.
pub const NAME: &str = "image";

/// Whether `bytes`, which were at `path`, are a sound image that ranks of `memory` bytes can run.
pub fn check_image(path: &Path, bytes: &[u8], memory: u64) -> Result<()> {
    let unusable = |why: String| Error::ImageUnusable { path: path.into(), why };
    let image = image_builder::image::verify(bytes).map_err(|error| unusable(error.to_string()))?;
    if image.minimum_memory > memory {
        let needs = image.minimum_memory / MIB;
        return Err(unusable(format!(
            "it needs {needs} MiB of memory and a rank has {}: give --mem {needs}M or more",
            memory / MIB
        )));
    }
    Ok(())
}

/// Copies the image at `path` into the directory `record`, and checks what is copied.
pub fn copy_image(path: &Path, memory: u64, record: &Path) -> Result<PathBuf> {
    let unusable = |why: String| Error::ImageUnusable { path: path.into(), why };
    let (file, _) = open_regular(path).map_err(|error| unusable(error.to_string()))?;
    let mut bytes = Vec::new();
    // However long it grows meanwhile.
    let read = file.take(memory.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| unusable(error.to_string()))?;
    if bytes.len() as u64 > memory {
        return Err(unusable(format!("it is larger than the {} MiB of a rank", memory / MIB)));
    }
    keep_image(path, &bytes, memory, record)
}

/// Writes an image that was at `path` into the directory `record`, and checks it.
pub fn keep_image(path: &Path, bytes: &[u8], memory: u64, record: &Path) -> Result<PathBuf> {
    check_image(path, bytes, memory)?;
    let copy = record.join(NAME);
    fs::write(&copy, bytes).context(|| format!("write {}", copy.display()))?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_is_what_is_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cg.img");
        let refused = |why: &str| {
            let error = copy_image(&path, 4 * MIB, dir.path()).unwrap_err();
            assert_eq!(error.exit_status(), crate::error::status::NOT_RUNNABLE);
            assert!(error.to_string().contains(why), "{error}");
            assert!(!dir.path().join(NAME).exists(), "{why}: it is there");
        };
        refused("No such file");
        fs::write(&path, "rebuilt meanwhile").unwrap();
        refused("ELF");
        fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        refused("larger than the 4 MiB");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        refused("not a regular file");
    }
}

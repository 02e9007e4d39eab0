//! The boot module that carries an application's files: a cpio archive in the "newc" format.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes an archive of the files, each under its own name without directories.
pub fn write(archive: impl Write, files: &[PathBuf]) -> Result<()> {
    let mut archive = archive;
    let mut names = BTreeSet::new();
    for (index, path) in files.iter().enumerate() {
        let bad = |why: String| Error::BadFile { path: path.clone(), why };
        let name = name(path)?;
        if !names.insert(name) {
            return Err(bad(format!("another file is called {name} too")));
        }
        let file = File::open(path).map_err(|error| bad(error.to_string()))?;
        let size = file.metadata().map_err(|error| bad(error.to_string()))?.len();
        let size = u32::try_from(size).map_err(|_| bad("it is larger than 4 GiB".into()))?;
        header(&mut archive, index as u32 + 1, name, size)
            .and_then(|()| {
                let copied = io::copy(&mut (&file).take(size.into()), &mut archive)?;
                if copied < size.into() {
                    return Err(io::Error::other("it shrank while it was read"));
                }
                pad(&mut archive, copied as usize)
            })
            .map_err(|error| bad(error.to_string()))?;
    }
    let end = header(&mut archive, 0, "TRAILER!!!", 0).and_then(|()| archive.flush());
    end.map_err(|source| Error::Io { action: "write the boot module".into(), source })
}

/// The name that the application sees.
pub fn name(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| Error::BadFile { path: path.into(), why: "it has no name in UTF-8".into() })
}

fn header(archive: &mut impl Write, inode: u32, name: &str, size: u32) -> io::Result<()> {
    const READABLE_FILE: u32 = 0o100_444;
    let mode = if inode == 0 { 0 } else { READABLE_FILE };
    let (owner, group, links, time) = (0, 0, 1, 0);
    let fields =
        [inode, mode, owner, group, links, time, size, 0, 0, 0, 0, name.len() as u32 + 1, 0];
    archive.write_all(b"070701")?;
    for field in fields {
        write!(archive, "{field:08X}")?;
    }
    archive.write_all(name.as_bytes())?;
    archive.write_all(b"\0")?;
    pad(archive, 6 + 8 * fields.len() + name.len() + 1)
}

/// Everything starts at a multiple of 4.
fn pad(archive: &mut impl Write, written: usize) -> io::Result<()> {
    archive.write_all(&[0; 3][..written.next_multiple_of(4) - written])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_archive_that_cpio_would_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.txt");
        fs::write(&path, "hello").unwrap();
        let mut archive = Vec::new();
        write(&mut archive, std::slice::from_ref(&path)).unwrap();
        assert!(archive.starts_with(b"070701"));
        assert_eq!(&archive[54..62], b"00000005", "the size");
        assert_eq!(&archive[110..119], b"data.txt\0");
        assert_eq!(&archive[120..128], b"hello\0\0\0");
        assert_eq!(archive.len() % 4, 0);
        assert!(archive.windows(10).any(|window| window == b"TRAILER!!!"));
    }

    #[test]
    fn missing_and_equally_named_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        assert!(write(io::sink(), &[missing]).unwrap_err().to_string().contains("missing"));
        let (a, b) = (dir.path().join("x"), dir.path().join("sub/x"));
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(&a, "").unwrap();
        fs::write(&b, "").unwrap();
        assert!(write(io::sink(), &[a, b]).unwrap_err().to_string().contains("another file"));
    }
}

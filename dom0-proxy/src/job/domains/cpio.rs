//! The boot module that carries an application's files: a cpio archive in the "newc" format.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use cpio::newc::{self, Builder};

use super::regular_file::open_regular;
use crate::error::{Error, Result, is_want};

/// The name of an archive's last entry. A file that is called so needs another spelling, which the
/// guest reads as the same.
const TRAILER: &str = "TRAILER!!!";
const FILE_CALLED_TRAILER: &str = "./TRAILER!!!";
/// A regular file that everybody may read.
const MODE: u32 = 0o100_444;

/// Writes an archive of the files, each under its own name without directories, behind `first`, a
/// name and a content. A rank of `memory` bytes has to have room for them.
pub fn write(
    mut archive: impl Write,
    first: Option<(&str, &[u8])>,
    files: &[PathBuf],
    memory: u64,
) -> Result<()> {
    let failed = |source| Error::Io { action: "write the boot module".into(), source };
    let mut total = 0u64;
    let mut names = BTreeSet::new();
    if let Some((name, content)) = first {
        names.insert(name);
        let size = u32::try_from(content.len()).map_err(|error| failed(io::Error::other(error)))?;
        let mut entry = Builder::new(name).ino(1).mode(MODE).write(&mut archive, size);
        entry.write_all(content).and_then(|()| entry.finish().map(drop)).map_err(failed)?;
    }
    for (inode, path) in (2..).zip(files) {
        let bad = |why: String| Error::BadFile { path: path.clone(), why };
        let name = name(path)?;
        if !names.insert(name) {
            return Err(bad(format!("another file is called {name} too")));
        }
        let (file, size) = open_regular(path).map_err(|error| bad(error.to_string()))?;
        total = total.saturating_add(size);
        if total > memory {
            return Err(Error::FilesTooLarge { path: path.clone(), memory_mib: memory >> 20 });
        }
        let size = u32::try_from(size).map_err(|_| bad("it is larger than 4 GiB".into()))?;
        let name = if name == TRAILER { FILE_CALLED_TRAILER } else { name };
        let mut entry = Builder::new(name).ino(inode).mode(MODE).write(&mut archive, size);
        io::copy(&mut file.take(size.into()), &mut entry)
            .and_then(|copied| match copied < size.into() {
                true => Err(io::Error::other("it shrank while it was read")),
                false => entry.finish().map(drop),
            })
            .map_err(|error| match is_want(&error) {
                true => failed(error),
                false => bad(error.to_string()),
            })?;
    }
    let end = newc::trailer(archive).and_then(|mut archive| archive.flush());
    end.map_err(failed)
}

/// The name that the application sees.
pub fn name(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| Error::BadFile { path: path.into(), why: "it has no name in UTF-8".into() })
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
        write(&mut archive, None, std::slice::from_ref(&path), 5).unwrap();
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
        assert!(
            write(io::sink(), None, &[missing], 9).unwrap_err().to_string().contains("missing")
        );
        let (a, b) = (dir.path().join("x"), dir.path().join("sub/x"));
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(&a, "").unwrap();
        fs::write(&b, "").unwrap();
        assert!(
            write(io::sink(), None, &[a, b], 9).unwrap_err().to_string().contains("another file")
        );
    }

    #[test]
    fn what_no_rank_has_room_for_is_refused_before_it_is_copied() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| dir.path().join(name));
        fs::write(&files[0], "12345").unwrap();
        // As large as a disk, and nothing there.
        fs::File::create(&files[1]).unwrap().set_len(1 << 40).unwrap();
        let mut archive = Vec::new();
        let error = write(&mut archive, None, &files, 16 << 20).unwrap_err();
        assert!(error.to_string().contains("16 MiB of memory"), "{error}");
        assert!(archive.len() < 1000);
    }

    #[test]
    fn a_full_disk_is_the_hosts_matter() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("data");
        fs::write(&file, vec![0; 100_000]).unwrap();
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let error = write(full, None, &[file], 16 << 20).unwrap_err();
        assert_eq!(error.exit_status(), crate::error::status::HOST, "{error}");
    }

    #[test]
    fn no_name_hides_the_files_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let files = [TRAILER, "last"].map(|name| dir.path().join(name));
        files.iter().for_each(|file| fs::write(file, "x").unwrap());
        let mut archive = Vec::new();
        write(&mut archive, None, &files, 9).unwrap();
        let mut rest = archive.as_slice();
        for name in [FILE_CALLED_TRAILER, "last", TRAILER] {
            let entry = newc::Reader::new(rest).unwrap();
            assert_eq!(entry.entry().name(), name);
            rest = entry.finish().unwrap();
        }
    }
}

//! Writing files so that nobody ever reads half of one.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Permissions of plain files, and of programs; the user's umask is taken off.
pub const PLAIN: u32 = 0o666;
/// See [`PLAIN`].
pub const PROGRAM: u32 = 0o777;

/// Writes a file aside, under a name in the same folder that nobody can guess, and renames it. What
/// was there before, a link too, is replaced.
///
/// # Errors
/// When the folder cannot be written to. What was there before is then there still.
pub fn publish(path: &Path, contents: &[u8], permissions: u32) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut aside = tempfile::Builder::new()
        .prefix(".")
        .suffix(".part")
        .permissions(Permissions::from_mode(permissions))
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    aside.write_all(contents)?;
    aside.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        publish(&file, b"old", PLAIN).unwrap();
        publish(&file, b"new", PROGRAM).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o700, 0o700);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "somebody's").unwrap();
        symlink(&file, &link).unwrap();
        publish(&link, b"ours", PLAIN).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"somebody's");
        assert_eq!(fs::read(&link).unwrap(), b"ours");
        assert!(!fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn what_cannot_be_written_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing/file");
        assert!(publish(&missing, b"", PLAIN).is_err());
        fs::create_dir(folder.path().join("taken")).unwrap();
        fs::write(folder.path().join("taken/file"), "").unwrap();
        assert!(publish(&folder.path().join("taken"), b"", PLAIN).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

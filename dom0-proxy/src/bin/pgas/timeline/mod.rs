//! `--timeline FILE.svg`: a job from its start to its end, drawn.
//!
//! ```text
//! picture   what is to be seen of a history, in seconds and lanes
//! svg       the same as a file for browsers
//! ```

mod picture;
mod svg;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::history::History;
use picture::Picture;

/// Whether it looks as if a file could be written there: to be asked before a job begins, since it
/// is too late when it has ended.
pub fn check(file: &Path) -> anyhow::Result<()> {
    let directory = directory_of(file);
    ensure!(directory.is_dir(), "--timeline: there is no directory {}", directory.display());
    ensure!(
        file.file_name().is_some() && !file.is_dir(),
        "--timeline {}: it is a directory",
        file.display()
    );
    Ok(())
}

/// Draws what has become of a job that ran `program`. The file is there as a whole, or as it was
/// before.
pub fn write(file: &Path, program: &str, history: &History) -> anyhow::Result<()> {
    let text = svg::draw(&Picture::of(program, history));
    let aside = aside(file);
    let written = fs::write(&aside, text).and_then(|()| fs::rename(&aside, file));
    if written.is_err() {
        // What is wrong is told already.
        let _ = fs::remove_file(&aside);
    }
    written.with_context(|| format!("write {}", file.display()))
}

fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    }
}

/// The file that becomes `file` when it is complete.
fn aside(file: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(".unfinished");
    file.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("job.svg");
        check(&file).unwrap();
        write(&file, "cg.img", &History::default()).unwrap();
        write(&file, "cg.img", &History::default()).unwrap();
        assert!(fs::read_to_string(&file).unwrap().starts_with("<svg"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left");
        let wrong = directory.path().join("none/job.svg");
        assert!(check(&wrong).unwrap_err().to_string().contains("there is no directory"));
        assert!(write(&wrong, "cg.img", &History::default()).is_err());
        assert!(check(directory.path()).unwrap_err().to_string().contains("it is a directory"));
        assert!(write(directory.path(), "cg.img", &History::default()).is_err());
        assert_eq!(directory_of(Path::new("job.svg")), Path::new("."));
    }
}

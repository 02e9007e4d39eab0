//! Where a job comes from, kept beside its logs.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};

/// The file's name.
const FILE: &str = "origin.json";
/// No such file is longer: 65,536 ranks, 21 bytes each at most.
const LONGEST: u64 = 2 << 20;

/// Where a job comes from that goes on with another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobOrigin {
    /// The job that met with an accident, after which this one began.
    pub after: Option<String>,
    /// The line that it was restored from.
    pub restored: Option<RestoredLine>,
    /// By rank, how much it had written, in all runs, before what is in the log. Nothing where none
    /// is told.
    pub begins: Vec<u64>,
}

/// A line that a job was restored from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredLine {
    /// The line.
    pub line: String,
    /// The job that was saved.
    pub job: String,
    /// The directory of images, for people.
    pub directory: String,
}

impl JobOrigin {
    /// The jobs that it goes on with, the last one first.
    pub fn earlier(&self) -> impl Iterator<Item = &str> {
        let saved = self.restored.as_ref().map(|restored| &restored.job);
        self.after.iter().chain(saved).map(String::as_str)
    }

    /// Writes it beside the logs of the job, which are in `logs`.
    pub fn keep(&self, logs: &Path) -> Result<()> {
        let path = logs.join(FILE);
        let context = || format!("create {}", path.display());
        let bytes = serde_json::to_vec(self).map_err(std::io::Error::other).context(context)?;
        let mut file = File::options();
        let mut file =
            file.write(true).create_new(true).mode(0o600).open(&path).context(context)?;
        file.write_all(&bytes).context(context)
    }

    /// What is kept beside these logs; nothing of a job that goes on with no other.
    pub fn of(logs: &Path) -> Option<Self> {
        let mut bytes = Vec::new();
        File::open(logs.join(FILE)).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(JobOrigin::of(dir.path()), None);
        let restored =
            RestoredLine { line: "0-3".into(), job: "aaaaaa".into(), directory: "/d".into() };
        let restored = JobOrigin {
            restored: Some(restored),
            begins: vec![u64::MAX; 65_536],
            ..JobOrigin::default()
        };
        assert_eq!(restored.earlier().collect::<Vec<_>>(), ["aaaaaa"]);
        restored.keep(dir.path()).unwrap();
        assert_eq!(JobOrigin::of(dir.path()), Some(restored.clone()));
        let healed = JobOrigin { after: Some("bbbbbb".into()), ..restored };
        assert_eq!(healed.earlier().collect::<Vec<_>>(), ["bbbbbb", "aaaaaa"]);
        assert!(healed.keep(dir.path()).is_err(), "a job has one origin");
        std::fs::write(dir.path().join(FILE), b"{").unwrap();
        assert_eq!(JobOrigin::of(dir.path()), None);
    }
}

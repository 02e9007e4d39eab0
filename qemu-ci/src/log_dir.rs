//! Where a run of qemu-ci keeps its logs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// Runs whose logs are kept.
const KEPT: usize = 20;

/// The directory of one run, below `target/qemu-ci/logs`.
#[derive(Debug, Clone)]
pub struct LogDir(PathBuf);

impl LogDir {
    /// A new one; the oldest are removed.
    pub fn create(workspace: &Workspace) -> Result<Self> {
        let logs = workspace.cache()?.join("logs");
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let name =
            format!("{}-{}", now.trim_end_matches('Z').replace(':', "-"), std::process::id());
        let dir = logs.join(&name);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        remove_oldest(&logs);
        // A convenience only.
        let _ = tempfile::Builder::new()
            .make_in(&logs, |link| symlink(&name, link))
            .and_then(|link| link.persist(logs.join("latest")).map_err(Into::into));
        Ok(Self(dir))
    }

    /// A directory inside it, for one of several boots.
    pub fn below(&self, name: &str) -> Result<Self> {
        let dir = self.0.join(name);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Self(dir))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

fn remove_oldest(logs: &Path) {
    let Ok(entries) = fs::read_dir(logs) else { return };
    // The names begin with the time.
    let mut runs: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    runs.sort();
    for old in &runs[..runs.len().saturating_sub(KEPT)] {
        let _ = fs::remove_dir_all(old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_runs_go() {
        let logs = tempfile::tempdir().unwrap();
        for run in 0..KEPT + 3 {
            fs::create_dir(logs.path().join(format!("{run:03}"))).unwrap();
        }
        remove_oldest(logs.path());
        assert!(!logs.path().join("002").exists());
        assert!(logs.path().join("003").exists());
    }
}

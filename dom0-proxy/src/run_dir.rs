//! Where the daemon keeps its sockets, its records of jobs, and their logs.
//!
//! ```text
//! RUN_DIR/lock             held by the daemon; its text is the daemon's process id
//! RUN_DIR/proxy.sock       pgas connects here
//! RUN_DIR/ranks.sock       hosted ranks connect here
//! RUN_DIR/daemon.log       what a daemon that pgas started says
//! RUN_DIR/jobs/JOB/        record of a running job: configurations, boot modules; gone with it
//! LOG_DIR/JOB/rank-R.log   each rank's console, kept for the last jobs
//! ```

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};

/// Jobs whose logs are kept.
pub const LOGS_KEPT: usize = 100;

/// How long a daemon waits for one that is just ending.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// The run directory and the log directory that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    root: PathBuf,
    logs: PathBuf,
}

impl RunDir {
    /// The directories that the environment asks for.
    pub fn from_env() -> Result<Self> {
        let is_root = rustix::process::geteuid().is_root();
        Self::choose(is_root, |name| {
            std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
        })
    }

    fn choose(is_root: bool, variable: impl Fn(&str) -> Option<PathBuf>) -> Result<Self> {
        if let Some(root) = variable("XENOLITH_RUN_DIR") {
            let root = std::path::absolute(&root)
                .context(|| format!("run directory {}", root.display()))?;
            return Ok(Self { logs: root.join("log"), root });
        }
        if is_root {
            return Ok(Self { root: "/run/xenolith".into(), logs: "/var/log/xenolith".into() });
        }
        let root = variable("XDG_RUNTIME_DIR").ok_or(Error::NoRunDir)?.join("xenolith");
        let logs = variable("XDG_STATE_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".local/state")))
            .map_or_else(|| root.join("log"), |state| state.join("xenolith/log"));
        Ok(Self { root, logs })
    }

    /// Makes the directories, for this user alone, and refuses one that belongs to somebody else.
    pub fn create(&self) -> Result<()> {
        for dir in [&self.root, &self.jobs(), &self.logs] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .context(|| format!("create directory {}", dir.display()))?;
        }
        let owner = fs::metadata(&self.root).context(|| self.root.display().to_string())?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            return Err(Error::SocketPermission { socket: self.socket() });
        }
        Ok(())
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The socket for `pgas`.
    pub fn socket(&self) -> PathBuf {
        self.root.join("proxy.sock")
    }

    /// The socket for hosted ranks.
    pub fn ranks_socket(&self) -> PathBuf {
        self.root.join("ranks.sock")
    }

    /// The log of a daemon that `pgas` started.
    pub fn daemon_log(&self) -> PathBuf {
        self.root.join("daemon.log")
    }

    /// The directory of all records.
    pub fn jobs(&self) -> PathBuf {
        self.root.join("jobs")
    }

    /// The record of one job.
    pub fn job(&self, job: &str) -> PathBuf {
        self.jobs().join(job)
    }

    /// The logs of one job.
    pub fn job_logs(&self, job: &str) -> PathBuf {
        self.logs.join(job)
    }

    /// Takes the directory for this process; fails when a daemon has it.
    pub fn lock(&self) -> Result<Lock> {
        Lock::take(&self.root.join("lock"), &self.root.display().to_string())
    }

    /// Removes the oldest logs, so that no more than [`LOGS_KEPT`] are left.
    pub fn prune_logs(&self) {
        let Ok(entries) = fs::read_dir(&self.logs) else { return };
        let mut jobs: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        jobs.sort();
        let excess = jobs.len().saturating_sub(LOGS_KEPT);
        for (_, path) in jobs.drain(..excess) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// A lock file that this process holds until the value is dropped, or the process ends in any way.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock file at `path`, which stands for `what`.
    pub fn take(path: &Path, what: &str) -> Result<Self> {
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(path)
            .context(|| format!("open {}", path.display()))?;
        let patience = Instant::now() + LOCK_PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < patience => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    let _ = (&file).take(200).read_to_string(&mut holder);
                    let holder = match holder.trim() {
                        "" => "unknown".into(),
                        holder => holder.to_owned(),
                    };
                    return Err(Error::AlreadyRunning { what: what.to_owned(), holder });
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).context(|| format!("lock {}", path.display()));
                }
            }
        }
        let holder = format!("process {}", std::process::id());
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(holder.as_bytes())
        };
        write(&mut file).context(|| format!("write {}", path.display()))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<PathBuf> + 'a {
        move |name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
        }
    }

    #[test]
    fn the_variable_wins_then_root_then_the_users_directory() {
        let of = |is_root, pairs: &[_]| RunDir::choose(is_root, environment(pairs)).unwrap();
        let given = of(true, &[("XENOLITH_RUN_DIR", "/x"), ("XDG_RUNTIME_DIR", "/y")]);
        assert_eq!(
            (given.root.as_path(), given.logs.as_path()),
            (Path::new("/x"), Path::new("/x/log"))
        );
        let root = of(true, &[("XDG_RUNTIME_DIR", "/y")]);
        assert_eq!(root.socket(), Path::new("/run/xenolith/proxy.sock"));
        assert_eq!(root.job_logs("ab"), Path::new("/var/log/xenolith/ab"));
        let user = of(false, &[("XDG_RUNTIME_DIR", "/y"), ("HOME", "/h")]);
        assert_eq!(user.root, Path::new("/y/xenolith"));
        assert_eq!(user.logs, Path::new("/h/.local/state/xenolith/log"));
        assert!(matches!(RunDir::choose(false, environment(&[])), Err(Error::NoRunDir)));
    }

    #[test]
    fn a_lock_is_held_once_and_names_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::take(&path, "it").unwrap();
        let error = Lock::take(&path, "it").unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        Lock::take(&path, "it").unwrap();
    }

    #[test]
    fn old_logs_are_pruned() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir { root: dir.path().into(), logs: dir.path().join("log") };
        run.create().unwrap();
        for job in 0..LOGS_KEPT + 5 {
            fs::create_dir(run.job_logs(&format!("{job:06}"))).unwrap();
        }
        run.prune_logs();
        assert_eq!(fs::read_dir(&run.logs).unwrap().count(), LOGS_KEPT);
    }
}

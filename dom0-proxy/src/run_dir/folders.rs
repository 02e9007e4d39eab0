//! Where the folders are, and what they must be like.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::job_folder::{FoundFolder, JobFolder};
use super::lock::Lock;
use crate::error::{Context, Error, Result};

/// Jobs whose logs are kept.
pub const LOGS_KEPT: usize = 100;
/// Bytes that the logs of all jobs that have ended may take.
const LOG_BYTES_KEPT: u64 = 4 << 30;

/// The run directory, and the directories of logs and of files for others that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    root: PathBuf,
    logs: PathBuf,
    kept: PathBuf,
    /// Whether the root lies where everybody may write.
    is_in_public: bool,
}

impl RunDir {
    /// The directories that the environment asks for.
    pub fn from_env() -> Result<Self> {
        let is_root = rustix::process::geteuid().is_root();
        // A user who has become another, as by `su`, keeps the variables of the first.
        let is_usable = |name: &str, path: &Path| match name {
            "XDG_RUNTIME_DIR" | "HOME" => fs::metadata(path).is_ok_and(|found| {
                found.is_dir() && found.uid() == rustix::process::geteuid().as_raw()
            }),
            _ => true,
        };
        let run_dir = Self::choose(is_root, |name| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
            Some(PathBuf::from(value)).filter(|path| is_usable(name, path))
        })?;
        // Somebody else may have made it, to be talked with.
        if run_dir.is_in_public && fs::symlink_metadata(&run_dir.root).is_ok() {
            check_private(&run_dir.root)?;
        }
        Ok(run_dir)
    }

    fn choose(is_root: bool, variable: impl Fn(&str) -> Option<PathBuf>) -> Result<Self> {
        if let Some(root) = variable("XENOLITH_RUN_DIR") {
            let root = std::path::absolute(&root)
                .context(|| format!("run directory {}", root.display()))?;
            let (logs, kept) = (root.join("log"), root.join("kept"));
            return Ok(Self { root, logs, kept, is_in_public: false });
        }
        if is_root {
            let (root, logs) = ("/run/xenolith".into(), "/var/log/xenolith".into());
            let kept = "/var/lib/xenolith/kept".into();
            return Ok(Self { root, logs, kept, is_in_public: false });
        }
        let (root, is_in_public) = match variable("XDG_RUNTIME_DIR") {
            Some(dir) => (dir.join("xenolith"), false),
            None => (format!("/tmp/xenolith-{}", rustix::process::geteuid()).into(), true),
        };
        let state = variable("XDG_STATE_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".local/state")))
            .map_or_else(|| root.clone(), |state| state.join("xenolith"));
        Ok(Self { logs: state.join("log"), kept: state.join("kept"), root, is_in_public })
    }

    /// Makes the directories, for this user alone, and refuses those that others can change.
    pub fn create(&self) -> Result<()> {
        if self.is_in_public {
            make_private(&self.root)?;
        }
        for dir in [&self.root, &self.jobs(), &self.logs] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .context(|| format!("create directory {}", dir.display()))?;
            check_own(dir)?;
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

    /// Has the address at which the daemon listens for members, if it does.
    pub fn address(&self) -> PathBuf {
        self.root.join("address")
    }

    /// The directory of files that are kept for clients. They may be large, and are run, which file
    /// systems of run directories often do not allow.
    pub fn kept(&self) -> PathBuf {
        self.kept.clone()
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

    /// Makes the directories of a job that begins, and removes the oldest logs, so that no more
    /// than [`LOGS_KEPT`], and no more than a few GiB of them, are left besides those of jobs that
    /// run. Where the disk is full, older logs make room; a job for whose logs there is none even
    /// so has no logs.
    pub fn begin_job(&self, job: &str) -> Result<JobFolders> {
        self.begin_job_keeping(job, LOG_BYTES_KEPT)
    }

    fn begin_job_keeping(&self, job: &str, bytes_kept: u64) -> Result<JobFolders> {
        let record = JobFolder::create(&self.jobs(), job, 0)?;
        let others = JobFolder::all_in(&self.logs);
        let number = others.iter().map(FoundFolder::number).max().unwrap_or(0).saturating_add(1);
        let mut ended: Vec<_> = others.into_iter().filter_map(FoundFolder::ended).collect();
        ended.sort_by_key(JobFolder::number);
        let mut excess = (ended.len() + 1).saturating_sub(LOGS_KEPT);
        let mut bytes: u64 = ended[excess..].iter().map(JobFolder::bytes).sum();
        while bytes > bytes_kept && excess < ended.len() {
            bytes = bytes.saturating_sub(ended[excess].bytes());
            excess += 1;
        }
        ended.drain(..excess).for_each(JobFolder::remove);
        let mut ended = ended.into_iter();
        let logs = loop {
            match JobFolder::create(&self.logs, job, number) {
                Ok(logs) => break Some(logs),
                Err(error) if is_full(&error) => match ended.next() {
                    Some(oldest) => oldest.remove(),
                    None => {
                        tracing::warn!(%error, job, "there is no room for the job's logs");
                        break None;
                    }
                },
                Err(error) => {
                    record.remove();
                    return Err(error);
                }
            }
        };
        Ok(JobFolders { record, logs })
    }

    /// Removes what a daemon has left that died while it made the directories of a job.
    pub fn remove_unfinished(&self) {
        [&self.jobs(), &self.logs].into_iter().for_each(|dir| JobFolder::remove_unfinished_in(dir));
    }

    /// The jobs that have a record although nobody runs them.
    pub fn abandoned_jobs(&self) -> Vec<String> {
        let found = JobFolder::all_in(&self.jobs()).into_iter();
        found.filter_map(FoundFolder::ended).map(|record| record.job().to_owned()).collect()
    }

    /// Removes the record of a job that nobody runs, if there is one.
    pub fn remove_record(&self, job: &str) {
        let found = FoundFolder::open(&self.job(job));
        found.and_then(FoundFolder::ended).into_iter().for_each(JobFolder::remove);
    }
}

/// The directories of a job that runs.
#[derive(Debug)]
pub struct JobFolders {
    /// Its record.
    pub record: JobFolder,
    /// Its logs, which stay; none if there is no room for them.
    pub logs: Option<JobFolder>,
}

/// Whether the disk is to blame.
fn is_full(error: &Error) -> bool {
    let Error::Io { source, .. } = error else { return false };
    matches!(
        source.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}

/// Makes a directory for this user alone where everybody may make one, or takes the one that this
/// user has made so before.
fn make_private(dir: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).context(|| format!("create directory {}", dir.display())),
    }
    check_private(dir)
}

/// Refuses what is not a directory, itself and not by a link, of this user alone.
fn check_private(dir: &Path) -> Result<()> {
    let refuse = |why: &str| Err(Error::UnsafeFolder { path: dir.into(), why: why.into() });
    let found = fs::symlink_metadata(dir).context(|| dir.display().to_string())?;
    if found.uid() != rustix::process::geteuid().as_raw() {
        return refuse("it belongs to another user");
    }
    if !found.is_dir() {
        return refuse("it is not a directory");
    }
    if found.mode() & 0o077 != 0 {
        return refuse("other users can look into it");
    }
    Ok(())
}

/// Refuses a directory that others can change: what is in it is started, removed, and believed.
fn check_own(dir: &Path) -> Result<()> {
    let user = rustix::process::geteuid().as_raw();
    let refuse = |why: &str| Err(Error::UnsafeFolder { path: dir.into(), why: why.into() });
    let context = || dir.display().to_string();
    let link = fs::symlink_metadata(dir).context(context)?;
    if link.is_symlink() && ![user, 0].contains(&link.uid()) {
        return refuse("it is another user's link");
    }
    let metadata = fs::metadata(dir).context(context)?;
    if metadata.uid() != user {
        return refuse("it belongs to another user");
    }
    if metadata.mode() & 0o022 != 0 {
        return refuse("other users can write into it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

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
            [&given.root, &given.logs, &given.kept],
            ["/x", "/x/log", "/x/kept"].map(Path::new)
        );
        let root = of(true, &[("XDG_RUNTIME_DIR", "/y")]);
        assert_eq!(root.socket(), Path::new("/run/xenolith/proxy.sock"));
        assert_eq!(root.job_logs("ab"), Path::new("/var/log/xenolith/ab"));
        assert_eq!(root.kept(), Path::new("/var/lib/xenolith/kept"));
        let user = of(false, &[("XDG_RUNTIME_DIR", "/y"), ("HOME", "/h")]);
        assert_eq!(user.root, Path::new("/y/xenolith"));
        assert_eq!(user.logs, Path::new("/h/.local/state/xenolith/log"));
        assert_eq!(user.kept, Path::new("/h/.local/state/xenolith/kept"));
        assert!(![given, root, user].iter().any(|it| it.is_in_public));
        let last = of(false, &[("HOME", "/h")]);
        let user = rustix::process::geteuid();
        assert_eq!(last.root, Path::new(&format!("/tmp/xenolith-{user}")));
        assert_eq!(last.logs, Path::new("/h/.local/state/xenolith/log"));
        assert!(last.is_in_public);
        assert_eq!(of(false, &[]).logs, last.root.join("log"));
    }

    fn run_dir(dir: &Path) -> RunDir {
        let [root, logs, kept] = ["run", "log", "kept"].map(|name| dir.join(name));
        let run = RunDir { root, logs, kept, is_in_public: false };
        run.create().unwrap();
        run
    }

    /// Where a job's logs are, for which there is room.
    fn path(folders: &JobFolders) -> &Path {
        folders.logs.as_ref().unwrap().path()
    }

    /// A name that a job may have.
    fn name(number: u64) -> String {
        format!("{number:06x}")
    }

    #[test]
    fn old_logs_are_removed_by_number_whatever_the_clock_says() {
        let dir = tempfile::tempdir().unwrap();
        let run = run_dir(dir.path());
        let future = std::time::SystemTime::now() + std::time::Duration::from_secs(1 << 20);
        for number in 0..LOGS_KEPT as u64 + 5 {
            // Names sort the other way, and so do times.
            let job = name(0xffffff - number);
            let folders = run.begin_job(&job).unwrap();
            let logs = folders.logs.unwrap();
            assert!(logs.path().exists(), "a job that begins loses its own logs");
            fs::File::open(logs.path()).unwrap().set_modified(future).unwrap();
            folders.record.remove();
        }
        assert_eq!(fs::read_dir(&run.logs).unwrap().count(), LOGS_KEPT);
        assert!(!run.job_logs(&name(0xffffff - 4)).exists());
        assert!(run.job_logs(&name(0xffffff - 5)).exists());
    }

    #[test]
    fn old_logs_are_removed_when_they_are_too_large_together() {
        let dir = tempfile::tempdir().unwrap();
        let run = run_dir(dir.path());
        let log_of = |job: u64| {
            let folders = run.begin_job(&name(job)).unwrap();
            fs::write(path(&folders).join("rank-0.log"), vec![0; 1 << 20]).unwrap();
            folders
        };
        let running = log_of(0);
        (1..5).for_each(|job| drop(log_of(job)));
        let left = |most| {
            let next = run.begin_job_keeping(&name(99), most).unwrap();
            next.logs.unwrap().remove();
            next.record.remove();
            (1..5).filter(|job| run.job_logs(&name(*job)).exists()).collect::<Vec<_>>()
        };
        // Each takes a little more than its bytes, for its mark.
        assert_eq!(left(5 << 20), [1, 2, 3, 4]);
        assert_eq!(left(5 << 19), [3, 4]);
        assert_eq!(left(0), [0; 0]);
        assert!(path(&running).join("rank-0.log").exists());
    }

    #[test]
    fn the_logs_of_a_job_that_runs_stay() {
        let dir = tempfile::tempdir().unwrap();
        let run = run_dir(dir.path());
        let running = run.begin_job("abcdef").unwrap();
        for number in 0..LOGS_KEPT as u64 + 5 {
            run.begin_job(&name(number)).unwrap();
        }
        assert!(path(&running).exists());
        drop(running);
        run.begin_job("123456").unwrap();
        assert!(!run.job_logs("abcdef").exists());
    }

    #[test]
    fn what_is_not_a_jobs_own_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let run = run_dir(dir.path());
        let elsewhere = dir.path().join("elsewhere");
        JobFolder::create(dir.path(), "aaaaaa", 0).unwrap();
        fs::rename(dir.path().join("aaaaaa"), &elsewhere).unwrap();
        for folder in [run.jobs(), run.logs.clone()] {
            fs::create_dir(folder.join("thesis-2019")).unwrap();
            fs::create_dir(folder.join("abcdef")).unwrap();
            fs::write(folder.join("fedcba"), "a file").unwrap();
            // Its mark is that of another job.
            JobFolder::create(&folder, "111111", 0).unwrap();
            fs::rename(folder.join("111111"), folder.join("222222")).unwrap();
            std::os::unix::fs::symlink(&elsewhere, folder.join("aaaaaa")).unwrap();
        }
        assert_eq!(run.abandoned_jobs(), [""; 0]);
        for job in ["abcdef", "fedcba", "222222", "aaaaaa", "..", "thesis-2019"] {
            run.remove_record(job);
        }
        for number in 0..LOGS_KEPT as u64 + 5 {
            run.begin_job(&name(number)).unwrap().record.remove();
        }
        assert_eq!(fs::read_dir(run.jobs()).unwrap().count(), 5);
        assert_eq!(fs::read_dir(&run.logs).unwrap().count(), LOGS_KEPT + 5);
        assert!(elsewhere.exists());
    }

    #[test]
    fn records_of_jobs_that_nobody_runs_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let run = run_dir(dir.path());
        let running = run.begin_job("abcdef").unwrap();
        drop(run.begin_job("fedcba").unwrap());
        assert_eq!(run.abandoned_jobs(), ["fedcba"]);
        run.remove_record("abcdef");
        run.remove_record("fedcba");
        assert_eq!(run.abandoned_jobs(), [""; 0]);
        assert!(running.record.path().exists() && !run.job("fedcba").exists());
        assert!(run.begin_job("abcdef").is_err(), "a job has its directories for itself");
    }

    #[test]
    fn what_a_daemon_did_not_finish_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let run = run_dir(dir.path());
        let running = run.begin_job("abcdef").unwrap();
        for parent in [run.jobs(), run.logs.clone()] {
            for unfinished in ["000001", "000002"] {
                fs::create_dir(parent.join(format!("{unfinished}.unfinished"))).unwrap();
            }
            fs::write(parent.join("000002.unfinished/xenolith-job"), "a direc").unwrap();
            // Others'.
            fs::create_dir(parent.join("thesis.unfinished")).unwrap();
            fs::create_dir(parent.join("000003.unfinished")).unwrap();
            fs::write(parent.join("000003.unfinished/data"), "").unwrap();
        }
        run.remove_unfinished();
        for parent in [run.jobs(), run.logs.clone()] {
            assert_eq!(fs::read_dir(&parent).unwrap().count(), 3);
        }
        assert!(running.record.path().exists() && path(&running).exists());
    }

    #[test]
    fn a_folder_that_others_can_change_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let run = run_dir(dir.path());
        for folder in [run.root.clone(), run.jobs(), run.logs.clone()] {
            for mode in [0o720, 0o702, 0o777] {
                fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
                let error = run.create().unwrap_err().to_string();
                assert!(error.contains("can write into it"), "{error}");
            }
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
            run.create().unwrap();
        }
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&run.root, &link).unwrap();
        let linked = RunDir { root: link.clone(), ..run.clone() };
        linked.create().unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
            assert!(linked.create().unwrap_err().to_string().contains("another user's link"));
            std::os::unix::fs::chown(&run.root, Some(65534), None).unwrap();
            assert!(run.create().unwrap_err().to_string().contains("belongs to another user"));
        }
    }

    #[test]
    fn a_private_folder_is_made_and_nobody_elses_taken() {
        let public = tempfile::tempdir().unwrap();
        let root = public.path().join("xenolith-1000");
        let (logs, kept) = (root.join("log"), root.join("kept"));
        let run = RunDir { logs, kept, root: root.clone(), is_in_public: true };
        run.create().unwrap();
        assert_eq!(fs::metadata(&root).unwrap().mode() & 0o777, 0o700);
        run.create().unwrap();
        let refused = |why: &str| {
            let error = run.create().unwrap_err().to_string();
            assert!(error.contains(why) && error.lines().count() == 1, "{error}");
        };
        fs::set_permissions(&root, fs::Permissions::from_mode(0o750)).unwrap();
        refused("other users can look into it");
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
        let elsewhere = public.path().join("elsewhere");
        fs::rename(&root, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &root).unwrap();
        refused("it is not a directory");
        fs::remove_file(&root).unwrap();
        fs::write(&root, "a file").unwrap();
        refused("it is not a directory");
        if rustix::process::geteuid().is_root() {
            fs::remove_file(&root).unwrap();
            fs::rename(&elsewhere, &root).unwrap();
            std::os::unix::fs::chown(&root, Some(65534), None).unwrap();
            refused("it belongs to another user");
        }
    }
}

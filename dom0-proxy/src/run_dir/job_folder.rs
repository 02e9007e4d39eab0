//! A directory that is provably one job's own.

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::error::{Context, Result};

/// The mark: a file that names the job, and is locked while the job runs.
const MARK: &str = "xenolith-job";
/// What the name of a directory ends with that has no mark yet.
const UNFINISHED: &str = ".unfinished";
/// No mark is longer.
const MAX_MARK: u64 = 100;
/// Characters of a job's name.
const NAME_LENGTH: usize = 6;

/// A directory of a job, which this process alone has, until the value is dropped or the process
/// ends in any way.
#[derive(Debug)]
pub struct JobFolder {
    path: PathBuf,
    job: String,
    number: u64,
    _mark: File,
}

impl JobFolder {
    /// Makes the directory of `job` below `parent`; it must not be there yet. `number` is kept in
    /// the mark, for an order that no clock can change.
    pub fn create(parent: &Path, job: &str, number: u64) -> Result<Self> {
        let path = parent.join(job);
        let context = || format!("create directory {}", path.display());
        if !is_job_name(job) {
            return Err(ErrorKind::InvalidFilename).context(context);
        }
        if fs::symlink_metadata(&path).is_ok() {
            return Err(ErrorKind::AlreadyExists).context(context);
        }
        // It has the job's name only when it has its mark: this process may be killed at any time.
        let unfinished = parent.join(format!("{job}{UNFINISHED}"));
        DirBuilder::new().mode(0o700).create(&unfinished).context(context)?;
        let mark = || {
            let mut options = File::options();
            let mut mark =
                options.write(true).create_new(true).mode(0o600).open(unfinished.join(MARK))?;
            mark.lock()?;
            mark.write_all(text(job, number).as_bytes())?;
            fs::rename(&unfinished, &path)?;
            Ok::<_, std::io::Error>(mark)
        };
        match mark() {
            Ok(mark) => Ok(Self { job: job.into(), number, _mark: mark, path }),
            Err(error) => {
                remove_unfinished(&unfinished);
                Err(error).context(context)
            }
        }
    }

    /// Removes directories below `parent` of which only the beginning was made, by a process that
    /// has died. No other process may be making one.
    pub fn remove_unfinished_in(parent: &Path) {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let job = name.to_str().and_then(|name| name.strip_suffix(UNFINISHED));
            if job.is_some_and(is_job_name) && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_unfinished(&entry.path());
            }
        }
    }

    /// All directories below `parent` that are a job's own, whether it runs or not.
    pub fn all_in(parent: &Path) -> Vec<FoundFolder> {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        entries.filter_map(|entry| FoundFolder::open(&entry.path())).collect()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The job.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// The number that it was made with.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What the files in it take of the disk.
    pub fn bytes(&self) -> u64 {
        let files = fs::read_dir(&self.path).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|file| file.blocks() * 512).sum()
    }

    /// Removes it, with all that is in it.
    pub fn remove(self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            let path = self.path.display();
            tracing::warn!(%error, %path, "a job's directory could not be removed");
        }
    }
}

/// A directory that a job of this user has made.
#[derive(Debug)]
pub struct FoundFolder {
    path: PathBuf,
    job: String,
    number: u64,
    mark: File,
}

impl FoundFolder {
    /// The directory at `path`, if it is a job's own.
    pub fn open(path: &Path) -> Option<Self> {
        let user = rustix::process::geteuid().as_raw();
        let job = path.file_name()?.to_str().filter(|name| is_job_name(name))?.to_owned();
        let folder = fs::symlink_metadata(path).ok()?;
        if !folder.is_dir() || folder.uid() != user {
            return None;
        }
        // Whatever is there in the mark's place must not block.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut options = File::options();
        let mark = options.read(true).custom_flags(flags.bits() as i32).open(path.join(MARK));
        let mark = mark.ok()?;
        let metadata = mark.metadata().ok()?;
        if !metadata.is_file() || metadata.uid() != user {
            return None;
        }
        let mut said = String::new();
        (&mark).take(MAX_MARK).read_to_string(&mut said).ok()?;
        let number = said.trim_end().rsplit_once(' ')?.1.parse().ok()?;
        (said == text(&job, number)).then(|| Self { path: path.into(), job, number, mark })
    }

    /// The number that it was made with.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The directory, if its job runs no more.
    pub fn ended(self) -> Option<JobFolder> {
        let Self { path, job, number, mark } = self;
        mark.try_lock().ok()?;
        Some(JobFolder { path, job, number, _mark: mark })
    }
}

/// Removes a directory in which there is nothing but perhaps a mark; any other stays.
fn remove_unfinished(path: &Path) {
    let is_all = |entries: fs::ReadDir| entries.flatten().all(|entry| entry.file_name() == MARK);
    if fs::read_dir(path).is_ok_and(is_all) {
        let _ = fs::remove_file(path.join(MARK));
        let _ = fs::remove_dir(path);
    }
}

/// What the mark of a job says.
fn text(job: &str, number: u64) -> String {
    format!("a directory of job {job}, number {number}\n")
}

/// A name for a job, at random.
///
/// # Errors
/// When there are no random numbers.
pub fn random_job_name() -> Result<String> {
    let mut bytes = [0; NAME_LENGTH / 2];
    getrandom(&mut bytes, GetRandomFlags::empty()).context(|| "name a job")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether a job may have this name. No other name is ever looked at.
pub fn is_job_name(name: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    name.len() == NAME_LENGTH && name.bytes().all(is_digit)
}

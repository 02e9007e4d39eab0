//! What runs across the parts of Xenolith.
//!
//! - `tests/tests/*.rs`: jobs of hosted ranks, run by `cargo test`;
//! - `tests/xen/*.sh`: jobs of Xen guests, run in the dom0 of a real Xen host by `qemu-ci test`;
//! - `tests/benches/`: benchmarks.
//!
//! Both kinds of tests run the same applications: the examples of `guest-kernel`, and those made
//! for tests in `tests/applications`. This library is what the hosted tests share: a daemon of
//! their own, and jobs on it; or several, as if they were hosts.

#![forbid(unsafe_code)]

pub mod chaos;
pub mod dependencies;
pub mod hosts;
pub mod layers;
pub mod processes;
pub mod small_disk;
pub mod tidy;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

/// Where the programs are, built when first asked for: optimised, since the applications compute.
pub fn programs() -> Result<&'static Path> {
    static PROGRAMS: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PROGRAMS.get_or_init(|| build().map_err(|error| format!("{error:#}"))) {
        Ok(directory) => Ok(directory),
        Err(error) => bail!("{error}"),
    }
}

/// The folder of the whole project.
pub fn repository() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// Where cargo builds.
pub fn target_directory() -> Result<PathBuf> {
    let own = std::env::current_exe().context("find the test program")?;
    // TARGET/PROFILE/deps/NAME for tests and benchmarks, TARGET/PROFILE/NAME for programs.
    let folder = own.parent().context("the test program is in no folder")?;
    let profile = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    let target = profile.and_then(Path::parent);
    Ok(target.context("the test program is not in a target directory")?.to_owned())
}

fn build() -> Result<PathBuf> {
    let target = target_directory()?;
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "dom0-proxy",
            "--package",
            "guest-kernel",
            "--package",
            "test-applications",
        ])
        .args(["--bins", "--examples", "--target-dir"])
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .context("run cargo")?;
    ensure!(status.success(), "building the programs failed");
    Ok(target.join("release"))
}

/// The Linux program of an application: of `tests/applications` or an example of `guest-kernel`.
pub fn application(name: &str) -> Result<PathBuf> {
    Ok(application_in(programs()?, name))
}

fn application_in(programs: &Path, name: &str) -> PathBuf {
    let for_tests = programs.join(name);
    if for_tests.is_file() { for_tests } else { programs.join("examples").join(name) }
}

/// A daemon of its own, in a run directory of its own.
pub struct Host {
    run_dir: TempDir,
    programs: PathBuf,
    /// Whose it is, if not this process's.
    user: Option<u32>,
    /// Programs that this user may read.
    _copies: Option<TempDir>,
}

/// How a job ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit status of `pgas run`.
    pub status: i32,
    /// The ranks' output, each line with its rank as prefix.
    pub stdout: String,
    /// The ranks' error output, and what `pgas` itself said.
    pub stderr: String,
}

impl Ended {
    /// The last line of `stderr`: what `pgas` said about a failed job.
    pub fn verdict(&self) -> &str {
        self.stderr.lines().last().unwrap_or_default()
    }
}

impl Host {
    /// A host without a daemon yet: the first job starts it.
    pub fn new() -> Result<Self> {
        Self::of(programs()?)
    }

    /// The same with the programs of another build: its `target/release`.
    pub fn of(programs: &Path) -> Result<Self> {
        let run_dir = TempDir::with_prefix("xenolith-").context("make a run directory")?;
        Ok(Self { run_dir, programs: programs.to_owned(), user: None, _copies: None })
    }

    /// The same of another user, who has a copy of each of these programs and applications. Only
    /// root may do that.
    pub fn of_user(user: u32, programs: &[PathBuf]) -> Result<Self> {
        let copies = TempDir::with_prefix("xenolith-").context("make a folder for programs")?;
        for program in programs {
            let name = program.file_name().context("a program has no name")?;
            fs::copy(program, copies.path().join(name)).context("copy a program")?;
        }
        fs::set_permissions(copies.path(), fs::Permissions::from_mode(0o755))
            .context("show the copies")?;
        let mut host = Self::of(copies.path())?;
        chown(host.run_dir(), Some(user), Some(user)).context("give the run directory away")?;
        (host.user, host._copies) = (Some(user), Some(copies));
        Ok(host)
    }

    /// The run directory. Logs are in `log`.
    pub fn run_dir(&self) -> &Path {
        self.run_dir.path()
    }

    /// `pgas` with these arguments.
    pub fn pgas<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Command> {
        let mut command = Command::new(self.programs.join("pgas"));
        command.args(arguments).env("XENOLITH_RUN_DIR", self.run_dir.path()).stdin(Stdio::null());
        self.give_to_user(&mut command);
        Ok(command)
    }

    /// Has a command be this host's user's.
    pub fn give_to_user(&self, command: &mut Command) {
        if let Some(user) = self.user {
            command.uid(user).gid(user).current_dir("/");
        }
    }

    /// The Linux program of an application; a path stays what it is.
    pub fn application(&self, name: &str) -> PathBuf {
        application_in(&self.programs, name)
    }

    /// The command that runs an application on `ranks` hosted ranks.
    pub fn job(&self, ranks: usize, name: &str, arguments: &[&str]) -> Result<Command> {
        self.job_of(ranks, &application_in(&self.programs, name), arguments)
    }

    /// The same for any program.
    pub fn job_of(&self, ranks: usize, program: &Path, arguments: &[&str]) -> Result<Command> {
        let mut command =
            self.pgas(["run", "--hosted", "--timeout", "300", "-n", &ranks.to_string()])?;
        command.arg(program).arg("--").args(arguments);
        Ok(command)
    }

    /// Runs an application on `ranks` hosted ranks to its end.
    pub fn run(&self, ranks: usize, name: &str, arguments: &[&str]) -> Result<Ended> {
        ended(self.job(ranks, name, arguments)?.output().context("run pgas")?)
    }

    /// The daemon's process, if it runs.
    pub fn daemon(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.run_dir.path().join("lock")).ok()?;
        Pid::from_raw(text.strip_prefix("process ")?.trim().parse().ok()?)
            .filter(|&pid| test_kill_process(pid).is_ok())
    }

    /// What is left of jobs in the run directory.
    pub fn job_records(&self) -> Result<Vec<PathBuf>> {
        let jobs = self.run_dir.path().join("jobs");
        let entries = fs::read_dir(&jobs).with_context(|| format!("list {}", jobs.display()))?;
        entries.map(|entry| Ok(entry?.path())).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon() {
            // It may just have ended by itself.
            let _ = kill_process(daemon, Signal::TERM);
            let _ = wait_until("the daemon's end", || test_kill_process(daemon).is_err());
        }
    }
}

/// What a finished `pgas` left.
pub fn ended(output: Output) -> Result<Ended> {
    Ok(Ended {
        status: output.status.code().context("pgas was killed")?,
        stdout: String::from_utf8(output.stdout)
            .context("pgas printed something else than text")?,
        stderr: String::from_utf8(output.stderr)
            .context("pgas printed something else than text")?,
    })
}

/// Waits until `ready`, a few seconds at most.
pub fn wait_until(what: &str, mut ready: impl FnMut() -> bool) -> Result<()> {
    let start = Instant::now();
    while !ready() {
        ensure!(start.elapsed() < Duration::from_secs(20), "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// How many processes run the application `name`.
pub fn processes_of(name: &str) -> Result<usize> {
    let program = application(name)?;
    let processes = fs::read_dir("/proc").context("list processes")?;
    // A process may end while it is looked at.
    Ok(processes
        .flatten()
        .filter(|entry| fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == program))
        .count())
}

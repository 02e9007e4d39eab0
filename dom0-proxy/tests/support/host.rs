//! A run directory whose daemon the test starts itself, so that it can choose what that is limited
//! to.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// It ends with the test.
pub struct Host {
    pub dir: TempDir,
    pub daemon: Child,
}

/// How a command has ended.
#[derive(Debug)]
#[allow(dead_code, reason = "shown when a test fails")]
pub struct Ended {
    pub status: i32,
    pub output: String,
    pub errors: String,
}

#[allow(dead_code, reason = "not every test needs all")]
impl Host {
    /// With a daemon that a shell becomes after `setup`.
    pub fn new(setup: &str) -> Self {
        Self::with(setup, &[], |_| {})
    }

    /// The same, with these arguments, which may name files that `prepare` makes in its directory.
    pub fn with(setup: &str, arguments: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let dir = TempDir::with_prefix("xenolith-").unwrap();
        prepare(dir.path());
        let script = format!("{setup}\nexec \"$0\" \"$@\"");
        let daemon = Command::new("/bin/bash")
            .args(["-c", &script, env!("CARGO_BIN_EXE_dom0-proxy")])
            .args(arguments)
            .current_dir(dir.path())
            .env("XENOLITH_RUN_DIR", dir.path())
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(dir.path().join("daemon.log")).unwrap())
            .spawn()
            .unwrap();
        let host = Self { dir, daemon };
        wait_until("the daemon", || host.path().join("ranks.sock").exists());
        host
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn pgas(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgas"));
        command.args(arguments).env("XENOLITH_RUN_DIR", self.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `pgas run` of ranks that run a shell's script.
    pub fn shell(&self, size: u32, script: &str) -> Command {
        let size = size.to_string();
        let options = ["run", "--hosted", "--timeout", "120", "-n", &size];
        self.pgas(&[&options[..], &["/bin/sh", "--", "-c", script]].concat())
    }

    /// What `pgas ps` lists.
    pub fn jobs(&self) -> Vec<String> {
        let listed = end(self.pgas(&["ps", "--json"]).spawn().unwrap());
        let jobs: serde_json::Value = serde_json::from_str(&listed.output).unwrap();
        let name = |job: &serde_json::Value| job["job"].as_str().unwrap().to_owned();
        jobs.as_array().unwrap().iter().map(name).collect()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("daemon.log")).unwrap()
    }

    /// Entries of a folder of the daemon's in /proc.
    pub fn count(&self, folder: &str) -> usize {
        std::fs::read_dir(format!("/proc/{}/{folder}", self.daemon.id())).unwrap().count()
    }

    /// Open files and threads of the daemon while it has nothing to do: it has served somebody, and
    /// then nothing of it has changed for a while.
    pub fn idle(&self) -> (usize, usize) {
        self.jobs();
        let now = || (self.count("fd"), self.count("task"));
        let (mut last, mut since) = (now(), Instant::now());
        while since.elapsed() < Duration::from_millis(300) {
            thread::sleep(Duration::from_millis(5));
            if now() != last {
                (last, since) = (now(), Instant::now());
            }
        }
        last
    }

    pub fn assert_daemon_runs(&mut self) {
        assert_eq!(self.daemon.try_wait().unwrap(), None, "{}", self.log());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.daemon), Signal::TERM);
        let _ = self.daemon.wait();
    }
}

/// Waits for a command's end.
#[allow(dead_code, reason = "not every test needs all")]
pub fn end(command: Child) -> Ended {
    let Output { status, stdout, stderr } = command.wait_with_output().unwrap();
    Ended {
        status: status.code().unwrap_or(-1),
        output: String::from_utf8(stdout).unwrap(),
        errors: String::from_utf8(stderr).unwrap(),
    }
}

pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come");
        thread::sleep(Duration::from_millis(5));
    }
}

//! Several hosts on one machine: a daemon each, in a run directory of its own, with TCP between.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

use crate::processes::with_variable;
use crate::{Ended, Host, ended, programs, wait_until};

/// Hosts that know the same secret, and their daemons.
pub struct Hosts {
    hosts: Vec<Host>,
    /// Where each daemon listens.
    addresses: Vec<String>,
    folder: TempDir,
}

impl Hosts {
    /// As many hosts.
    pub fn new(count: usize) -> Result<Self> {
        let folder = TempDir::with_prefix("xenolith-").context("make a folder")?;
        let mut hosts = Self { hosts: Vec::new(), addresses: Vec::new(), folder };
        write_secret(&hosts.secret(), 'a')?;
        for number in 0..count {
            hosts.hosts.push(Host::new()?);
            hosts.addresses.push("127.0.0.1:0".into());
            hosts.start(number)?;
        }
        Ok(hosts)
    }

    /// Starts the daemon of a host, where it listened before.
    pub fn start(&mut self, number: usize) -> Result<()> {
        let run_dir = self.hosts[number].run_dir();
        let address = run_dir.join("address");
        let _ = fs::remove_file(&address);
        let log = fs::File::create(run_dir.join("daemon.log")).context("make a log")?;
        let mut daemon = Command::new(programs()?.join("dom0-proxy"))
            .args(["--detach", "--listen", &self.addresses[number], "--secret"])
            .arg(self.secret())
            .env("XENOLITH_RUN_DIR", run_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start a daemon")?;
        wait_until("the daemon", || {
            daemon.try_wait().is_ok_and(|ended| ended.is_some())
                || fs::read_to_string(&address).is_ok_and(|text| text.contains(':'))
        })?;
        let text = fs::read_to_string(&address).context("find out where the daemon listens")?;
        text.trim().clone_into(&mut self.addresses[number]);
        // Whoever waits for it is this process, as soon as it ends.
        std::thread::spawn(move || daemon.wait());
        Ok(())
    }

    /// The file with the secret that all know.
    pub fn secret(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    /// Another secret.
    pub fn other_secret(&self) -> Result<PathBuf> {
        let path = self.folder.path().join("other");
        write_secret(&path, 'b')?;
        Ok(path)
    }

    /// One of them.
    pub fn host(&self, number: usize) -> &Host {
        &self.hosts[number]
    }

    /// Where the daemon of one listens.
    pub fn address(&self, number: usize) -> &str {
        &self.addresses[number]
    }

    /// The command that runs an application on `ranks` hosted ranks, spread as `placement` says.
    pub fn job(
        &self,
        ranks: usize,
        placement: &str,
        name: &str,
        arguments: &[&str],
    ) -> Result<Command> {
        let (ranks, hosts) = (ranks.to_string(), self.addresses.join(","));
        let mut command = self.hosts[0].pgas([
            "run",
            "--hosted",
            "--timeout",
            "600",
            "-n",
            &ranks,
            "--hosts",
            &hosts,
            "--placement",
            placement,
            "--secret",
        ])?;
        command.arg(self.secret()).arg(self.hosts[0].application(name)).arg("--").args(arguments);
        Ok(command)
    }

    /// Runs it to its end.
    pub fn run(
        &self,
        ranks: usize,
        placement: &str,
        name: &str,
        arguments: &[&str],
    ) -> Result<Ended> {
        ended(self.job(ranks, placement, name, arguments)?.output().context("run pgas")?)
    }

    /// Kills the daemon of a host at once.
    pub fn kill(&self, number: usize) -> Result<()> {
        let daemon = self.hosts[number].daemon().context("the daemon does not run")?;
        kill_process(daemon, Signal::KILL).context("kill the daemon")?;
        wait_until("the daemon's end", || !is_alive(daemon))
    }

    /// Whether nothing is left of any job on a host.
    pub fn check_clean(&self, number: usize) -> Result<()> {
        let host = &self.hosts[number];
        wait_until("the end of all jobs", || host.job_records().is_ok_and(|left| left.is_empty()))?;
        let own = host.run_dir().to_string_lossy().into_owned();
        let ranks = || with_variable("XENOLITH_SOCKET").unwrap_or_default();
        wait_until("the end of all ranks", || {
            !ranks().iter().any(|(_, socket)| socket.starts_with(&own))
        })
    }
}

fn is_alive(process: Pid) -> bool {
    test_kill_process(process).is_ok()
}

fn write_secret(path: &Path, digit: char) -> Result<()> {
    fs::write(path, digit.to_string().repeat(64)).context("write a secret")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).context("hide a secret")
}

//! The tests that need no Xen: formatting, lints, and the workspace's own tests with hosted jobs
//! among them.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::verdict::{Failure, Verdicts};
use crate::install;
use crate::programs::Programs;
use crate::progress::{Step, note};
use crate::signals;
use crate::tied::tie;
use crate::workspace::Workspace;

/// Name and arguments for cargo of each check that comes before programs are built.
const CHECKS: &[(&str, &[&str])] = &[
    ("fmt", &["fmt", "--all", "--check"]),
    ("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
];
/// cargo-deny, of which Debian has no package.
const INSTALL_DENY: &[&str] =
    &["install", "--locked", "--root", "target/tools", "cargo-deny@0.20.2"];
/// Where advisories are. Without a way there cargo-deny is not worth the minutes that it compiles.
const ADVISORIES: (&str, u16) = ("github.com", 443);
/// How long to try to get there.
const REACH: Duration = Duration::from_secs(10);
/// Its programs, from the workspace.
const TOOLS: &str = "target/tools/bin";
/// What it is asked for first, which needs a network, and then.
const FETCH_ADVISORIES: &[&str] = &["deny", "--locked", "fetch", "db"];
const DENY: (&str, &[&str]) = ("deny", &["deny", "--locked", "check", "--disable-fetch"]);
const TESTS: (&str, &[&str]) = ("tests", &["test", "--workspace"]);

/// No step may take longer.
const TIME: Duration = Duration::from_secs(1800);
/// Lines of a failed step that are shown, its last ones.
const SHOWN: usize = 150;

/// Runs all of them; logs go to `logs`.
pub fn run(workspace: &Workspace, logs: &Path, verdicts: &mut Verdicts) {
    for (name, arguments) in CHECKS {
        step(workspace, logs, verdicts, name, arguments);
    }
    deny(workspace, logs, verdicts);
    // Hosted tests start the programs, so these come first.
    let started = Instant::now();
    let built = Programs::build(workspace);
    let built = built.map(drop).map_err(|error| Failure::from_error(&error));
    verdicts.add("local: programs", started.elapsed(), built);
    step(workspace, logs, verdicts, TESTS.0, TESTS.1);
}

/// Has cargo-deny look for advisories, where there is a network. All else that it checks, a test of
/// the workspace checks too, without it.
fn deny(workspace: &Workspace, logs: &Path, verdicts: &mut Verdicts) {
    let succeeds = |arguments: &[&str]| {
        let step = Step::start(format!("cargo {}", arguments.join(" ")));
        let log = logs.join("local-advisories.log");
        let result = cargo(workspace, &log, arguments);
        drop(step);
        matches!(result, Ok(Ok(())))
    };
    if !may_reach(ADVISORIES) {
        return note(format!("{} cannot be reached: nobody looks for advisories", ADVISORIES.0));
    }
    let tool = workspace.root().join(TOOLS).join("cargo-deny");
    let is_there = tool.exists() || install::find("cargo-deny").is_some();
    if !is_there && !succeeds(INSTALL_DENY) {
        return note("no cargo-deny, and it cannot be installed: nobody looks for advisories");
    }
    if !succeeds(FETCH_ADVISORIES) {
        return note("advisories cannot be fetched: nobody looks for any");
    }
    step(workspace, logs, verdicts, DENY.0, DENY.1);
}

/// Whether there is a way to this place: by itself, or perhaps by a proxy.
fn may_reach(place: (&str, u16)) -> bool {
    let by_proxy = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    if by_proxy.iter().any(|name| env::var_os(name).is_some()) {
        return true;
    }
    let addresses = place.to_socket_addrs().into_iter().flatten();
    addresses.take(2).any(|address| TcpStream::connect_timeout(&address, REACH).is_ok())
}

fn step(
    workspace: &Workspace,
    logs: &Path,
    verdicts: &mut Verdicts,
    name: &str,
    arguments: &[&str],
) {
    let step = Step::start(format!("cargo {}", arguments.join(" ")));
    let started = Instant::now();
    let log = logs.join(format!("local-{name}.log"));
    let result =
        cargo(workspace, &log, arguments).unwrap_or_else(|error| Err(Failure::from_error(&error)));
    drop(step);
    verdicts.add(&format!("local: {name}"), started.elapsed(), result);
}

fn cargo(workspace: &Workspace, log: &Path, arguments: &[&str]) -> Result<Result<(), Failure>> {
    let output = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let errors = output.try_clone().context("cannot share a log")?;
    let mut command = Command::new(Workspace::cargo());
    command
        .args(arguments)
        .current_dir(workspace.root())
        .env("PATH", path_with_tools(workspace)?)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        // So that what cargo starts can be ended with it.
        .process_group(0);
    tie(&mut command, Signal::TERM);
    let mut child = command.spawn().context("cannot run cargo")?;
    let group = signals::EndedWithUs::new(&child);
    let deadline = Instant::now() + TIME;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for cargo")? {
            let why = format!("cargo ended with {status}");
            return Ok(if status.success() { Ok(()) } else { Err(failure(why, log)) });
        }
        if Instant::now() > deadline {
            group.kill();
            child.wait().context("cannot wait for cargo")?;
            return Ok(Err(failure(format!("took longer than {} s", TIME.as_secs()), log)));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Where cargo finds its own programs and ours.
fn path_with_tools(workspace: &Workspace) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let tools = workspace.root().join(TOOLS);
    env::join_paths(env::split_paths(&path).chain([tools])).context("cannot add to PATH")
}

fn failure(why: String, log: &Path) -> Failure {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    Failure {
        why: format!("{why}; all of it is in {}", log.display()),
        output: lines[lines.len().saturating_sub(SHOWN)..].join("\n"),
    }
}

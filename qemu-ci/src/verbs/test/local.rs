//! The tests that need no Xen: formatting, lints, and the workspace's own tests with hosted jobs
//! among them.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::verdict::{Failure, Verdicts};
use crate::programs::Programs;
use crate::progress::Step;
use crate::signals;
use crate::tied::tie;
use crate::workspace::Workspace;

/// Name and arguments for cargo of each check that comes before programs are built.
const CHECKS: &[(&str, &[&str])] = &[
    ("fmt", &["fmt", "--all", "--check"]),
    ("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
];
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
    // Hosted tests start the programs, so these come first.
    let started = Instant::now();
    let built = Programs::build(workspace);
    let built = built.map(drop).map_err(|error| Failure::from_error(&error));
    verdicts.add("local: programs", started.elapsed(), built);
    step(workspace, logs, verdicts, TESTS.0, TESTS.1);
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

fn failure(why: String, log: &Path) -> Failure {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    Failure {
        why: format!("{why}; all of it is in {}", log.display()),
        output: lines[lines.len().saturating_sub(SHOWN)..].join("\n"),
    }
}

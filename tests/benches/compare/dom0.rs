//! Scripts that measure in the dom0 of a host in QEMU.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// What a host has.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// MiB of memory that guests are to have together.
    pub guests: u64,
    /// MiB that domain 0 is to have, and Xen.
    pub rest: u64,
    /// Processors.
    pub cpus: u32,
}

/// For some small guests.
pub const USUAL: Machine = Machine { guests: 4096, rest: 2048, cpus: 2 };

/// Runs a script of this directory's parent with these arguments, with `puts` put into the host,
/// each `LOCAL:REMOTE`, and returns what it printed, which also shows how far it is.
pub fn run(
    script: &str,
    puts: &[String],
    Machine { guests, rest, cpus }: Machine,
    arguments: &[String],
) -> Result<String> {
    let script = format!("{}/benches/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut qemu_ci = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--release", "--package", "qemu-ci", "--", "exec"])
        .args(["--timeout", "14400", "--cpus", &cpus.to_string()])
        .args(["--mem", &format!("{}M", guests + rest), "--guests", &format!("{guests}M")])
        .args(puts.iter().flat_map(|put| ["--put", put]))
        .arg(script)
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("run qemu-ci")?;
    let mut text = String::new();
    let output = qemu_ci.stdout.take().context("qemu-ci has no output")?;
    for line in BufReader::new(output).lines() {
        let line = line.context("read what qemu-ci prints")?;
        eprintln!("{line}");
        text.push_str(&line);
        text.push('\n');
    }
    let status = qemu_ci.wait().context("wait for qemu-ci")?;
    ensure!(status.success(), "the measurements in Xen failed: {status}");
    Ok(text)
}

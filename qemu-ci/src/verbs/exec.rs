//! `qemu-ci exec`: a script in host 1's dom0.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Ground, command, pass_on};
use crate::channel::Dom0Command;
use crate::cli::{ExecArgs, Get};
use crate::cluster::{Cluster, Ending};

const SCRIPT_DIR: &str = "/opt/xenolith/script";
const GET_TIME: Duration = Duration::from_secs(300);

/// Runs it; gives the script's status.
pub fn run(args: &ExecArgs) -> Result<i32> {
    let invocation = Invocation::of(&args.script, &args.arguments)?;
    let ground = Ground::prepare()?;
    let mut packing = ground.pack(&args.content)?;
    packing.put(&args.script, &invocation.remote)?;
    let overlay = packing.finish()?;
    let setup = ground.setup(args.content.hosts, &args.host)?;
    let (mut cluster, _run) = ground.boot(&setup, &overlay)?;
    let outcome = cluster.run(1, invocation.command, args.timeout, pass_on)?;
    let status = match outcome {
        Ending::Exited(exit) => exit.status(),
        Ending::NotStarted(why) => bail!("{} cannot be run in dom0: {why}", args.script.display()),
        Ending::HostLost(why) => bail!("{why}\n{}", cluster.serial_tail(1)),
        Ending::TimedOut => {
            get_all(&mut cluster, &args.get)?;
            bail!(
                "{} took longer than {} s and was ended (--timeout gives it more)\n{}",
                args.script.display(),
                args.timeout.as_secs(),
                cluster.serial_tail(1)
            )
        }
    };
    get_all(&mut cluster, &args.get)?;
    Ok(status)
}

/// How a script is run in dom0.
pub(super) struct Invocation {
    /// Where it lies there.
    pub remote: String,
    /// What runs it.
    pub command: Dom0Command,
}

impl Invocation {
    /// By its own first line or, without one, by bash.
    pub fn of(script: &Path, arguments: &[String]) -> Result<Self> {
        let Some(name) = script.file_name() else { bail!("{} names no script", script.display()) };
        Self::at(script, format!("{SCRIPT_DIR}/{}", name.to_string_lossy()), arguments)
    }

    /// As above, for a script that lies at a certain place in dom0.
    pub fn at(script: &Path, remote: String, arguments: &[String]) -> Result<Self> {
        let mut beginning = Vec::new();
        File::open(script)
            .and_then(|file| file.take(4).read_to_end(&mut beginning))
            .with_context(|| format!("cannot read {}", script.display()))?;
        let executable = {
            use std::os::unix::fs::PermissionsExt;
            let metadata = fs::metadata(script)
                .with_context(|| format!("cannot read {}", script.display()))?;
            metadata.permissions().mode() & 0o111 != 0
        };
        let runs_itself =
            executable && (beginning.starts_with(b"#!") || beginning.starts_with(b"\x7fELF"));
        let mut argv: Vec<String> = Vec::new();
        if !runs_itself {
            argv.push("bash".into());
        }
        argv.push(remote.clone());
        argv.extend_from_slice(arguments);
        Ok(Self { remote, command: command(argv) })
    }
}

fn get_all(cluster: &mut Cluster, gets: &[Get]) -> Result<()> {
    gets.iter().try_for_each(|get| {
        let Get { remote, local } = get;
        let content = cluster
            .ask(1, Dom0Command::new(["cat", remote.as_str()]), GET_TIME)
            .with_context(|| format!("cannot get {remote} out of dom0"))?;
        fs::write(local, content).with_context(|| format!("cannot write {}", local.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_script_runs_by_its_first_line_or_by_bash() {
        let dir = tempfile::tempdir().unwrap();
        let argv = |content: &str, mode| {
            let script = dir.path().join("s.sh");
            fs::write(&script, content).unwrap();
            fs::set_permissions(&script, fs::Permissions::from_mode(mode)).unwrap();
            Invocation::of(&script, &["-x".into()]).unwrap().command.argv
        };
        let remote = format!("{SCRIPT_DIR}/s.sh");
        assert_eq!(argv("#!/bin/sh\n", 0o755), [remote.as_str(), "-x"]);
        assert_eq!(argv("#!/bin/sh\n", 0o644), ["bash", &remote, "-x"]);
        assert_eq!(argv("true\n", 0o755), ["bash", &remote, "-x"]);
        assert!(Invocation::of(&dir.path().join("none"), &[]).is_err());
    }
}

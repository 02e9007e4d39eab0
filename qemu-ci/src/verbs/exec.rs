//! `qemu-ci exec`: a script in host 1's dom0.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use image_builder::publish::{PLAIN, publish};

use super::{Ground, command, pass_on};
use crate::channel::Dom0Command;
use crate::cli::{ExecArgs, Get};
use crate::cluster::{Cluster, Ending, Patience};
use crate::progress::note;

const SCRIPT_DIR: &str = "/opt/xenolith/script";
const GET_TIME: Duration = Duration::from_secs(300);

/// Runs it; gives the script's status.
pub fn run(args: &ExecArgs) -> Result<i32> {
    let invocation = Invocation::of(&args.script, &args.arguments)?;
    for Get { local, .. } in &args.get {
        // Found missing now rather than after the script.
        let folder = local.parent().filter(|folder| !folder.as_os_str().is_empty());
        ensure!(
            folder.is_none_or(Path::is_dir),
            "no folder for {}, which is to be got out of dom0",
            local.display()
        );
    }
    let ground = Ground::prepare()?;
    let mut packing = ground.pack(&args.content)?;
    packing.put(&args.script, &invocation.remote)?;
    let overlay = packing.finish()?;
    let setup = ground.setup(args.content.hosts, &args.host)?;
    let (mut cluster, _logs) = ground.boot(&setup, &overlay)?;
    let ending = cluster.run(1, invocation.command, Patience::Whole(args.timeout), pass_on)?;
    let script = args.script.display();
    match ending {
        Ending::Exited(end) => {
            get_all(&mut cluster, &args.get);
            Ok(end.status())
        }
        Ending::NotStarted(why) => bail!("{script} cannot be run in dom0: {why}"),
        Ending::HostLost(why) => bail!("{why}\n{}", cluster.serial_tail(1)),
        Ending::TimedOut => {
            get_all(&mut cluster, &args.get);
            bail!(
                "{script} took longer than {} s and was ended (--timeout gives it more)\n{}",
                args.timeout.as_secs(),
                cluster.serial_tail(1)
            )
        }
    }
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

/// Gets what there is. What the script says by its status is more important than a file that is not
/// there, which is only told.
fn get_all(cluster: &mut Cluster, gets: &[Get]) {
    for get in gets {
        if let Err(error) = get_one(cluster, get) {
            note(format_args!("cannot get {}: {error:#}", get.remote));
        }
    }
}

fn get_one(cluster: &mut Cluster, Get { remote, local }: &Get) -> Result<()> {
    let content = cluster.ask(1, Dom0Command::new(["cat", "--", remote]), GET_TIME)?;
    // A terminal, a pipe or a link is what the user wants to be written to.
    let result = match fs::symlink_metadata(local) {
        Ok(metadata) if !metadata.is_file() => fs::write(local, content),
        _ => publish(local, &content, PLAIN),
    };
    result.with_context(|| format!("cannot write {}", local.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_that_is_not_there_keeps_no_other_from_being_got() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let get = |remote: &str, local: &str| Get {
            remote: at(remote).to_str().unwrap().to_owned(),
            local: at(local),
        };
        fs::write(at("there"), "content").unwrap();
        let gets = [get("missing", "one"), get("there", "two"), get("there", "no-folder/three")];
        let mut cluster = Cluster::of_this_machine();
        get_all(&mut cluster, &gets);
        assert!(!at("one").exists());
        assert_eq!(fs::read(at("two")).unwrap(), b"content");
        let error = format!("{:#}", get_one(&mut cluster, &gets[0]).unwrap_err());
        assert!(error.contains("status 1") && error.contains("missing"), "{error}");
        let error = format!("{:#}", get_one(&mut cluster, &gets[2]).unwrap_err());
        assert!(error.starts_with("cannot write"), "{error}");
    }

    #[test]
    fn what_is_no_plain_file_is_written_to_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let get = Get { remote: "/proc/self/comm".into(), local: link.clone() };
        get_one(&mut Cluster::of_this_machine(), &get).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"cat\n");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

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

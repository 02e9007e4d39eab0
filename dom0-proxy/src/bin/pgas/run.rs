//! `pgas run`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use armci_nostd::wire::MAX_RANKS;
use dom0_proxy::control::{ClientRequest, InputFor, JobSpec, RankKind, RestoreSpec};
use dom0_proxy::inheritance::Inheritance;
use dom0_proxy::{Error, xen, xl};
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;

use crate::arguments::{RunArguments, ShowArguments, Stdin};
use crate::lives::{Lives, live};
use crate::{environment, image, saving};

const DEFAULT_MEMORY: u64 = 16 << 20;
const DEFAULT_HOSTED_MEMORY: u64 = 256 << 20;

/// Runs a job to its end; the status to end with.
pub fn run(arguments: &RunArguments) -> anyhow::Result<u8> {
    let spec = spec(arguments)?;
    if let Some(saving) = &spec.saving {
        saving::check_new(&saving.directory)?;
    }
    let again = spec.saving.clone().map(|saving| RestoreSpec {
        directory: saving.directory.clone(),
        line: None,
        memory: None,
        size: None,
        has_input: spec.input != InputFor::Nobody,
        timeout: spec.timeout,
        saving: Some(saving),
        after: None,
    });
    live(&Lives {
        again,
        size: spec.size,
        kind: spec.kind,
        has_input: spec.input != InputFor::Nobody,
        first: ClientRequest::Run(spec),
        restarts: arguments.saving.restart,
        grace: arguments.saving.grace,
        show: &arguments.show,
    })
}

fn spec(arguments: &RunArguments) -> anyhow::Result<JobSpec> {
    let kind = if arguments.hosted { RankKind::Hosted } else { RankKind::Xen };
    if arguments.size == 0 || arguments.size > MAX_RANKS {
        return Err(Error::BadSize { asked: arguments.size, max: MAX_RANKS }.into());
    }
    let memory = match (&arguments.mem, kind) {
        (Some(text), _) => image::parse_memory(text)?,
        (None, RankKind::Xen) => DEFAULT_MEMORY,
        (None, RankKind::Hosted) => DEFAULT_HOSTED_MEMORY,
    };
    let timeout = timeout(&arguments.show)?;
    let directories = std::env::var_os("XENOLITH_IMAGES").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&directories).collect();
    let image = image::find(&arguments.image, kind, &directories)?;
    image::check(&image, kind, memory)?;
    if kind == RankKind::Xen {
        xen::check_privileged()?;
        xl::check_installed()?;
    }
    let files = arguments.files.iter().map(|path| file(path)).collect::<Result<_, _>>()?;
    let added = environment::variables(&arguments.environment, |name| std::env::var_os(name))?;
    Ok(JobSpec {
        kind,
        size: arguments.size,
        memory,
        image,
        args: arguments.args.clone(),
        files,
        environment: match kind {
            // The last of a name counts.
            RankKind::Hosted => std::env::vars_os().chain(added).collect(),
            RankKind::Xen => added,
        },
        inheritance: Inheritance::of_this_process(),
        input: input(arguments.stdin),
        directory: std::env::current_dir().context("the working directory")?,
        timeout,
        saving: saving::of_run(&arguments.saving, kind, arguments.dir.as_deref())?,
        after: None,
        part: None,
    })
}

/// When to give up.
pub fn timeout(arguments: &ShowArguments) -> anyhow::Result<Option<Duration>> {
    let limit = |seconds: f64| {
        let limit = Duration::try_from_secs_f64(seconds).ok().filter(|limit| !limit.is_zero());
        limit.with_context(|| {
            format!("--timeout {seconds}: give a number of seconds above 0, at most 1.8e19")
        })
    };
    arguments.timeout.map(limit).transpose()
}

/// Who gets the standard input of this process.
fn input(asked: Stdin) -> InputFor {
    match asked {
        Stdin::None => InputFor::Nobody,
        _ if !may_read_input() => InputFor::Nobody,
        Stdin::All => InputFor::All,
        Stdin::Rank0 => InputFor::Rank0,
    }
}

/// Whether standard input is this process's to read.
pub fn may_read_input() -> bool {
    // A terminal belongs to the shell while this process is in the background.
    let stdin = std::io::stdin();
    let is_in_foreground = || tcgetpgrp(&stdin).is_ok_and(|group| group == getpgrp());
    !stdin.is_terminal() || is_in_foreground()
}

fn file(path: &Path) -> dom0_proxy::Result<PathBuf> {
    let bad = |why: String| Error::BadFile { path: path.into(), why };
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            std::path::absolute(path).map_err(|error| bad(error.to_string()))
        }
        Ok(_) => Err(bad("it is not a file".into())),
        Err(error) => Err(bad(error.to_string())),
    }
}

//! `pgas run`.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use armci_nostd::wire::MAX_RANKS;
use dom0_proxy::control::{ClientRequest, InputFor, JobSpec, RankKind, RestoreSpec};
use dom0_proxy::inheritance::Inheritance;
use dom0_proxy::{Error, xen, xl};
use rustix::fs::{FileType, fstat};
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;

use crate::arguments::{RunArguments, ShowArguments, Stdin};
use crate::lives::{Lives, live};
use crate::output::print_error;
use crate::{environment, hub, image, saving};

const DEFAULT_MEMORY: u64 = 16 << 20;
const DEFAULT_HOSTED_MEMORY: u64 = 256 << 20;

/// Runs a job to its end; the status to end with.
pub fn run(arguments: &RunArguments) -> anyhow::Result<u8> {
    let hub = hub::hub(&arguments.hosts, arguments.size)?;
    let spec = spec(arguments, hub.is_some())?;
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
        hub,
        has_input: spec.input != InputFor::Nobody,
        first: ClientRequest::Run(spec),
        restarts: arguments.saving.restart,
        grace: arguments.saving.grace,
        show: &arguments.show,
    })
}

fn spec(arguments: &RunArguments, is_over_hosts: bool) -> anyhow::Result<JobSpec> {
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
    // Other hosts find out for themselves.
    if kind == RankKind::Xen && !is_over_hosts {
        xen::check_privileged()?;
        xl::check_installed()?;
    }
    let files = arguments.files.iter().map(|path| file(path)).collect::<Result<_, _>>()?;
    let saving = match is_over_hosts {
        true => saving::none_over_hosts(&arguments.saving, arguments.dir.as_deref())?,
        false => saving::of_run(&arguments.saving, kind, arguments.dir.as_deref())?,
    };
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
        input: match is_over_hosts {
            true => no_input(arguments.stdin),
            false => input(arguments.stdin.unwrap_or(Stdin::Rank0)),
        },
        directory: std::env::current_dir().context("the working directory")?,
        timeout,
        saving,
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

/// Standard input is a file descriptor, which does not reach other hosts: says so to whoever may
/// count on it.
fn no_input(asked: Option<Stdin>) -> InputFor {
    let is_expected = match asked {
        Some(asked) => asked != Stdin::None,
        None => has_content(std::io::stdin()),
    };
    if is_expected {
        print_error("pgas: standard input does not reach ranks of a job over several hosts");
    }
    InputFor::Nobody
}

/// Whether a file is one from which a user has something read.
fn has_content(file: impl AsFd) -> bool {
    let kind = fstat(file).map(|stat| FileType::from_raw_mode(stat.st_mode));
    matches!(kind, Ok(FileType::RegularFile | FileType::Fifo | FileType::Socket))
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

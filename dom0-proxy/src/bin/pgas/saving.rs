//! Where a job is saved, and how often.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use dom0_proxy::control::{RankKind, Saving};
use dom0_proxy::images::{ImageStore, ImagesError, as_argument};

use crate::arguments::SavingArguments;

/// What the arguments of a run ask for; `directory` is that of `--dir`.
pub fn of_run(
    arguments: &SavingArguments,
    kind: RankKind,
    directory: Option<&Path>,
) -> anyhow::Result<Option<Saving>> {
    let is_asked = arguments.every.is_some() || arguments.restart > 0 || arguments.grace.is_some();
    let Some(directory) = directory else {
        ensure!(!is_asked, "--every, --restart and --grace need --dir DIR for the images");
        return Ok(None);
    };
    ensure!(kind == RankKind::Xen, "--dir: ranks that are processes cannot be saved");
    let directory =
        std::path::absolute(directory).with_context(|| directory.display().to_string())?;
    Ok(Some(of_directory(arguments, directory)))
}

/// The same of a run over several hosts, which cannot be saved.
pub fn none_over_hosts(
    arguments: &SavingArguments,
    directory: Option<&Path>,
) -> anyhow::Result<Option<Saving>> {
    let SavingArguments { every, restart, grace, .. } = arguments;
    let is_asked = every.is_some() || *restart > 0 || grace.is_some() || directory.is_some();
    ensure!(
        !is_asked,
        "--dir, --every, --restart and --grace: recovery lines over several hosts are still to come"
    );
    Ok(None)
}

/// The same of a job whose directory of images is known.
pub fn of_directory(arguments: &SavingArguments, directory: PathBuf) -> Saving {
    let SavingArguments { every, keep, .. } = arguments;
    Saving { directory, every: *every, keep: *keep }
}

/// Makes the directory of images of a job that begins. One in which there are images already is
/// another job's, to which this one would go back.
pub fn check_new(directory: &Path) -> anyhow::Result<()> {
    let there = |store: ImageStore| Ok::<_, ImagesError>(store.images()?.len());
    let count = ImageStore::open_or_create(directory).and_then(there)?;
    ensure!(
        count == 0,
        "{} has images of another job: go on with it by `pgas restore {}`, or name another \
         directory",
        directory.display(),
        as_argument(directory)
    );
    Ok(())
}

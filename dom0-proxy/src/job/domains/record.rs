//! A job's record: what `xl create` reads.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use super::cpio;
use super::image::{copy_image, keep_image};
use crate::control::JobSpec;
use crate::error::{Context, Error, Result};
use crate::job::saved::SavedJob;
use crate::xl::{self, DomainConfig};

/// A file in a job's record on which every running `xl create` holds a lock.
pub const CREATING: &str = "creating";

/// The name of the boot module in a job's record, if there is one.
pub const MODULE: &str = "files.cpio";

/// Writes it for `job` into the directory `record`: the image, the boot module, and a configuration
/// for each rank of this host. Where those are, by rank. A job that was `saved` has image and
/// module from there.
pub fn write(
    job: &str,
    spec: &JobSpec,
    saved: Option<&SavedJob>,
    record: &Path,
) -> Result<Vec<(u32, PathBuf)>> {
    let create = |path: &Path| File::create(path).context(|| format!("create {}", path.display()));
    create(&record.join(CREATING))?;
    let words = xl::common_words(&environment(spec)?, &spec.args);
    let (words, rest) = match xl::can_be_on_command_line(&words) {
        true => (words.as_str(), None),
        false => (xl::WORDS_IN_MODULE, Some(words.as_str())),
    };
    let ramdisk = record.join(MODULE);
    let (image, has_module) = match saved {
        Some(saved) => {
            let (kernel, module) = saved.program()?;
            let image = keep_image(&spec.image, &kernel, spec.memory, record)?;
            if !module.is_empty() {
                fs::write(&ramdisk, &module).context(|| format!("write {}", ramdisk.display()))?;
            }
            (image, !module.is_empty())
        }
        None => {
            let image = copy_image(&spec.image, spec.memory, record)?;
            let has_module = !spec.files.is_empty() || rest.is_some();
            if has_module {
                let rest = rest.map(|rest| (xl::REST, rest.as_bytes()));
                cpio::write(BufWriter::new(create(&ramdisk)?), rest, &spec.files, spec.memory)?;
            }
            (image, has_module)
        }
    };
    let most_grant_frames = xl::most_grant_frames()?;
    let render = |rank| {
        let config = DomainConfig {
            job,
            rank,
            size: spec.size,
            memory_mib: spec.memory_mib(),
            most_grant_frames,
            kernel: &image,
            ramdisk: has_module.then_some(&ramdisk),
            has_stdin: spec.input.is_for(rank),
            lands: saved.is_some(),
            words,
        };
        let path = record.join(format!("rank-{rank}.cfg"));
        fs::write(&path, config.render()?).context(|| format!("write {}", path.display()))?;
        Ok((rank, path))
    };
    spec.ranks_here().map(render).collect()
}

/// The environment as `NAME=VALUE` words.
fn environment(spec: &JobSpec) -> Result<Vec<String>> {
    let word = |(name, value): &(OsString, OsString)| {
        let (name, value) = (name.to_str()?, value.to_str()?);
        Some(format!("{name}={value}"))
    };
    let words: Option<Vec<String>> = spec.environment.iter().map(word).collect();
    words.ok_or_else(|| Error::Protocol {
        peer: "pgas".into(),
        why: "the environment of ranks in Xen is not UTF-8".into(),
    })
}

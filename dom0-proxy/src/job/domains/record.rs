//! A job's record: what `xl create` reads.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use super::cpio;
use crate::control::JobSpec;
use crate::error::{Context, Result};
use crate::xl::{self, DomainConfig};

/// A file in a job's record on which every running `xl create` holds a lock.
pub const CREATING: &str = "creating";

/// Writes it for `job` into the directory `record`: the boot module, and a configuration for each
/// rank. Where those are.
pub fn write(job: &str, spec: &JobSpec, record: &Path) -> Result<Vec<PathBuf>> {
    let create = |path: &Path| File::create(path).context(|| format!("create {}", path.display()));
    create(&record.join(CREATING))?;
    let ramdisk = record.join("files.cpio");
    if !spec.files.is_empty() {
        cpio::write(BufWriter::new(create(&ramdisk)?), &spec.files)?;
    }
    let most_grant_frames = xl::most_grant_frames()?;
    let render = |rank| {
        let config = DomainConfig {
            job,
            rank,
            size: spec.size,
            memory_mib: spec.memory_mib(),
            most_grant_frames,
            kernel: &spec.image,
            ramdisk: (!spec.files.is_empty()).then_some(&ramdisk),
            args: &spec.args,
        };
        let path = record.join(format!("rank-{rank}.cfg"));
        fs::write(&path, config.render()?).context(|| format!("write {}", path.display()))?;
        Ok(path)
    };
    (0..spec.size).map(render).collect()
}

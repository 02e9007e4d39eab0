//! What is asked of `xl`.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;

use super::listing::{self, Domain, HostInfo};
use super::names::parse_domain_name;
use super::tool::{program, run, run_with};
use crate::error::{Error, Result};

/// All domains of the host.
pub fn list() -> Result<Vec<Domain>> {
    Ok(listing::parse(&run(&["list", "-v"])?))
}

/// The domains of one job, by rank.
pub fn domains_of(job: &str) -> Result<Vec<(u32, Domain)>> {
    let of_job = |domain: Domain| match parse_domain_name(&domain.name) {
        Some((name, rank)) if name == job => Some((rank, domain)),
        _ => None,
    };
    Ok(list()?.into_iter().filter_map(of_job).collect())
}

/// What Xen has and allows, now.
pub fn host_info() -> Result<HostInfo> {
    HostInfo::parse(&run(&["info"])?).ok_or_else(|| Error::Tool {
        command: "xl info".into(),
        why: "it does not say free_memory".into(),
    })
}

/// Grant frames that Xen lets a domain have, as [`host_info`] says. It is asked once: as long as
/// Xen runs that stays.
pub fn most_grant_frames() -> Result<u64> {
    static FRAMES: OnceLock<u64> = OnceLock::new();
    if let Some(frames) = FRAMES.get() {
        return Ok(*frames);
    }
    let frames = host_info()?.most_grant_frames;
    Ok(*FRAMES.get_or_init(|| frames))
}

/// MiB of memory that the ranks on this host have.
pub fn memory_of_ranks_mib() -> Result<u64> {
    let domains = list()?.into_iter();
    let ranks = domains.filter(|domain| parse_domain_name(&domain.name).is_some());
    Ok(ranks.map(|domain| domain.memory_mib).sum())
}

/// Memory that a domain of `memory` MiB takes from the host: Xen's paging pool and structures come
/// on top.
pub fn host_memory_mib(memory: u64) -> u64 {
    memory + 2 + memory / 128
}

/// Creates a domain and lets it run.
///
/// `token` becomes the tool's standard input: who holds a lock on that file holds it for the tool
/// too, until it has ended, so that others can wait for a creation that this process did not live
/// to see.
pub fn create(config: &Path, token: File) -> Result<()> {
    let arguments = [OsStr::new("create"), OsStr::new("-q"), OsStr::new("-e"), config.as_os_str()];
    run_with(&arguments, Stdio::from(token)).map(drop)
}

/// Destroys a domain, whatever its state. It is no error when it is gone already.
pub fn destroy(domain: u32) -> Result<()> {
    match run(&["destroy", &domain.to_string()]) {
        Err(error) if !list()?.iter().any(|other| other.id == domain && !other.dying) => {
            tracing::debug!(%error, domain, "the domain was gone already");
            Ok(())
        }
        result => result.map(drop),
    }
}

/// Whether `xl` is there.
pub fn check_installed() -> Result<()> {
    program().map(drop)
}

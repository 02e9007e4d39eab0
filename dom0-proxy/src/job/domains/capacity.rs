//! Whether the host has room for a job.

use std::thread;
use std::time::Duration;

use crate::control::JobSpec;
use crate::error::{Error, Result};
use crate::xl::HostInfo;
use crate::{xen, xl};

const PAGES_A_MIB: u64 = 256;
/// Pages of which Xen keeps note in one of its own: `struct grant_mapping` has 16 bytes.
const ENTRIES_A_FRAME: u64 = 256;

/// Whether the host can run its ranks of such a job: it is Xen's domain 0, and there is enough
/// memory, which domain 0 can have mapped.
pub fn check(spec: &JobSpec) -> Result<()> {
    xen::check_privileged()?;
    xl::check_installed()?;
    let each_mib = spec.memory_mib();
    let ranks = spec.count_here();
    let needed_mib = xl::host_memory_mib(each_mib) * u64::from(ranks);
    let mut info = xl::host_info()?;
    if info.free_memory_mib < needed_mib {
        // Xen cleans the memory of domains that have just ended before it counts as free.
        thread::sleep(Duration::from_secs(1));
        info = xl::host_info()?;
    }
    let HostInfo { free_memory_mib: free_mib, most_grant_frames, most_maptrack_frames } = info;
    if free_mib < needed_mib {
        return Err(Error::NotEnoughMemory { ranks, each_mib, needed_mib, free_mib });
    }
    let others_mib = xl::memory_of_ranks_mib()?;
    let is_paravirtual = xen::is_paravirtual();
    check_maptrack(spec, others_mib, is_paravirtual, most_maptrack_frames, most_grant_frames)
}

/// Whether domain 0 can have all memory of the job's ranks mapped, besides that of other ranks.
fn check_maptrack(
    spec: &JobSpec,
    others_mib: u64,
    is_paravirtual: bool,
    most_frames: u64,
    most_grant_frames: u64,
) -> Result<()> {
    let (ranks, each_mib) = (spec.count_here(), spec.memory_mib());
    let all_mib = (each_mib * u64::from(ranks)).saturating_add(others_mib);
    let times = if is_paravirtual { 2 } else { 1 };
    let frames = all_mib.saturating_mul(PAGES_A_MIB * times).div_ceil(ENTRIES_A_FRAME);
    if frames > most_frames {
        // Who boots Xen again is to do so once.
        let grant_frames = xl::more_grant_frames(each_mib).filter(|it| *it > most_grant_frames);
        return Err(Error::NotEnoughMaptrack {
            ranks,
            each_mib,
            others_mib,
            frames,
            most_frames,
            grant_frames,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::RankKind;

    #[test]
    fn memory_that_domain_0_cannot_map_is_refused_before_the_start() {
        let check = |size, mib: u64, others_mib, is_paravirtual, most_frames| {
            let (kind, memory) = (RankKind::Xen, mib << 20);
            let spec = JobSpec { kind, size, memory, ..JobSpec::smallest() };
            check_maptrack(&spec, others_mib, is_paravirtual, most_frames, 300)
        };
        check(1, 480, 0, true, 1024).unwrap();
        check(32, 16, 0, true, 1024).unwrap();
        check(2, 500, 0, false, 1024).unwrap();
        check(2, 500, 0, true, 2000).unwrap();
        for refused in [check(2, 500, 0, true, 1024), check(1, 500, 500, true, 1024)] {
            let error = refused.unwrap_err();
            assert_eq!(error.exit_status(), crate::error::status::HOST);
            let error = error.to_string();
            assert!(error.contains("gnttab_max_maptrack_frames=2000"), "{error}");
            assert!(!error.contains("gnttab_max_frames"), "{error}");
        }
        let error = check(2, 600, 0, true, 1024).unwrap_err().to_string();
        assert!(error.contains("2400") && error.contains(" and gnttab_max_frames=302"), "{error}");
    }
}

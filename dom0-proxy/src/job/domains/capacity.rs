//! Whether the host has room for a job.

use std::thread;
use std::time::Duration;

use crate::control::JobSpec;
use crate::error::{Error, Result};
use crate::{xen, xl};

/// Whether the host can run such a job: it is Xen's domain 0, and there is enough memory.
pub fn check(spec: &JobSpec) -> Result<()> {
    xen::check_privileged()?;
    xl::check_installed()?;
    let each_mib = spec.memory_mib();
    let needed_mib = xl::host_memory_mib(each_mib) * u64::from(spec.size);
    let mut free_mib = xl::free_memory_mib()?;
    if free_mib < needed_mib {
        // Xen cleans the memory of domains that have just ended before it counts as free.
        thread::sleep(Duration::from_secs(1));
        free_mib = xl::free_memory_mib()?;
    }
    if free_mib < needed_mib {
        return Err(Error::NotEnoughMemory { ranks: spec.size, each_mib, needed_mib, free_mib });
    }
    Ok(())
}

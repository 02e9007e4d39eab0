//! Whether the daemon may have as many files open as a job takes.

use rustix::process::{Resource, getrlimit};

use crate::control::{JobSpec, RankKind};
use crate::error::{Error, Result};

/// Open files that are left for clients and tools.
const SPARE: u64 = 16;

/// Refuses a job for which there are too few: when they run out in the middle, it is hard to say
/// whom that hits.
pub fn check(spec: &JobSpec) -> Result<()> {
    let Some(most) = getrlimit(Resource::Nofile).current else { return Ok(()) };
    let each = match spec.kind {
        // Log, console and its page, granted pages, and at times a tool's two pipes.
        RankKind::Xen => 6,
        // Log, two pipes, process, connection, window and two doorbells.
        RankKind::Hosted => 8,
    };
    let needed = each * u64::from(spec.size);
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
    let free = most.saturating_sub(open).saturating_sub(SPARE);
    if needed <= free { Ok(()) } else { Err(Error::NotEnoughOpenFiles { needed, free, most }) }
}

//! The daemon's program, started again, becomes a rank.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use super::control_group::enter;
use crate::inheritance::Inheritance;

/// The argument by which this program, started again, becomes a rank: see [`become_rank`].
pub const RANK_ARGUMENT: &str = "__rank";

/// Linux kills such processes before all others when memory runs out.
const MOST_KILLABLE: &str = "1000";

/// Has this process killed when the daemon ends, whose number `parent` is.
pub(super) fn live_no_longer_than(parent: Option<u32>) -> Result<(), String> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("bind this process's life to the daemon's: {error}"))?;
    // If the daemon died before that call, nobody will send the signal.
    let now = rustix::process::getppid().and_then(|pid| pid.as_raw_nonzero().get().try_into().ok());
    if now == parent { Ok(()) } else { Err("the daemon is gone".into()) }
}

/// Has this process killed before the daemon when the host's memory runs out. What cannot be set
/// stays.
pub(super) fn be_killed_first() {
    let _ = std::fs::write("/proc/self/oom_score_adj", MOST_KILLABLE);
}

/// By what a file can be told from another one that takes its place, or from what it was before it
/// was written to. Empty if there is none.
pub fn identity(program: &Path) -> String {
    let Ok(found) = std::fs::metadata(program) else { return String::new() };
    let (dev, ino, size) = (found.dev(), found.ino(), found.size());
    format!("{dev} {ino} {size} {}.{:09}", found.mtime(), found.mtime_nsec())
}

/// What the daemon's program does when it is started as a rank: binds its life to the daemon's,
/// takes on what it has from its `pgas`, and becomes the application, if that still is what it was
/// when the job began. `arguments` are those after [`RANK_ARGUMENT`]. Returns only when that fails,
/// with the reason.
pub fn become_rank(mut arguments: impl Iterator<Item = OsString>) -> String {
    let parent = arguments.next().and_then(|word| word.to_str()?.parse().ok());
    let inheritance = arguments.next().and_then(|word| serde_json::from_str(word.to_str()?).ok());
    let inheritance: Inheritance = match inheritance {
        Some(inheritance) => inheritance,
        None => return "it is started by `pgas run`, not by hand".into(),
    };
    let (Some(expected), Some(groups)) = (arguments.next(), arguments.next()) else {
        return "no control groups".into();
    };
    let Some(program) = arguments.next() else { return "no program".into() };
    if let Err(why) = live_no_longer_than(parent) {
        return why;
    }
    be_killed_first();
    enter(&groups.to_string_lossy());
    let missing = inheritance.take_on();
    // All ranks miss the same.
    if std::env::var_os("XENOLITH_RANK").is_some_and(|rank| rank == "0") {
        for line in missing {
            let _ = std::io::stderr().write_all(format!("pgas: ranks' {line}\n").as_bytes());
        }
    }
    if expected != *identity(Path::new(&program)) {
        let program = program.to_string_lossy();
        return format!("{program} was changed while the job's ranks were started: run it again");
    }
    let error = Command::new(&program).args(arguments).exec();
    format!("{}: {error}", program.to_string_lossy())
}

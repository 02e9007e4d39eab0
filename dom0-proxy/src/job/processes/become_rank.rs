//! The daemon's program, started again, becomes a rank.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::Signal;

/// The argument by which this program, started again, becomes a rank: see [`become_rank`].
pub const RANK_ARGUMENT: &str = "__rank";

/// What the daemon's program does when it is started as a rank: binds its life to the daemon's,
/// then becomes the application. `arguments` are those after [`RANK_ARGUMENT`]. Returns only when
/// that fails, with the reason.
pub fn become_rank(mut arguments: impl Iterator<Item = OsString>) -> String {
    let parent = arguments.next().and_then(|word| word.to_str()?.parse().ok());
    let Some(program) = arguments.next() else { return "no program".into() };
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return format!("bind the rank's life to the daemon's: {error}");
    }
    // If the daemon died before that call, nobody will send the signal.
    if rustix::process::getppid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok())
        != parent
    {
        return "the daemon is gone".into();
    }
    let error = Command::new(&program).args(arguments).exec();
    format!("{}: {error}", program.to_string_lossy())
}

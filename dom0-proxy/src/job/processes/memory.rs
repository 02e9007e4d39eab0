//! The process that touches a job's memory in the daemon's place.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::become_rank::{be_killed_first, live_no_longer_than};
use super::control_group::{ControlGroups, enter};
use crate::attach::{MemoryProvider, provide_memory};

/// The argument by which this program, started again, becomes that process.
pub const MEMORY_ARGUMENT: &str = "__memory";

/// That process, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct MemoryProcess(Child);

impl MemoryProcess {
    /// Starts it in the job's control groups.
    pub(super) fn start(groups: &ControlGroups) -> io::Result<(Self, Arc<MemoryProvider>)> {
        let (ours, theirs) = UnixStream::pair()?;
        let provider = Arc::new(MemoryProvider::new(ours)?);
        let child = Command::new("/proc/self/exe")
            .arg0("pgas-memory")
            .args([MEMORY_ARGUMENT, &std::process::id().to_string(), &groups.to_text()])
            .env_clear()
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok((Self(child), provider))
    }
}

impl Drop for MemoryProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the daemon's program does when it is started as that process; `arguments` are those after
/// [`MEMORY_ARGUMENT`]. Returns when the job has ended.
pub fn become_memory(mut arguments: impl Iterator<Item = OsString>) -> Result<(), String> {
    let parent = arguments.next().and_then(|word| word.to_str()?.parse().ok());
    live_no_longer_than(parent)?;
    be_killed_first();
    // What Linux says of it when memory runs out.
    let _ = rustix::thread::set_name(c"pgas-memory");
    enter(&arguments.next().unwrap_or_default().to_string_lossy());
    let stream = io::stdin().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
    provide_memory(&UnixStream::from(stream));
    Ok(())
}

//! Children that end when qemu-ci ends, however it ends.
//!
//! The kernel sends each such child a signal once the thread that started it is gone, also after a
//! SIGKILL of qemu-ci. So they must be started by threads that live as long as the child may:
//! qemu-ci starts them from its main thread only.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal};

/// Makes the child get `signal` when qemu-ci is gone.
pub fn tie(command: &mut Command, signal: Signal) -> &mut Command {
    let parent = rustix::process::getpid();
    let in_child = move || die_with(parent, signal);
    // SAFETY: `die_with` makes two system calls and allocates nothing, which is allowed between
    // fork and exec.
    unsafe { command.pre_exec(in_child) }
}

fn die_with(parent: Pid, signal: Signal) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(signal))?;
    if rustix::process::getppid() == Some(parent) {
        Ok(())
    } else {
        // The parent died before the line above: no signal will come.
        Err(io::Error::from(rustix::io::Errno::SRCH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_child_dies_with_the_thread_that_started_it() {
        let mut child = std::thread::spawn(|| {
            tie(Command::new("sleep").arg("60"), Signal::KILL).spawn().unwrap()
        })
        .join()
        .unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::KILL.as_raw()));
    }
}

//! Ends qemu-ci on Ctrl-C and its like, or when nobody listens to it any more, leaving the terminal
//! as it was found.
//!
//! Hosts need no mention here: they die with this process (see [`crate::tied`]). Process groups
//! that have children of their own, like cargo running tests, are killed here.

use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use image_builder::output;
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::terminal;

/// From now on.
pub fn end_on_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot handle signals")?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            clean_up();
            output::error_line(format_args!(
                "\nqemu-ci: ended by signal {signal}, hosts are stopped"
            ));
            std::process::exit(128 + signal);
        }
    });
    output::before_a_quiet_end(clean_up);
    Ok(())
}

fn clean_up() {
    terminal::restore();
    groups().iter().for_each(|group| kill(*group));
}

static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

fn groups() -> MutexGuard<'static, Vec<Pid>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kill(group: Pid) {
    // It may have ended already.
    let _ = kill_process_group(group, Signal::KILL);
}

/// A process group that is killed when a signal ends qemu-ci.
pub struct EndedWithUs(Pid);

impl EndedWithUs {
    /// The child must be the leader of its group.
    pub fn new(leader: &Child) -> Self {
        let group = Pid::from_child(leader);
        groups().push(group);
        Self(group)
    }

    /// Kills all in the group now.
    pub fn kill(&self) {
        kill(self.0);
    }
}

impl Drop for EndedWithUs {
    fn drop(&mut self) {
        groups().retain(|group| *group != self.0);
    }
}

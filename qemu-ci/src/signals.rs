//! Ends qemu-ci on Ctrl-C and its like, leaving the terminal as it was found.
//!
//! Hosts need no mention here: they die with this process (see [`crate::tied`]).

use std::thread;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::terminal;

/// From now on.
pub fn end_on_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot handle signals")?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            terminal::restore();
            eprintln!("\nqemu-ci: ended by signal {signal}, hosts are stopped");
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

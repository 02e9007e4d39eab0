//! The end of the domain.
//!
//! A rank of a job tells by nodes of xenstore what it comes to; what is on the console is text,
//! which decides nothing.

use alloc::format;
use core::fmt;
use core::time::Duration;

use xen_hypercall::sched_op::{self, ShutdownReason};

use crate::Exit;
use crate::arch::{cpu, hypercall_page};
use crate::logic::xenstore_wire::StoreError;
use crate::rank::{attachment, place};
use crate::xen::{console, hold, xenstore};

/// Says that the kernel runs.
const UP: &str = "data/xenolith/up";
/// Where the exit status goes.
const EXIT: &str = "data/xenolith/exit";
/// Where the cause of a crash goes.
const FATAL: &str = "data/xenolith/fatal";
/// How long an ending domain waits for xenstore.
const PATIENCE: Duration = Duration::from_secs(5);

/// Says that the kernel runs: in a job by xenstore, alone on the console.
pub(super) fn report_up(text: fmt::Arguments<'_>) {
    if place::get().is_none() {
        console::say(format_args!("up {text}"));
    } else {
        report(UP, &format!("{text}"));
    }
}

/// Ends the domain with this status, after all that has been printed has been read.
pub fn exit(exit: impl Into<Exit>) -> ! {
    let exit = attachment::leave(exit.into());
    if place::get().is_none() {
        console::say(format_args!("exit {}", exit.code()));
    }
    // In this order: whoever reads the status may destroy the domain.
    console::drain();
    // For good: a rank that was saved between the node and the end of its domain would end in
    // another one, where nobody has been told of its status.
    hold::hold();
    report(EXIT, &format!("{}", exit.code()));
    shut_down(ShutdownReason::Poweroff)
}

/// Writes a node, if there is xenstore.
fn report(node: &str, value: &str) {
    match xenstore::write_within(PATIENCE, node, value.as_bytes()) {
        Ok(()) | Err(StoreError::NotConnected) => (),
        Err(error) => {
            console::say(format_args!("cannot write {node}: {error}"));
            console::drain();
        }
    }
}

/// Ends the domain because the toolstack asks for it, in these words.
pub(super) fn as_asked(what: &str, reason: ShutdownReason) -> ! {
    console::say(format_args!("{what} requested"));
    console::drain();
    shut_down(reason)
}

/// Tells by xenstore why the domain is about to crash, if it can. Whatever is broken may be broken
/// in xenstore's own part; then this does not return, and the domain crashes all the same.
pub(super) fn report_crash(cause: &str) {
    // Nobody can be told of an error any more but by the console, which has the cause already.
    let _ = xenstore::write_polling(PATIENCE, FATAL, cause.as_bytes());
}

/// Ends the domain as crashed.
pub(super) fn crash() -> ! {
    shut_down(ShutdownReason::Crash)
}

fn shut_down(reason: ShutdownReason) -> ! {
    sched_op::shutdown(&hypercall_page::xen(), reason);
    // Xen does not refuse it; and if, the domain still must not go on.
    cpu::stop()
}

//! The end of the domain.

use alloc::format;
use core::time::Duration;

use xen_hypercall::sched_op::{self, ShutdownReason};

use crate::Exit;
use crate::arch::{cpu, hypercall_page};
use crate::logic::xenstore_wire::StoreError;
use crate::rank::attachment;
use crate::xen::{console, xenstore};

/// Where the exit status goes.
const EXIT: &str = "data/xenolith/exit";
/// How long an ending domain waits for xenstore.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends the domain with this status, after all that has been printed has been read.
pub fn exit(exit: impl Into<Exit>) -> ! {
    let exit = attachment::leave(exit.into());
    report(exit);
    console::say(format_args!("exit {}", exit.code()));
    console::drain();
    shut_down(ShutdownReason::Poweroff)
}

/// Writes the exit status to xenstore, if there is one.
fn report(exit: Exit) {
    let status = format!("{}", exit.code());
    match xenstore::write_within(PATIENCE, EXIT, status.as_bytes()) {
        Ok(()) | Err(StoreError::NotConnected) => (),
        Err(error) => console::say(format_args!("cannot write {EXIT}: {error}")),
    }
}

/// Ends the domain because the toolstack asks for it, in these words.
pub(super) fn as_asked(what: &str, reason: ShutdownReason) -> ! {
    console::say(format_args!("{what} requested"));
    console::drain();
    shut_down(reason)
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

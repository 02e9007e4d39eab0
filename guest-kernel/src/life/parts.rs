//! The parts of the kernel that face Xen: the one table that drives them.

use xen_hypercall::sched_op::Resumed;

use super::{fatal, toolstack};
use crate::arch;
use crate::rank::{attachment, neighbours};
use crate::xen::error::PartError;
use crate::xen::part::Part;
use crate::xen::{clock, console, events, grants, hypercalls, processor, xenstore};

/// All parts, in the order in which they need each other.
static PARTS: [&dyn Part; 10] = [
    &hypercalls::Hypercalls,
    &events::Events,
    &clock::Clock,
    &console::Console,
    // Needs the console for saying what is missing.
    &processor::Processor,
    &grants::GrantTable,
    &neighbours::NeighboursMemory,
    &xenstore::Xenstore,
    &toolstack::Toolstack,
    &attachment::Attachment,
];

/// Connects all parts, to which this is a new domain.
pub(super) fn connect() {
    for_all(|part| part.connect());
    for_all(|part| part.arrive());
}

/// Has the domain saved, and goes on in the same domain or another. In the upcall, with interrupts
/// off.
pub(super) fn suspend() {
    for part in PARTS.iter().rev() {
        part.suspend();
    }
    match arch::hypercall_page::suspend() {
        Ok(Resumed::InNewDomain) => for_all(|part| part.arrive()),
        // Refused: then it has not been suspended.
        Ok(Resumed::InSameDomain) | Err(_) => for_all(|part| part.stay()),
    }
}

/// Does the same with each part. One that cannot be set up is the end of the domain.
#[inline(never)]
fn for_all(set_up: fn(&dyn Part) -> Result<(), PartError>) {
    for part in PARTS {
        if let Err(error) = set_up(part) {
            fatal::die(format_args!("cannot set up {}: {error}", part.name()));
        }
    }
}

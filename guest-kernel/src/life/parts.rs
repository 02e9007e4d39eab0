//! The parts of the kernel that face Xen: the one table that drives them.

use xen_hypercall::sched_op::Resumed;

use super::{fatal, toolstack};
use crate::arch::{self, landing};
use crate::rank::{attachment, neighbours, park};
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

/// The same in a domain that waits to become a rank that was saved.
pub(super) fn connect_to_land() {
    for_all(|part| part.connect());
    for_all(|part| if part.is_for_landing() { part.arrive() } else { Ok(()) });
}

/// Connects all parts of a rank that stood still, was saved, and has landed in this domain. With
/// interrupts off.
pub(super) fn land() {
    let landed = landing::landed();
    for part in PARTS {
        part.land(&landed).unwrap_or_else(|error| cannot_set_up(part, &error));
    }
    landed.end();
    park::has_landed();
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
        set_up(part).unwrap_or_else(|error| cannot_set_up(part, &error));
    }
}

fn cannot_set_up(part: &dyn Part, error: &PartError) -> ! {
    fatal::die(format_args!("cannot set up {}: {error}", part.name()))
}

//! The parts of the kernel that face Xen: the one table that drives them.

use xen_hypercall::sched_op::Resumed;

use super::{fatal, toolstack};
use crate::arch::hypercalls;
use crate::rank::{attachment, neighbours};
use crate::xen::error::PartError;
use crate::xen::part::{Part, Resume};
use crate::xen::{clock, console, events, grants, xenstore};

/// All parts, in the order in which they need each other.
static PARTS: [&dyn Part; 9] = [
    &crate::xen::hypercalls::Hypercalls,
    &events::Events,
    &clock::Clock,
    &console::Console,
    &grants::GrantTable,
    &neighbours::Mappings,
    &xenstore::Xenstore,
    &toolstack::Toolstack,
    &attachment::Attachment,
];

/// Connects all parts, and resumes them in what is a new domain to them all.
pub(crate) fn connect() {
    for part in PARTS {
        check(part, part.connect());
    }
    resume(Resume::NewDomain);
}

/// Has the domain saved, and comes back in the same domain or another. In the upcall, with
/// interrupts off.
pub(crate) fn suspend() {
    for part in PARTS.iter().rev() {
        part.suspend();
    }
    let resumed = hypercalls::suspend();
    resume(match resumed {
        Ok(Resumed::InNewDomain) => Resume::NewDomain,
        // Refused: then it has not been suspended.
        Ok(Resumed::InSameDomain) | Err(_) => Resume::SameDomain,
    });
}

fn resume(how: Resume) {
    for part in PARTS {
        check(part, part.resume(how));
    }
}

fn check(part: &dyn Part, result: Result<(), PartError>) {
    if let Err(error) = result {
        fatal::die(format_args!("cannot set up {}: {error}", part.name()));
    }
}

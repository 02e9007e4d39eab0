//! The parts of the kernel that face Xen, and the one table that drives them.
//!
//! Each part does the same three things. Booting is being resumed in a new domain, so the way back
//! from a restore is tried at every boot.

use super::{clock, console, events, fatal, grants, neighbours, power, rank, xenstore};
use crate::arch;
use crate::logic::xenstore_wire::StoreError;
use xen_hypercall::sched_op::Resumed;

/// How the domain came to run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// As it was: a checkpoint, or a suspension that was cancelled. Nothing is lost.
    SameDomain,
    /// In a new domain, at boot or after a restore: Xen and the backends know nothing of us.
    NewDomain,
}

/// Why a part could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PartError {
    #[error("{0}: {1}")]
    Xen(&'static str, xen_hypercall::Error),
    #[error("{0}")]
    Unusable(&'static str),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Grants(#[from] grants::GrantError),
}

/// A part of the kernel that faces Xen.
pub(crate) trait Part: Sync {
    /// What error messages call it.
    fn name(&self) -> &'static str;

    /// Makes what lasts as long as the kernel, whatever domain it is in. Once, at boot.
    fn connect(&self) -> Result<(), PartError> {
        Ok(())
    }

    /// Leaves everything in a state that can be saved.
    fn suspend(&self) {}

    /// Sets up again what is gone. With interrupts off.
    fn resume(&self, how: Resume) -> Result<(), PartError>;
}

/// All parts, in the order in which they need each other.
static PARTS: [&dyn Part; 9] = [
    &Hypercalls,
    &events::Events,
    &clock::Clock,
    &console::Console,
    &grants::GrantTable,
    &neighbours::Mappings,
    &xenstore::Xenstore,
    &power::Power,
    &rank::Attachment,
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
    let resumed = arch::xen::suspend();
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

/// The hypercall page.
struct Hypercalls;

impl Part for Hypercalls {
    fn name(&self) -> &'static str {
        "hypercalls"
    }

    fn resume(&self, how: Resume) -> Result<(), PartError> {
        // It may be another processor, which needs other stubs.
        match how {
            Resume::NewDomain if !arch::xen::find() => Err(PartError::Unusable("there is no Xen")),
            _ => Ok(()),
        }
    }
}

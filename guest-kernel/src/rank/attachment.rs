//! The attachment to the proxy.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use armci_nostd::Armci;
use armci_nostd::wire::attach::XenAttach;
use xen_hypercall::DomainId;
use xen_hypercall::io::xenstore::MessageType;

use super::platform::Guest;
use super::{doorbell, place};
use crate::arch::lock::MainOnce;
use crate::arch::{heap, runtime_area};
use crate::life::fatal;
use crate::logic::command_line::Place;
use crate::xen::part::{Part, PartError, Resume};
use crate::xen::{grants, xenstore};
use crate::{Exit, println};

/// Where the proxy learns how to reach us.
const ATTACH: &str = "data/xenolith/attach";

static ARMCI: MainOnce<Armci> = MainOnce::new();
/// This rank of its job; the first call attaches it.
///
/// What job, the command line says (`xenolith.rank` and others, set by `pgas run`); without that it
/// is the only rank of a job of one. A rank that cannot be attached ends with an error.
pub fn armci() -> &'static Armci {
    ARMCI.get_or_make(|| match place::get() {
        None => Armci::alone(),
        Some(place) => match attach(place) {
            Ok(armci) => armci,
            Err(error) => fatal::die(format_args!("cannot attach to the job: {error}")),
        },
    })
}

/// Why there is no attachment.
#[derive(Debug, thiserror::Error)]
enum AttachError {
    #[error(transparent)]
    Grants(#[from] grants::GrantError),
    #[error("no event channel: {0}")]
    Xen(#[from] xen_hypercall::Error),
    #[error(transparent)]
    Store(#[from] xenstore::StoreError),
    #[error(transparent)]
    Armci(#[from] armci_nostd::Error),
}

fn attach(place: &Place) -> Result<Armci, AttachError> {
    grants::share_ram(DomainId::DOM0)?;
    let published =
        publish().and_then(|node| Ok(xenstore::write(ATTACH, node.to_string().as_bytes())?));
    if let Err(error) = published {
        // Nobody knows of the grants yet.
        grants::withdraw_ram()?;
        return Err(error);
    }
    Ok(Armci::attach(place.rank as usize, place.size as usize, Box::new(Guest))?)
}

/// Makes the doorbell, and says what the proxy has to know.
fn publish() -> Result<XenAttach, AttachError> {
    let shared = grants::share_ram(DomainId::DOM0)?;
    let port = doorbell::make()?;
    let heap = heap::span();
    Ok(XenAttach {
        first_ref: shared.first_reference,
        pages: shared.pages,
        port: port.0,
        runtime: runtime_area::address(),
        public_start: heap.start,
        public_end: heap.end,
    })
}

/// A rank that has been successful waits for the others, which may still need its memory.
pub(crate) fn leave(exit: Exit) -> Exit {
    match ARMCI.get().filter(|_| exit == Exit::SUCCESS).map(Armci::finalize) {
        None | Some(Ok(())) => exit,
        Some(Err(error)) => {
            println!("error: cannot leave the job: {error}");
            Exit::FAILURE
        }
    }
}

/// The attachment to the proxy.
pub(crate) struct Attachment;

impl Part for Attachment {
    fn name(&self) -> &'static str {
        "the attachment to the proxy"
    }

    fn resume(&self, how: Resume) -> Result<(), PartError> {
        if how == Resume::SameDomain || !doorbell::exists() {
            return Ok(());
        }
        // A new proxy has to find us. The grants are there again already; the doorbell is not.
        let node = publish().map_err(|_| PartError::Unusable("no doorbell"))?;
        // Whoever waits for the doorbell has been woken by what asked for the suspension, and looks
        // again.
        xenstore::post(
            MessageType::WRITE,
            &[ATTACH.as_bytes(), b"\0", format!("{node}").as_bytes()],
        )?;
        Ok(())
    }
}

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
use crate::Exit;
use crate::arch::lock::MainOnce;
use crate::arch::{heap, runtime_area};
use crate::logic::command_line::Place;
use crate::xen::error::PartError;
use crate::xen::grants::SharedRam;
use crate::xen::part::Part;
use crate::xen::{console, grants, xenstore};

/// Where the proxy learns how to reach us.
const ATTACH: &str = "data/xenolith/attach";

static ARMCI: MainOnce<Armci> = MainOnce::new();

/// Why the rank could not join its job.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    #[error(transparent)]
    Part(#[from] PartError),
    #[error(transparent)]
    Armci(#[from] armci_nostd::Error),
}

/// This rank of its job; the first call attaches it to the proxy.
pub(crate) fn armci() -> Result<&'static Armci, JoinError> {
    if let Some(armci) = ARMCI.get() {
        return Ok(armci);
    }
    let armci = match place::get() {
        None => Armci::alone(),
        Some(place) => attach(place)?,
    };
    Ok(ARMCI.get_or_make(|| armci))
}

fn attach(place: &Place) -> Result<Armci, JoinError> {
    let shared = grants::share_ram(DomainId::DOM0).map_err(PartError::from)?;
    let published =
        node(shared).and_then(|node| Ok(xenstore::write(ATTACH, node.to_string().as_bytes())?));
    if let Err(error) = published {
        // Nobody knows of the grants yet.
        grants::withdraw_ram().map_err(PartError::from)?;
        return Err(error.into());
    }
    Ok(Armci::attach(place.rank as usize, place.size as usize, Box::new(Guest))?)
}

/// Makes the doorbell, and says what the proxy has to know.
fn node(shared: SharedRam) -> Result<XenAttach, PartError> {
    let port =
        doorbell::make().map_err(|error| PartError::Xen("cannot make the doorbell", error))?;
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
            console::print(format_args!("error: cannot leave the job: {error}\n"));
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

    fn arrive(&self) -> Result<(), PartError> {
        let Some(shared) = grants::shared_ram() else { return Ok(()) };
        // A new proxy has to find us. The grants are there again already; the doorbell is not.
        let node = node(shared)?;
        // Whoever waits for the doorbell has been woken by what asked for the suspension, and looks
        // again.
        xenstore::post(
            MessageType::WRITE,
            &[ATTACH.as_bytes(), b"\0", format!("{node}").as_bytes()],
        )?;
        Ok(())
    }
}

//! This rank's place in its job, and its attachment to the proxy.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use armci_nostd::Armci;
use armci_nostd::shared::gate::Gate;
use armci_nostd::wire::attach::XenAttach;
use xen_hypercall::DomainId;
use xen_hypercall::event_channel_op::{self, Port};
use xen_hypercall::io::xenstore::MessageType;

use super::part::{Part, PartError, Resume};
use super::{events, fatal, grants, idle, xenstore};
use crate::arch::armci_port::GuestPlatform;
use crate::arch::lock::{IrqLock, MainOnce, Once};
use crate::arch::{heap, memory, xen};
use crate::logic::command_line::Place;
use crate::{Exit, println};

/// Where the proxy learns how to reach us.
const ATTACH: &str = "data/xenolith/attach";

static PLACE: Once<Option<Place>> = Once::new();
static ARMCI: MainOnce<Armci> = MainOnce::new();
/// How long a wait for the doorbell lasts before both sides look again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Whether the doorbell has rung in a wait.
static RUNG: AtomicBool = AtomicBool::new(false);

/// The event channel to the proxy, once there is one: the proxy's doorbell and ours.
static PROXY: IrqLock<Option<Port>> = IrqLock::new(None);

/// Remembers what the command line says.
pub(super) fn set_place(place: Option<Place>) {
    PLACE.set(place);
}

fn place() -> Option<&'static Place> {
    PLACE.get()?.as_ref()
}

/// The rank, from 0.
pub(super) fn rank() -> u32 {
    place().map_or(0, |place| place.rank)
}

/// How many ranks the job has.
pub(super) fn size() -> u32 {
    place().map_or(1, |place| place.size)
}

/// This rank of its job; the first call attaches it.
///
/// What job, the command line says (`xenolith.rank` and others, set by `pgas run`); without that it
/// is the only rank of a job of one. A rank that cannot be attached ends with an error.
pub fn armci() -> &'static Armci {
    ARMCI.get_or_make(|| match place() {
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
    Ok(Armci::attach(place.rank as usize, place.size as usize, Box::new(GuestPlatform))?)
}

/// Makes the doorbell, and says what the proxy has to know.
fn publish() -> Result<XenAttach, AttachError> {
    let shared = grants::share_ram(DomainId::DOM0)?;
    let port = event_channel_op::alloc_unbound(&xen::xen(), DomainId::DOM0)?;
    // That it rang is enough to look again.
    events::bind_quietly(port, || RUNG.store(true, Ordering::Relaxed))?;
    PROXY.with(|proxy| *proxy = Some(port));
    let heap = heap::span();
    Ok(XenAttach {
        first_ref: shared.first_reference,
        pages: shared.pages,
        port: port.0,
        runtime: memory::runtime_area_address(),
        public_start: heap.start,
        public_end: heap.end,
    })
}

/// Rings the proxy's doorbell.
pub(crate) fn ring_proxy() {
    // In one go with interrupts off: in another domain it is another port.
    PROXY.with(|proxy| {
        if let Some(port) = proxy {
            // If the proxy is gone the toolstack ends the domain; there is nobody else to tell.
            let _ = event_channel_op::send(&xen::xen(), *port);
        }
    });
}

/// Waits until our own doorbell has rung, or anything else has happened.
pub(crate) fn wait_for_doorbell() {
    RUNG.store(false, Ordering::Relaxed);
    idle::wait_for_event(LOOK_AGAIN);
    // A ring that was lost must not stop the job, whoever lost it: we look again, and have the
    // proxy look.
    if !RUNG.load(Ordering::Relaxed) {
        ring_proxy();
    }
}

/// Closes the gate to the neighbours' memory, which is about to be taken away. False if the rank is
/// there now: it will leave soon, and call
/// [`power::serve_suspension`](super::power::serve_suspension).
pub(super) fn leave_neighbours() -> bool {
    let header = &memory::runtime_area().header;
    let gate = Gate { epoch: &header.gate.0, inside: &header.inside.0 };
    gate.close();
    gate.is_empty()
}

/// A rank that has been successful waits for the others, which may still need its memory.
pub(super) fn leave_job(exit: Exit) -> Exit {
    match ARMCI.get().filter(|_| exit == Exit::SUCCESS).map(Armci::finalize) {
        None | Some(Ok(())) => exit,
        Some(Err(error)) => {
            println!("error: cannot leave the job: {error}");
            Exit::FAILURE
        }
    }
}

/// The attachment to the proxy.
pub(super) struct Attachment;

impl Part for Attachment {
    fn name(&self) -> &'static str {
        "the attachment to the proxy"
    }

    fn resume(&self, how: Resume) -> Result<(), PartError> {
        let attached = PROXY.with(|proxy| proxy.is_some());
        if how == Resume::SameDomain || !attached {
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

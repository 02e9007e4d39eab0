//! The attachment to the proxy.

use alloc::boxed::Box;
use alloc::string::ToString;

use armci_nostd::Armci;
use armci_nostd::wire::XenLanding;
use armci_nostd::wire::attach::XenAttach;
use xen_hypercall::DomainId;
use xen_hypercall::io::xenstore::MessageType;

use super::platform::Guest;
use super::{doorbell, park, place};
use crate::Exit;
use crate::arch::landing::{Landed, LandingPorts};
use crate::arch::lock::{IrqLock, MainOnce};
use crate::arch::{cpu, heap, landing, runtime_area};
use crate::logic::command_line::Place;
use crate::logic::xenstore_client::CallId;
use crate::logic::xenstore_wire::StoreError;
use crate::xen::error::PartError;
use crate::xen::grants::SharedRam;
use crate::xen::part::Part;
use crate::xen::{console, grants, idle, xenstore};

/// Where the proxy learns how to reach us.
const ATTACH: &str = "data/xenolith/attach";

/// Where it learns that of a domain which waits for a saved rank.
const LANDING: &str = "data/xenolith/landing";

/// How far the proxy has been told.
#[derive(Clone, Copy)]
enum Announcement {
    /// Not at all.
    None,
    /// By this request.
    Posted(CallId),
    /// It knows, since it has made the domain what it is.
    Known,
}

static ANNOUNCEMENT: IrqLock<Announcement> = IrqLock::new(Announcement::None);

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

/// Lets domain 0 reach all of this rank's memory, if it is one of a job: at boot, whether or not
/// the application will ever join the job, so that the rank can be stopped and copied at any
/// moment.
pub(crate) fn become_reachable() {
    if place::get().is_some() {
        // Who joins the job tries again, and hears why it does not work.
        let _ = share_and_announce();
    }
}

#[cold]
#[inline(never)]
fn attach(place: &Place) -> Result<Armci, JoinError> {
    if matches!(announcement(), Announcement::None) {
        share_and_announce()?;
    }
    answer().map_err(PartError::from)?;
    Ok(Armci::attach(place.rank as usize, place.size as usize, Box::new(Guest))?)
}

/// Tells the proxy how to reach this domain, which is to become a saved rank, and waits until
/// xenstore has it. The ports by which it is reached.
pub(crate) fn offer_to_land() -> Result<LandingPorts, PartError> {
    let shared = grants::share_ram(DomainId::DOM0)?;
    let ports = make_ports()?;
    let attach = describe(shared, ports);
    let apart = landing::apart();
    let node = XenLanding { attach, apart: apart.start..apart.end, pages: landing::pages() };
    xenstore::write(LANDING, node.to_string().as_bytes())?;
    Ok(ports)
}

fn announcement() -> Announcement {
    ANNOUNCEMENT.with(|announcement| *announcement)
}

fn share_and_announce() -> Result<(), PartError> {
    let shared = grants::share_ram(DomainId::DOM0)?;
    announce(shared).or_else(|error| {
        // Nobody knows of the grants yet.
        grants::withdraw_ram()?;
        Err(error)
    })
}

/// Makes the doorbell and the port for parking, and tells the proxy all that it has to know.
fn announce(shared: SharedRam) -> Result<(), PartError> {
    // In one go: in another domain they are other ports.
    cpu::without_interrupts(|| {
        let node = describe(shared, make_ports()?).to_string();
        let call =
            xenstore::post(MessageType::WRITE, &[ATTACH.as_bytes(), b"\0", node.as_bytes()])?;
        ANNOUNCEMENT.with(|announcement| *announcement = Announcement::Posted(call));
        Ok(())
    })
}

fn make_ports() -> Result<LandingPorts, PartError> {
    let doorbell =
        doorbell::make().map_err(|error| PartError::Xen("cannot make the doorbell", error))?;
    let park = park::make_port()
        .map_err(|error| PartError::Xen("cannot make the port for parking", error))?;
    Ok(LandingPorts { doorbell, park })
}

/// How this domain is reached.
fn describe(shared: SharedRam, ports: LandingPorts) -> XenAttach {
    let heap = heap::span();
    XenAttach {
        first_ref: shared.first_reference,
        pages: shared.pages,
        port: ports.doorbell.0,
        park_port: ports.park.0,
        runtime: runtime_area::address(),
        public_start: heap.start,
        public_end: heap.end,
    }
}

/// Waits until xenstore has answered the announcement. After a suspension that is the announcement
/// which was made in the new domain.
fn answer() -> Result<(), StoreError> {
    let mut answer = None;
    idle::wait_until(None, &mut || {
        answer = match announcement() {
            Announcement::None => None,
            Announcement::Posted(call) => {
                xenstore::posted(call, |answer| answer.map(drop).map_err(Clone::clone))
            }
            Announcement::Known => Some(Ok(())),
        };
        answer.is_some()
    });
    answer.unwrap_or(Err(StoreError::TimedOut))
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
        let announced = !matches!(announcement(), Announcement::None);
        let Some(shared) = grants::shared_ram().filter(|_| announced) else { return Ok(()) };
        // A new proxy has to find us. The grants are there again; the doorbell is not. A rank that
        // waits for its doorbell has been woken by what asked for the suspension, and looks again.
        announce(shared)
    }

    fn land(&self, landed: &Landed) -> Result<(), PartError> {
        let LandingPorts { doorbell, park } = landed.ports();
        doorbell::use_port(doorbell)
            .and_then(|()| park::use_port(park))
            .map_err(|error| PartError::Xen("cannot use the ports of the landing", error))?;
        ANNOUNCEMENT.with(|announcement| *announcement = Announcement::Known);
        Ok(())
    }
}

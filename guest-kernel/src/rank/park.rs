//! Being told to stand still, and to go on: the proxy writes a word in the runtime area, and
//! interrupts by an event on a port of its own.

use core::sync::atomic::{AtomicU32, Ordering};

use xen_hypercall::DomainId;
use xen_hypercall::event_channel_op::{self, Port};

use super::doorbell;
use crate::arch::{heap, hypercall_page, runtime_area};
use crate::xen::events;

/// Makes the port, which domain 0 may bind to.
pub(super) fn make_port() -> xen_hypercall::Result<Port> {
    let port = event_channel_op::alloc_unbound(&hypercall_page::xen(), DomainId::DOM0)?;
    use_port(port)?;
    Ok(port)
}

/// Listens to a port that was made.
pub(super) fn use_port(port: Port) -> xen_hypercall::Result<()> {
    // That it rang is enough: whoever deals with events looks at the word afterwards.
    events::bind(port, || ())
}

/// The order to stand still, if there is one.
pub(crate) fn order() -> Option<u32> {
    let order = runtime_area::get().header.park.0.load(Ordering::Acquire);
    (order != 0).then_some(order)
}

/// Tells the proxy, once for each order, that the rank stands still: from now on it changes nothing
/// but what it does for the toolstack.
pub(crate) fn report(order: u32) {
    if parked().load(Ordering::Relaxed) != order {
        runtime_area::get().header.free.0.store(heap::first_hole(), Ordering::Relaxed);
        parked().store(order, Ordering::Release);
        doorbell::ring();
    }
}

/// The rank goes on.
pub(crate) fn is_over() {
    parked().store(0, Ordering::Release);
}

/// The rank goes on in a new domain, which the proxy hears.
pub(crate) fn has_landed() {
    is_over();
    doorbell::ring();
}

fn parked() -> &'static AtomicU32 {
    &runtime_area::get().header.parked.0
}

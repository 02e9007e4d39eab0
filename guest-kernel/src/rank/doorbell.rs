//! The event channel to the proxy: its doorbell, and ours.

use core::sync::atomic::{AtomicBool, Ordering};

use xen_hypercall::DomainId;
use xen_hypercall::event_channel_op::{self, Port};

use crate::arch::hypercall_page;
use crate::arch::lock::IrqLock;
use crate::logic::look_again::Patience;
use crate::xen::{events, idle};

/// How long to wait before both sides look again.
static PATIENCE: Patience = Patience::new();
/// Whether our doorbell has rung since the last wait began.
static RUNG: AtomicBool = AtomicBool::new(false);

/// Our end of the channel, once there is one.
static PROXY: IrqLock<Option<Port>> = IrqLock::new(None);

/// Makes the channel, which domain 0 may bind to.
pub(super) fn make() -> xen_hypercall::Result<Port> {
    let port = event_channel_op::alloc_unbound(&hypercall_page::xen(), DomainId::DOM0)?;
    use_port(port)?;
    Ok(port)
}

/// Makes a port that was made our end of the channel.
pub(super) fn use_port(port: Port) -> xen_hypercall::Result<()> {
    // That it rang is enough to look again.
    events::bind_quietly(port, || RUNG.store(true, Ordering::Relaxed))?;
    PROXY.with(|proxy| *proxy = Some(port));
    Ok(())
}

/// Rings the proxy's doorbell.
pub(super) fn ring() {
    // In one go with interrupts off: in another domain it is another port.
    PROXY.with(|proxy| {
        if let Some(port) = proxy {
            // If the proxy is gone the toolstack ends the domain; there is nobody else to tell.
            let _ = event_channel_op::send(&hypercall_page::xen(), *port);
        }
    });
}

/// Waits until our own doorbell has rung, or anything else has happened.
pub(super) fn wait() {
    RUNG.store(false, Ordering::Relaxed);
    idle::wait_for_event(PATIENCE.wait());
    let rung = RUNG.load(Ordering::Relaxed);
    PATIENCE.learn(rung);
    if !rung {
        // A ring that was lost must not stop the job, whoever lost it: we look again, and have the
        // proxy look.
        ring();
    }
}

//! The event channel to the proxy: its doorbell, and ours.

use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use xen_hypercall::DomainId;
use xen_hypercall::event_channel_op::{self, Port};

use crate::arch::hypercall_page;
use crate::arch::lock::IrqLock;
use crate::xen::{events, idle};

/// How long waits for the doorbell last before both sides look again, in milliseconds: the first
/// after a ring, and the longest. Each is twice as long as the one before it, so that ranks which
/// wait for long cost the host next to nothing.
const LOOK_AGAIN: RangeInclusive<u64> = 50..=1600;
/// How long the next wait lasts.
static PATIENCE: AtomicU64 = AtomicU64::new(*LOOK_AGAIN.start());
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
    let patience = PATIENCE.load(Ordering::Relaxed);
    idle::wait_for_event(Duration::from_millis(patience));
    let next = if RUNG.load(Ordering::Relaxed) {
        *LOOK_AGAIN.start()
    } else {
        // A ring that was lost must not stop the job, whoever lost it: we look again, and have the
        // proxy look.
        ring();
        (patience * 2).min(*LOOK_AGAIN.end())
    };
    PATIENCE.store(next, Ordering::Relaxed);
}

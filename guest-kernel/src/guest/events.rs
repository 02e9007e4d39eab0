//! Event channels: which port is whose, and the delivery of what is pending.

use core::sync::atomic::{AtomicU64, Ordering};

use xen_hypercall::event_channel_op::{self, Port};
use xen_hypercall::hvm_op::{self, Param};
use xen_hypercall::memory_op::MapSpace;
use xen_hypercall::sched_op;
use xen_hypercall::shared_info::SharedInfo;
use xen_hypercall::{Gfn, Result};

use super::part::{Part, PartError, Resume};
use crate::arch::lock::{IrqLock, Once};
use crate::arch::{memory, paging, trap, xen};

/// Ports that may have a handler. Xen hands them out from the lowest.
const PORTS: usize = 128;

static SHARED_INFO: Once<&'static SharedInfo> = Once::new();
/// What each port's events are handled by.
type Handlers = [Option<fn()>; PORTS];

static HANDLERS: IrqLock<Handlers> = IrqLock::new([None; PORTS]);

/// The page that Xen shares; none before the boot has come so far.
pub(super) fn shared_info() -> Option<&'static SharedInfo> {
    SHARED_INFO.get().copied()
}

/// Has a port's events handled by a function, which is called in the upcall.
pub(super) fn bind(port: Port, handler: fn()) -> Result<()> {
    let bound = HANDLERS.with(|handlers| handlers.get_mut(port.0 as usize).map(|slot| *slot = Some(handler)));
    bound.ok_or(xen_hypercall::Error::NO_SPACE)?;
    event_channel_op::unmask(&xen::xen(), port)
}

/// Forgets that a port has an event pending; whether it had. For those that wait for a port without the upcall.
pub(super) fn clear(port: Port) -> bool {
    let word = shared_info().and_then(|info| info.evtchn_pending.get(port.0 as usize / 64));
    let bit = 1 << (port.0 % 64);
    word.is_some_and(|word| word.fetch_and(!bit, Ordering::SeqCst) & bit != 0)
}

/// Waits until a masked port, or any port with a handler, has an event, or until the deadline (system time in
/// nanoseconds). With interrupts off, so that the handler is called after it. May return early.
pub(super) fn wait_for(masked: Port, deadline: u64) {
    // Room for all that the kernel binds; what is left over names the masked port again, which does no harm.
    let mut ports = [masked; 16];
    HANDLERS.with(|handlers| {
        let bound = handlers.iter().enumerate().filter(|(_, handler)| handler.is_some());
        ports[1..].iter_mut().zip(bound).for_each(|(slot, (port, _))| *slot = Port(port as u32));
    });
    // An error would be an early return.
    let _ = sched_op::poll(&xen::xen(), &ports, deadline);
}

/// Calls the handlers of all ports that have an event.
pub(super) fn deliver() {
    let Some(info) = shared_info() else { return };
    let vcpu = &info.vcpu_info[0];
    // Cleared before looking: an event that comes after the look sets it again, and Xen calls again.
    vcpu.evtchn_upcall_pending.swap(0, Ordering::SeqCst);
    for word in bits(vcpu.evtchn_pending_sel.swap(0, Ordering::SeqCst)) {
        let unmasked = !info.evtchn_mask[word].load(Ordering::SeqCst);
        for bit in bits(info.evtchn_pending[word].load(Ordering::SeqCst) & unmasked) {
            info.evtchn_pending[word].fetch_and(!(1 << bit), Ordering::SeqCst);
            // Called with the table free, so that a handler may bind.
            let handler = HANDLERS.with(|handlers| handlers.get(word * 64 + bit).copied().flatten());
            if let Some(handler) = handler {
                handler();
            }
        }
    }
}

fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.checked_sub(1)?;
        Some(bit as usize)
    })
}

/// The shared page and the upcall.
pub(super) struct Events;

impl Part for Events {
    fn name(&self) -> &'static str {
        "event channels"
    }

    fn resume(&self, how: Resume) -> core::result::Result<(), PartError> {
        if how == Resume::SameDomain {
            return Ok(());
        }
        let address = paging::plan().map(|plan| plan.window.start).ok_or(PartError::Unusable("no memory plan"))?;
        xen::place(MapSpace::SharedInfo, Gfn::containing(address))
            .map_err(|error| PartError::Xen("cannot place the shared page", error))?;
        let info = match shared_info() {
            Some(info) => info,
            None => {
                let info = memory::shared(address).ok_or(PartError::Unusable("the shared page cannot be mapped"))?;
                *SHARED_INFO.set(info)
            }
        };
        // No port is bound yet, so none may be delivered. What is bound later is unmasked then.
        HANDLERS.with(|handlers| *handlers = [None; PORTS]);
        info.evtchn_mask.iter().for_each(|word: &AtomicU64| word.store(u64::MAX, Ordering::SeqCst));
        hvm_op::set_param(&xen::xen(), Param::CallbackIrq, hvm_op::callback_by_vector(trap::UPCALL_VECTOR))
            .map_err(|error| PartError::Xen("cannot set the upcall's vector", error))
    }
}

//! Event channels: which port is whose, and the delivery of what is pending.

use core::sync::atomic::Ordering;

use xen_hypercall::event_channel_op::{self, Port};
use xen_hypercall::hvm_op::{self, Param};
use xen_hypercall::memory_op::MapSpace;
use xen_hypercall::sched_op;
use xen_hypercall::shared_info::SharedInfo;
use xen_hypercall::{Gfn, Result};

use super::part::{Part, PartError, Resume};
use crate::arch::lock::{IrqLock, Once};
use crate::arch::{memory, paging, trap, xen};

/// Ports that may be bound. Xen hands them out from the lowest.
const PORTS: usize = 128;
/// How many of them may be bound at a time: the kernel's own.
const MOST_BOUND: usize = 8;

static SHARED_INFO: Once<&'static SharedInfo> = Once::new();
static BOUND: IrqLock<Bound> = IrqLock::new(Bound::NONE);

/// What is bound.
struct Bound {
    /// What is called when a port has had an event.
    handlers: [Option<(Port, fn())>; MOST_BOUND],
    /// Ports whose events call Xen's upcall, by their bit; the others' are found when the kernel waits.
    calling: [u64; PORTS / 64],
}

impl Bound {
    const NONE: Self = Self { handlers: [None; MOST_BOUND], calling: [0; PORTS / 64] };
}

/// The page that Xen shares; none before the boot has come so far.
pub(super) fn shared_info() -> Option<&'static SharedInfo> {
    SHARED_INFO.get().copied()
}

/// Has a port's events handled by a function whenever they come, whatever the application is doing.
pub(super) fn bind(port: Port, handler: fn()) -> Result<()> {
    bind_quietly(port, handler)?;
    BOUND.with(|bound| {
        if let Some(word) = bound.calling.get_mut(port.0 as usize / 64) {
            *word |= 1 << (port.0 % 64);
        }
    });
    event_channel_op::unmask(&xen::xen(), port)
}

/// Has a port's events handled when the kernel waits: the application is not interrupted for them.
pub(super) fn bind_quietly(port: Port, handler: fn()) -> Result<()> {
    let has_room = (port.0 as usize) < PORTS;
    let slot_filled = has_room
        && BOUND.with(|bound| {
            bound.handlers.iter_mut().find(|slot| slot.is_none()).map(|slot| *slot = Some((port, handler))).is_some()
        });
    if slot_filled { Ok(()) } else { Err(xen_hypercall::Error::NO_SPACE) }
}

/// Forgets that a port has an event pending; whether it had.
pub(super) fn clear(port: Port) -> bool {
    let word = shared_info().and_then(|info| info.evtchn_pending.get(port.0 as usize / 64));
    let bit = 1 << (port.0 % 64);
    word.is_some_and(|word| word.fetch_and(!bit, Ordering::SeqCst) & bit != 0)
}

/// Waits until a bound port has an event, or until the deadline (system time in nanoseconds; 0 is none). With
/// interrupts off, and without the upcall: what has come is left to [`deliver_all`]. May return early.
///
/// An upcall that Xen cannot deliver at once costs it dearly: it has to intercept the moment at which interrupts are
/// let through again. So no port calls while the kernel waits.
pub(super) fn wait(deadline: u64) {
    mask(|_| u64::MAX);
    let mut ports = [Port(0); MOST_BOUND];
    let mut count = 0;
    BOUND.with(|bound| {
        for (port, _) in bound.handlers.iter().flatten() {
            ports[count] = *port;
            count += 1;
        }
    });
    // An error would be an early return.
    let _ = sched_op::poll(&xen::xen(), &ports[..count], deadline);
}

/// Lets the ports call again that may, before the application goes on. What came before is pending, and left to
/// [`deliver_calling`].
pub(super) fn unmask() {
    BOUND.with(|bound| mask(|word| !bound.calling.get(word).copied().unwrap_or(0)));
}

fn mask(bits: impl Fn(usize) -> u64) {
    let words = shared_info().map_or(&[][..], |info| &info.evtchn_mask[..]);
    words.iter().enumerate().for_each(|(index, word)| word.store(bits(index), Ordering::SeqCst));
}

/// Calls the handlers of the ports that have called. With interrupts off.
pub(super) fn deliver_calling() {
    deliver(|bound, port| {
        let word = bound.calling.get(port.0 as usize / 64);
        word.is_some_and(|word| word & 1 << (port.0 % 64) != 0)
    });
}

/// Calls the handlers of all ports that have had an event. With interrupts off, when the kernel has waited: whoever
/// else looks for the event of a quiet port must find it.
pub(super) fn deliver_all() {
    deliver(|_, _| true);
}

fn deliver(of: impl Fn(&Bound, Port) -> bool) {
    let Some(info) = shared_info() else { return };
    let vcpu = &info.vcpu_info[0];
    // Cleared before looking: an event that comes after the look sets it again, and Xen calls again.
    vcpu.evtchn_upcall_pending.store(0, Ordering::SeqCst);
    vcpu.evtchn_pending_sel.store(0, Ordering::SeqCst);
    for index in 0..MOST_BOUND {
        // Called with the table free, so that a handler may bind.
        let bound = BOUND.with(|bound| bound.handlers[index].filter(|(port, _)| of(bound, *port)));
        if let Some((port, handler)) = bound
            && clear(port)
        {
            handler();
        }
    }
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
        if shared_info().is_none() {
            SHARED_INFO.set(memory::shared(address).ok_or(PartError::Unusable("the shared page cannot be mapped"))?);
        }
        // No port is bound yet, so none may be delivered. What is bound later is unmasked then.
        BOUND.with(|bound| *bound = Bound::NONE);
        mask(|_| u64::MAX);
        hvm_op::set_param(&xen::xen(), Param::CallbackIrq, hvm_op::callback_by_vector(trap::UPCALL_VECTOR))
            .map_err(|error| PartError::Xen("cannot set the upcall's vector", error))
    }
}

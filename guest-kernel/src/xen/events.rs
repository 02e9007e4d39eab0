//! Event channels: which port is whose, and the delivery of what is pending.

use core::sync::atomic::{AtomicU64, Ordering};

use xen_hypercall::event_channel_op::{self, Port};
use xen_hypercall::hvm_op::{self, Param};
use xen_hypercall::memory_op::MapSpace;
use xen_hypercall::sched_op;
use xen_hypercall::shared_info::SharedInfo;
use xen_hypercall::{Gfn, Result};

use super::error::PartError;
use super::part::Part;
use crate::arch::lock::{IrqLock, Once};
use crate::arch::{cpu, hypercall_page, paging, shared_page, trap};

/// How many ports may be bound at a time: the kernel's own.
const MOST_BOUND: usize = 8;

static SHARED_INFO: Once<&'static SharedInfo> = Once::new();
static BOUND: IrqLock<[Option<Binding>; MOST_BOUND]> = IrqLock::new([None; MOST_BOUND]);

/// What is done whenever events have been dealt with.
static AFTERWARDS: Once<fn()> = Once::new();

/// What happens when a port has had an event.
#[derive(Clone, Copy)]
struct Binding {
    port: Port,
    handler: fn(),
    /// Whether it interrupts the application. If not, it is dealt with when the kernel waits.
    calls: bool,
}

/// The page that Xen shares; none before the boot has come so far.
pub(crate) fn shared_info() -> Option<&'static SharedInfo> {
    SHARED_INFO.get().copied()
}

/// Sets what is done whenever events have been dealt with: what they ask for that takes more than a
/// handler may do. At boot, once.
pub(crate) fn set_afterwards(afterwards: fn()) {
    AFTERWARDS.set(afterwards);
}

/// Has a port's events handled by a function whenever they come, whatever the application is doing.
pub(crate) fn bind(port: Port, handler: fn()) -> Result<()> {
    add(Binding { port, handler, calls: true })?;
    event_channel_op::unmask(&hypercall_page::xen(), port)
}

/// Has a port's events handled when the kernel waits: the application is not interrupted for them.
pub(crate) fn bind_quietly(port: Port, handler: fn()) -> Result<()> {
    add(Binding { port, handler, calls: false })
}

fn add(binding: Binding) -> Result<()> {
    BOUND.with(|bound| match bound.iter_mut().find(|slot| slot.is_none()) {
        Some(slot) => {
            *slot = Some(binding);
            Ok(())
        }
        None => Err(xen_hypercall::Error::NO_SPACE),
    })
}

/// Forgets that a port has an event pending; whether it had.
pub(crate) fn clear(port: Port) -> bool {
    shared_info().is_some_and(|info| write_bit(&info.evtchn_pending, port, false))
}

/// Waits until a bound port has an event, or until the deadline (system time in nanoseconds; 0 is
/// none). With interrupts off, and without the upcall: what has come is left to [`deliver_all`].
/// May return early.
///
/// An upcall that Xen cannot deliver at once costs it dearly: it has to intercept the moment at
/// which interrupts are let through again. So no port calls while the kernel waits.
pub(crate) fn wait(deadline: u64) {
    let mut ports = [Port(0); MOST_BOUND];
    let mut count = 0;
    for binding in bound() {
        mask(&binding, true);
        ports[count] = binding.port;
        count += 1;
    }
    // An error would be an early return.
    let _ = sched_op::poll(&hypercall_page::xen(), &ports[..count], deadline);
}

/// Waits, with interrupts off, until a port that calls has an event, and calls the handlers of
/// those that have one. What quiet ports have is left to whoever waits for it. May return early.
pub(crate) fn wait_for_call() {
    let mut ports = [Port(0); MOST_BOUND];
    let mut count = 0;
    for binding in bound().filter(|binding| binding.calls) {
        mask(&binding, true);
        ports[count] = binding.port;
        count += 1;
    }
    // An error would be an early return.
    let _ = sched_op::poll(&hypercall_page::xen(), &ports[..count], 0);
    unmask();
    if let Some(info) = shared_info() {
        call_handlers(info, false);
    }
}

/// Lets the ports call again that may, before the application goes on. What came before is pending,
/// and left to [`deliver_calling`].
pub(crate) fn unmask() {
    bound().for_each(|binding| mask(&binding, false));
}

/// Deals with what is pending now, from the application's flow of control.
pub(crate) fn deliver_now() {
    cpu::without_interrupts(deliver_calling);
}

/// Calls the handlers of the ports that have called, and does what is done afterwards. With
/// interrupts off.
pub(crate) fn deliver_calling() {
    deliver(false);
}

/// The same for all ports that have had an event. With interrupts off, when the kernel has waited:
/// whoever else looks for the event of a quiet port must find it.
pub(crate) fn deliver_all() {
    deliver(true);
}

fn deliver(quiet_too: bool) {
    if let Some(info) = shared_info() {
        call_handlers(info, quiet_too);
    }
    if let Some(afterwards) = AFTERWARDS.get() {
        afterwards();
    }
}

fn call_handlers(info: &SharedInfo, quiet_too: bool) {
    let vcpu = &info.vcpu_info[0];
    // Cleared before looking: an event that comes after the look sets it again, and Xen calls
    // again.
    vcpu.evtchn_upcall_pending.store(0, Ordering::SeqCst);
    vcpu.evtchn_pending_sel.store(0, Ordering::SeqCst);
    for binding in bound() {
        if (binding.calls || quiet_too) && clear(binding.port) {
            (binding.handler)();
        }
    }
}

/// The bindings, one by one, with the table free in between: a handler may bind.
fn bound() -> impl Iterator<Item = Binding> {
    (0..MOST_BOUND).map_while(|index| BOUND.with(|bound| bound[index]))
}

/// Keeps a port from calling, or lets it call if it may.
fn mask(binding: &Binding, masked: bool) {
    if binding.calls
        && let Some(info) = shared_info()
    {
        write_bit(&info.evtchn_mask, binding.port, masked);
    }
}

/// Makes a port's bit `value`; what it was. A port that has none has it clear.
fn write_bit(words: &[AtomicU64], port: Port, value: bool) -> bool {
    let bit = 1 << (port.0 % 64);
    let Some(word) = words.get(port.0 as usize / 64) else { return false };
    let before = if value {
        word.fetch_or(bit, Ordering::SeqCst)
    } else {
        word.fetch_and(!bit, Ordering::SeqCst)
    };
    before & bit != 0
}

/// The shared page and the upcall.
pub(crate) struct Events;

impl Part for Events {
    fn name(&self) -> &'static str {
        "event channels"
    }

    fn arrive(&self) -> core::result::Result<(), PartError> {
        let address = paging::plan()
            .map(|plan| plan.window.start)
            .ok_or(PartError::Unusable("no memory plan"))?;
        hypercall_page::place(MapSpace::SharedInfo, Gfn::containing(address))
            .map_err(|error| PartError::Xen("cannot place the shared page", error))?;
        if shared_info().is_none() {
            SHARED_INFO.set(
                shared_page::map(address)
                    .ok_or(PartError::Unusable("the shared page cannot be mapped"))?,
            );
        }
        // No port is bound yet, so none may be delivered. What is bound later is unmasked then.
        BOUND.with(|bound| *bound = [None; MOST_BOUND]);
        let masks = shared_info().map_or(&[][..], |info| &info.evtchn_mask);
        masks.iter().for_each(|word| word.store(u64::MAX, Ordering::SeqCst));
        hvm_op::set_param(
            &hypercall_page::xen(),
            Param::CallbackIrq,
            hvm_op::callback_by_vector(trap::UPCALL_VECTOR),
        )
        .map_err(|error| PartError::Xen("cannot set the upcall's vector", error))
    }
}

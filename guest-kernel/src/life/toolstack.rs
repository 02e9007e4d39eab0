//! What the toolstack asks for: to be suspended, switched off, or started again.
//!
//! It asks for a suspension by an event on a port that we publish, or, as for switching off, by
//! writing a word to `control/shutdown`, which we acknowledge by emptying it.

use xen_hypercall::DomainId;
use xen_hypercall::event_channel_op;
use xen_hypercall::io::xenstore::MessageType;

use crate::arch::hypercall_page;
use crate::arch::lock::IrqLock;
use crate::logic::shutdown_requests::{ShutdownRequest, ShutdownRequests};
use crate::logic::xenstore_client::{CallId, WatchId};
use crate::logic::xenstore_wire::StoreError;
use crate::xen::error::PartError;
use crate::xen::part::Part;
use crate::xen::{events, xenstore};

/// Where the toolstack writes what it wants.
const CONTROL: &str = "control/shutdown";
/// Where it looks for the port.
const SUSPEND_PORT: &[u8] = b"device/suspend/event-channel\0";

/// What was asked for and is not served yet.
static REQUESTS: IrqLock<ShutdownRequests> = IrqLock::new(ShutdownRequests::NONE);

/// How far we are with what is in `control/shutdown`.
struct Control {
    watch: Option<WatchId>,
    /// How often the watch had fired when we last looked.
    seen: u32,
    step: Step,
}

enum Step {
    Idle,
    Reading(CallId),
    Acknowledging(CallId, ShutdownRequest),
}

static CONTROL_STATE: IrqLock<Control> =
    IrqLock::new(Control { watch: None, seen: 0, step: Step::Idle });

/// Whether this is asked for.
pub(super) fn asks(request: ShutdownRequest) -> bool {
    REQUESTS.with(|requests| requests.contain(request))
}

/// Takes note that a request is served.
pub(super) fn served(request: ShutdownRequest) {
    REQUESTS.with(|requests| requests.remove(request));
}

fn request(request: ShutdownRequest) {
    REQUESTS.with(|requests| requests.add(request));
}

/// Goes on with what is in `control/shutdown`, after an event from xenstore.
fn look_at_xenstore() {
    CONTROL_STATE.with(|control| {
        // Each step may find the next one's answer already there.
        while control.advance() {}
    });
}

impl Control {
    /// Whether there was something to do.
    fn advance(&mut self) -> bool {
        match self.step {
            Step::Idle => {
                let fired = self.watch.map_or(0, xenstore::fired);
                if fired == self.seen {
                    return false;
                }
                self.seen = fired;
                let id = xenstore::post(MessageType::READ, &[CONTROL.as_bytes(), b"\0"]);
                self.step = id.map_or(Step::Idle, Step::Reading);
            }
            Step::Reading(id) => {
                let Some(request) =
                    xenstore::posted(id, |answer| answer.ok().and_then(ShutdownRequest::from_word))
                else {
                    return false;
                };
                self.step = Step::Idle;
                if let Some(request) = request
                    && let Ok(id) = xenstore::post(MessageType::WRITE, &[CONTROL.as_bytes(), b"\0"])
                {
                    self.step = Step::Acknowledging(id, request);
                }
            }
            Step::Acknowledging(id, wanted) => {
                if xenstore::posted(id, |_| ()).is_none() {
                    return false;
                }
                self.step = Step::Idle;
                request(wanted);
            }
        }
        true
    }
}

/// The ways by which the toolstack asks.
pub(crate) struct Toolstack;

impl Part for Toolstack {
    fn name(&self) -> &'static str {
        "suspend and shutdown"
    }

    fn connect(&self) -> Result<(), PartError> {
        xenstore::set_listener(look_at_xenstore);
        Ok(())
    }

    /// It would leave a watch behind, which the rank has as well.
    fn is_for_landing(&self) -> bool {
        false
    }

    fn arrive(&self) -> Result<(), PartError> {
        // What was asked of the old domain is not asked of this one.
        REQUESTS.with(|requests| *requests = ShutdownRequests::NONE);
        let port = event_channel_op::alloc_unbound(&hypercall_page::xen(), DomainId::DOM0)
            .map_err(|error| PartError::Xen("cannot make the suspend port", error))?;
        events::bind(port, || request(ShutdownRequest::Suspend))
            .map_err(|error| PartError::Xen("cannot bind the suspend port", error))?;
        CONTROL_STATE.with(|control| {
            control.step = Step::Idle;
            // The watch lasts: after the first time, xenstore's client registers it again by
            // itself.
            if control.watch.is_none() {
                control.watch = match xenstore::post_watch(CONTROL) {
                    Err(StoreError::NotConnected) => return Ok(()),
                    watch => Some(watch?),
                };
            }
            let mut digits = [0; 10];
            let number = decimal(port.0, &mut digits);
            xenstore::post(MessageType::WRITE, &[SUSPEND_PORT, number])?;
            Ok(())
        })
    }
}

/// A number's digits, without using the heap.
fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 || at == 0 {
            return &digits[at..];
        }
    }
}

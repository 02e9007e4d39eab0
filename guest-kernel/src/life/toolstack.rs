//! What the toolstack asks for: to be suspended, switched off, or started again.
//!
//! It asks for a suspension by an event on a port that we publish, or, as for switching off, by
//! writing a word to `control/shutdown`, which we acknowledge by emptying it.

use core::sync::atomic::{AtomicU8, Ordering};

use xen_hypercall::DomainId;
use xen_hypercall::event_channel_op;
use xen_hypercall::io::xenstore::MessageType;

use crate::arch::hypercall_page;
use crate::arch::lock::IrqLock;
use crate::logic::xenstore_client::{CallId, WatchId};
use crate::logic::xenstore_wire::StoreError;
use crate::xen::error::PartError;
use crate::xen::part::Part;
use crate::xen::{events, xenstore};

/// Where the toolstack writes what it wants.
const CONTROL: &str = "control/shutdown";
/// Where it looks for the port.
const SUSPEND_PORT: &[u8] = b"device/suspend/event-channel\0";

/// What the toolstack wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Suspend = 1,
    Poweroff = 2,
    Reboot = 3,
}

/// A [`Request`] that is not served yet; 0 if there is none.
static REQUESTED: AtomicU8 = AtomicU8::new(0);

/// How far we are with what is in `control/shutdown`.
struct Control {
    watch: Option<WatchId>,
    /// How often the watch had fired when we last looked.
    seen: u32,
    step: Step,
    /// The port's publication, to be forgotten when it is answered.
    publication: Option<CallId>,
}

enum Step {
    Idle,
    Reading(CallId),
    Acknowledging(CallId, Request),
}

static CONTROL_STATE: IrqLock<Control> =
    IrqLock::new(Control { watch: None, seen: 0, step: Step::Idle, publication: None });

/// What is asked for.
pub(super) fn asked() -> Option<Request> {
    [Request::Suspend, Request::Poweroff, Request::Reboot]
        .into_iter()
        .find(|request| REQUESTED.load(Ordering::Relaxed) == *request as u8)
}

/// Forgets what was asked for.
pub(super) fn forget() {
    REQUESTED.store(0, Ordering::Relaxed);
}

fn request(request: Request) {
    REQUESTED.store(request as u8, Ordering::Relaxed);
}

/// Goes on with what is in `control/shutdown`, after an event from xenstore.
fn look_at_xenstore() {
    CONTROL_STATE.with(|control| {
        if control.publication.is_some_and(|id| xenstore::posted(id, |_| ()).is_some()) {
            control.publication = None;
        }
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
                let Some(request) = xenstore::posted(id, |answer| answer.ok().and_then(requested))
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

/// What a value of `control/shutdown` asks for.
fn requested(value: &[u8]) -> Option<Request> {
    match value {
        b"suspend" => Some(Request::Suspend),
        b"poweroff" | b"halt" => Some(Request::Poweroff),
        b"reboot" => Some(Request::Reboot),
        _ => None,
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

    fn arrive(&self) -> Result<(), PartError> {
        let port = event_channel_op::alloc_unbound(&hypercall_page::xen(), DomainId::DOM0)
            .map_err(|error| PartError::Xen("cannot make the suspend port", error))?;
        events::bind(port, || request(Request::Suspend))
            .map_err(|error| PartError::Xen("cannot bind the suspend port", error))?;
        CONTROL_STATE.with(|control| {
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
            control.publication =
                Some(xenstore::post(MessageType::WRITE, &[SUSPEND_PORT, number])?);
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

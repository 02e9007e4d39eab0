//! Being suspended, switched off, and ending by oneself.
//!
//! The toolstack asks for a suspension by an event on a port that we publish, or, as for switching
//! off, by writing a word to `control/shutdown`, which we acknowledge by emptying it. Either way it
//! is answered at the end of the upcall or the wait in which the request came, so whatever the
//! application is doing, also computing, does not matter.

use alloc::format;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering, compiler_fence};
use core::time::Duration;

use xen_hypercall::DomainId;
use xen_hypercall::event_channel_op;
use xen_hypercall::io::xenstore::MessageType;
use xen_hypercall::sched_op::{self, ShutdownReason};

use super::parts;
use crate::arch::lock::IrqLock;
use crate::arch::{cpu, hypercalls};
use crate::logic::xenstore_client::{CallId, WatchId};
use crate::logic::xenstore_wire::StoreError;
use crate::rank::neighbours;
use crate::xen::part::{Part, PartError, Resume};
use crate::xen::{console, events, xenstore};
use crate::{Exit, println};

/// Where the toolstack writes what it wants.
const CONTROL: &str = "control/shutdown";
/// Where it looks for the port.
const SUSPEND_PORT: &[u8] = b"device/suspend/event-channel\0";
/// Where the exit status goes.
const EXIT: &str = "data/xenolith/exit";
/// How long an ending domain waits for xenstore.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the toolstack wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Suspend = 1,
    Poweroff = 2,
    Reboot = 3,
}

/// A [`Request`] to be served at the end of the upcall; 0 if there is none.
static REQUESTED: AtomicU8 = AtomicU8::new(0);

/// How often suspensions are held off.
static HELD: AtomicU32 = AtomicU32::new(0);

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

/// Serves a suspension that was put off because the rank was in its neighbours' memory.
pub(crate) fn serve_suspension() {
    if REQUESTED.load(Ordering::Relaxed) == Request::Suspend as u8 {
        super::boot::serve_now();
    }
}

/// Holds suspensions off until [`release`] has been called as often. For short: the toolstack
/// waits.
///
/// What a suspension takes away, such as mappings of other domains' memory, stays while it is held
/// off. It costs no more than a load and a store.
pub fn hold() {
    // The upcall never sees anything of ours in between: it leaves the count as it is.
    HELD.store(HELD.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
}

/// Lets go of what [`hold`] held; a suspension that has been asked for meanwhile is served now.
pub fn release() {
    compiler_fence(Ordering::SeqCst);
    let left = HELD.load(Ordering::Relaxed).saturating_sub(1);
    HELD.store(left, Ordering::Relaxed);
    if left == 0 {
        serve_suspension();
    }
}

/// Does what was asked for in this upcall.
pub(crate) fn serve() {
    let request = REQUESTED.load(Ordering::Relaxed);
    // A suspension takes the neighbours' memory away, so it waits until nobody is there: then
    // `release` or `serve_suspension` calls.
    if request == Request::Suspend as u8
        && (HELD.load(Ordering::Relaxed) > 0 || !neighbours::leave())
    {
        return;
    }
    REQUESTED.store(0, Ordering::Relaxed);
    if request == Request::Suspend as u8 {
        parts::suspend();
    } else if request == Request::Poweroff as u8 {
        end_as_asked("poweroff", ShutdownReason::Poweroff);
    } else if request == Request::Reboot as u8 {
        end_as_asked("reboot", ShutdownReason::Reboot);
    }
}

fn end_as_asked(what: &str, reason: ShutdownReason) -> ! {
    console::begin_line();
    println!("xenolith: {what} requested");
    console::drain();
    shutdown(reason)
}

fn request(request: Request) {
    REQUESTED.store(request as u8, Ordering::Relaxed);
}

/// Goes on with what is in `control/shutdown`, after an event from xenstore.
pub(crate) fn look_at_xenstore() {
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

/// Writes the exit status to xenstore, if there is one.
pub(crate) fn report(exit: Exit) {
    let status = format!("{}", exit.code());
    match xenstore::write_within(PATIENCE, EXIT, status.as_bytes()) {
        Ok(()) | Err(StoreError::NotConnected) => (),
        Err(error) => {
            console::begin_line();
            println!("xenolith: cannot write {EXIT}: {error}");
        }
    }
}

/// Ends the domain, all having been read that was printed.
pub(crate) fn off() -> ! {
    console::drain();
    shutdown(ShutdownReason::Poweroff)
}

/// Ends the domain as crashed.
pub(crate) fn crash() -> ! {
    shutdown(ShutdownReason::Crash)
}

fn shutdown(reason: ShutdownReason) -> ! {
    sched_op::shutdown(&hypercalls::xen(), reason);
    // Xen does not refuse it; and if, the domain still must not go on.
    cpu::stop()
}

/// Requests from the toolstack.
pub(crate) struct Power;

impl Part for Power {
    fn name(&self) -> &'static str {
        "suspend and shutdown"
    }

    fn resume(&self, how: Resume) -> Result<(), PartError> {
        if how == Resume::SameDomain {
            return Ok(());
        }
        let port = event_channel_op::alloc_unbound(&hypercalls::xen(), DomainId::DOM0)
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

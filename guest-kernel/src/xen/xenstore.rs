//! Xenstore, the tree of small values by which domains and toolstack find each other.
//!
//! Paths without a leading slash are relative to the domain's own directory. All functions but
//! [`Watch::fired`] wait for xenstore's answer.

use alloc::vec::Vec;
use core::time::Duration;

use xen_hypercall::Gfn;
use xen_hypercall::event_channel_op::{self, Port};
use xen_hypercall::hvm_op::{self, Param};
use xen_hypercall::io::xenstore::{MessageType, PAYLOAD_MAX, XenstoreInterface};
use xen_hypercall::sched_op;

use super::error::PartError;
use super::part::Part;
use super::{clock, events, idle};
use crate::arch::lock::{IrqLock, Once};
use crate::arch::{hypercall_page, shared_page};
use crate::logic::byte_ring::ByteRing;
use crate::logic::xenstore_client::{CallId, StoreClient, StoreRings, WatchId};
pub use crate::logic::xenstore_wire::StoreError;

struct StoreConnection {
    client: StoreClient,
    port: Option<Port>,
}

static CONNECTION: IrqLock<Option<StoreConnection>> = IrqLock::new(None);

/// What is done when something has come from xenstore.
static LISTENER: Once<fn()> = Once::new();

/// Sets what is done whenever something has come from xenstore: in the upcall or a wait, so it must
/// not wait itself. At boot, once.
pub(crate) fn set_listener(listener: fn()) {
    LISTENER.set(listener);
}

/// Reads a node.
pub fn read(path: &str) -> Result<Vec<u8>, StoreError> {
    request(MessageType::READ, &[check(path)?, b"\0"], PAYLOAD_MAX, None)
}

/// Writes a node, and makes it if there is none.
pub fn write(path: &str, value: &[u8]) -> Result<(), StoreError> {
    request(MessageType::WRITE, &[check(path)?, b"\0", value], 0, None).map(drop)
}

/// Writes a node unless xenstore takes longer than that.
pub(crate) fn write_within(time: Duration, path: &str, value: &[u8]) -> Result<(), StoreError> {
    request(MessageType::WRITE, &[check(path)?, b"\0", value], 0, Some(time)).map(drop)
}

/// The same where no event can be delivered, as in a kernel that dies.
pub(crate) fn write_polling(time: Duration, path: &str, value: &[u8]) -> Result<(), StoreError> {
    // Without a clock a number of looks must do.
    const LOOKS_WITHOUT_CLOCK: u32 = 10_000;
    let id = post(MessageType::WRITE, &[check(path)?, b"\0", value])?;
    let deadline = clock::now() + time;
    let mut looks = 0;
    loop {
        pump();
        if let Some(answer) = posted(id, |answer| answer.map(drop).map_err(Clone::clone)) {
            return answer;
        }
        looks += 1;
        let has_clock = clock::system_time() != 0;
        if if has_clock { clock::now() >= deadline } else { looks > LOOKS_WITHOUT_CLOCK } {
            return Err(StoreError::TimedOut);
        }
        sched_op::yield_now(&hypercall_page::xen());
    }
}

/// Removes a node and all below it.
pub fn remove(path: &str) -> Result<(), StoreError> {
    request(MessageType::RM, &[check(path)?, b"\0"], 0, None).map(drop)
}

/// Begins to watch a node and all below it, for good.
pub fn watch(path: &str) -> Result<Watch, StoreError> {
    let path = check(path)?;
    let id = use_client(|client| client.watch(path))?;
    pump();
    Ok(Watch { id, seen: 0 })
}

/// Says when a node has changed.
#[derive(Debug)]
pub struct Watch {
    id: WatchId,
    seen: u32,
}

impl Watch {
    /// Whether there was a change since the last call. A watch fires once when it begins, and may
    /// fire without a change.
    pub fn fired(&mut self) -> bool {
        let id = self.id;
        let count = use_client(|client| Ok(client.fired(id))).unwrap_or(self.seen);
        core::mem::replace(&mut self.seen, count) != count
    }

    /// Waits until it has [fired](Self::fired).
    pub fn wait(&mut self) {
        idle::wait_until(None, &mut || self.fired());
    }
}

fn check(path: &str) -> Result<&[u8], StoreError> {
    if path.bytes().any(|byte| byte == 0) { Err(StoreError::BadPath) } else { Ok(path.as_bytes()) }
}

fn request(
    kind: MessageType,
    parts: &[&[u8]],
    room: usize,
    time: Option<Duration>,
) -> Result<Vec<u8>, StoreError> {
    let deadline = time.map(|time| clock::now() + time);
    // Answers to writes are two letters and a zero.
    let id = use_client(|client| client.submit(kind, parts, room.max(16)))?;
    pump();
    let mut is_answered = || use_client(|client| Ok(client.is_answered(id))).unwrap_or(true);
    idle::wait_until(deadline, &mut is_answered);
    let answer = use_client(|client| {
        Ok(client.finish(id, |answer| answer.map(<[u8]>::to_vec).map_err(Clone::clone)))
    })?;
    answer.unwrap_or(Err(StoreError::TimedOut))
}

/// Makes a request without waiting, for use in the upcall. It is about this domain: in a new one it
/// is forgotten. A short one needs no heap.
pub(crate) fn post(kind: MessageType, parts: &[&[u8]]) -> Result<CallId, StoreError> {
    let id = use_client(|client| client.submit_for_this_domain(kind, parts, 64))?;
    pump();
    Ok(id)
}

/// The answer to what was [posted](post), once it is there. None also if the request is forgotten.
pub(crate) fn posted<R>(
    id: CallId,
    look: impl FnOnce(Result<&[u8], &StoreError>) -> R,
) -> Option<R> {
    let answered = use_client(|client| Ok(client.is_answered(id))).ok()?;
    if answered { use_client(|client| Ok(client.finish(id, look))).ok().flatten() } else { None }
}

/// How often a watch has fired; for use in the upcall.
pub(crate) fn fired(watch: WatchId) -> u32 {
    use_client(|client| Ok(client.fired(watch))).unwrap_or(0)
}

/// Begins a watch without waiting.
pub(crate) fn post_watch(path: &str) -> Result<WatchId, StoreError> {
    let id = use_client(|client| client.watch(path.as_bytes()))?;
    pump();
    Ok(id)
}

fn use_client<R>(
    with: impl FnOnce(&mut StoreClient) -> Result<R, StoreError>,
) -> Result<R, StoreError> {
    CONNECTION
        .with(|connection| with(&mut connection.as_mut().ok_or(StoreError::NotConnected)?.client))
}

/// Moves bytes in both directions, and tells xenstored.
fn pump() {
    CONNECTION.with(|connection| {
        if let Some(StoreConnection { client, port: Some(port) }) = connection
            && client.pump()
        {
            // If the event cannot be sent, the answer will not come, as if xenstored were slow.
            let _ = event_channel_op::send(&hypercall_page::xen(), *port);
        }
    });
}

/// Xenstored has read or written.
fn event() {
    pump();
    if let Some(listener) = LISTENER.get() {
        listener();
    }
}

/// Asks Xen where the ring is. None in a domain without a toolstack.
fn find() -> Option<(&'static XenstoreInterface, Port)> {
    let gfn =
        hvm_op::get_param(&hypercall_page::xen(), Param::StoreGfn).ok().filter(|gfn| *gfn != 0)?;
    let port = hvm_op::get_param(&hypercall_page::xen(), Param::StorePort).ok()?;
    Some((shared_page::map(Gfn(gfn).address())?, Port(u32::try_from(port).ok()?)))
}

/// The connection.
pub(crate) struct Xenstore;

impl Part for Xenstore {
    fn name(&self) -> &'static str {
        "xenstore"
    }

    fn connect(&self) -> Result<(), PartError> {
        CONNECTION.with(|connection| {
            *connection = Some(StoreConnection { client: StoreClient::new(), port: None })
        });
        Ok(())
    }

    fn arrive(&self) -> Result<(), PartError> {
        let Some((page, port)) = find() else { return Ok(()) };
        let rings = StoreRings {
            requests: ByteRing {
                bytes: &page.req,
                produced: &page.req_prod,
                consumed: &page.req_cons,
            },
            answers: ByteRing {
                bytes: &page.rsp,
                produced: &page.rsp_prod,
                consumed: &page.rsp_cons,
            },
        };
        CONNECTION.with(|connection| {
            if let Some(connection) = connection {
                connection.client.connect(rings);
                connection.port = Some(port);
            }
        });
        events::bind(port, event).map_err(|error| PartError::Xen("cannot bind its port", error))?;
        pump();
        Ok(())
    }

    fn stay(&self) -> Result<(), PartError> {
        // What xenstored has written meanwhile.
        pump();
        Ok(())
    }
}

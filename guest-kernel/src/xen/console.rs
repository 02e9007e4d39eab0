//! The console: a ring that xenconsoled reads.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use xen_hypercall::event_channel_op::{self, Port};
use xen_hypercall::hvm_op::{self, Param};
use xen_hypercall::io::console::ConsolePage;
use xen_hypercall::{Gfn, sched_op};

use super::error::PartError;
use super::part::Part;
use super::{clock, events, idle};
use crate::arch::lock::IrqLock;
use crate::arch::{cpu, hypercall_page, shared_page};
use crate::logic::byte_ring::{ByteRing, IndexJump};

/// A connection to xenconsoled.
#[derive(Clone, Copy)]
struct ConsoleLink {
    page: &'static ConsolePage,
    port: Port,
}

static LINK: IrqLock<Option<ConsoleLink>> = IrqLock::new(None);
/// Whether what was printed last ended a line.
static AT_LINE_START: AtomicBool = AtomicBool::new(true);

/// How long to wait before the next look where no event says that there is room, in nanoseconds.
const LOOK_AGAIN: u64 = 20_000_000;
/// How long to wait before looking again whether there may be more output.
const HOLD: Duration = Duration::from_millis(20);
/// How long xenconsoled may read nothing at the domain's end, in nanoseconds: it may be gone.
const DRAIN: u64 = 60_000_000_000;
/// Looks at the ring while there is no clock.
const LOOKS_WITHOUT_CLOCK: u32 = 100_000;

/// Prints what [`print!`](crate::print) was given.
#[doc(hidden)]
pub fn print(text: fmt::Arguments<'_>) {
    let mut lines = Buffered { bytes: [0; 256], len: 0 };
    // Neither this writer nor the standard library's formatting fails; an application's may.
    let _ = fmt::write(&mut lines, text);
    lines.flush();
}

/// Writes the pieces of a text, in as few writes as possible.
#[cfg(feature = "c")]
pub(crate) fn write_pieces<'a>(pieces: impl Iterator<Item = &'a [u8]>) {
    let mut lines = Buffered { bytes: [0; 256], len: 0 };
    for piece in pieces {
        lines.push(piece);
    }
    lines.flush();
}

/// Says a line of the kernel's own, which begins with `xenolith: `.
#[inline(never)]
pub(crate) fn say(line: fmt::Arguments<'_>) {
    begin_line();
    print(format_args!("xenolith: {line}\n"));
}

/// Begins a new line unless the last one has ended.
pub(crate) fn begin_line() {
    if !AT_LINE_START.load(Ordering::Relaxed) {
        write(b"\n");
    }
}

/// Collects small pieces, so that each does not cost an event.
struct Buffered {
    bytes: [u8; 256],
    len: usize,
}

impl Buffered {
    fn flush(&mut self) {
        write(&self.bytes[..self.len]);
        self.len = 0;
    }

    fn push(&mut self, mut rest: &[u8]) {
        while !rest.is_empty() {
            if self.len == self.bytes.len() {
                self.flush();
            }
            let count = rest.len().min(self.bytes.len() - self.len);
            self.bytes[self.len..self.len + count].copy_from_slice(&rest[..count]);
            self.len += count;
            rest = &rest[count..];
        }
    }
}

impl fmt::Write for Buffered {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// Writes all the bytes; waits for room, and while whoever reads the console has enough. Without a
/// console they go to Xen's own log.
fn write(bytes: &[u8]) {
    let Some(last) = bytes.last() else { return };
    // What is written where nothing can be waited for is little, and the kernel's.
    while idle::may_wait() && link().is_some_and(|link| link.is_held()) {
        idle::sleep(HOLD);
    }
    AT_LINE_START.store(*last == b'\n', Ordering::Relaxed);
    let mut rest = bytes;
    while !rest.is_empty() {
        // With interrupts off: the link must not become another one between looking it up and using
        // it.
        let written = cpu::without_interrupts(|| link().map(|link| link.write(rest)));
        match written {
            // A console that makes no sense is none.
            None | Some(Err(IndexJump { .. })) => {
                rest.iter().for_each(|byte| cpu::write_to_xens_log(*byte));
                return;
            }
            Some(Ok(count)) => rest = &rest[count..],
        }
        if !rest.is_empty() {
            wait_for(|link| link.ring().used().is_ok_and(|used| used < link.ring().bytes.len()));
        }
    }
}

/// Waits until all has been read, or nobody reads any more. However slowly it is read.
pub(crate) fn drain() {
    let mut start = clock::system_time();
    let mut looks = 0;
    let mut last = 0;
    loop {
        let left = cpu::without_interrupts(|| link().and_then(|link| link.ring().used().ok()))
            .unwrap_or(0);
        if left != last {
            (last, start, looks) = (left, clock::system_time(), 0);
        }
        let late = clock::system_time().saturating_sub(start) > DRAIN;
        looks += 1;
        if left == 0 || late || (start == 0 && looks > LOOKS_WITHOUT_CLOCK) {
            return;
        }
        poll(|link| link.ring().used() == Ok(0));
    }
}

/// Waits until `ready`, or for a while.
fn wait_for(ready: impl Fn(&ConsoleLink) -> bool) {
    if idle::may_wait() {
        // xenconsoled sends an event when it has read.
        idle::wait_until(None, &mut || link().is_none_or(|link| ready(&link)));
    } else {
        poll(ready);
    }
}

/// The same where no event can be delivered.
fn poll(ready: impl Fn(&ConsoleLink) -> bool) {
    cpu::without_interrupts(|| {
        let Some(link) = link() else { return };
        let time = clock::system_time();
        if time == 0 {
            sched_op::yield_now(&hypercall_page::xen());
            return;
        }
        // Cleared before looking: what is read after the look makes it pending again, and the poll
        // returns.
        events::clear(link.port);
        if !ready(&link) {
            // If Xen refuses, the caller only looks more often.
            let _ = sched_op::poll(&hypercall_page::xen(), &[link.port], time + LOOK_AGAIN);
        }
    });
}

/// The page, of which the console is the beginning.
pub(super) fn page() -> Option<&'static ConsolePage> {
    link().map(|link| link.page)
}

fn link() -> Option<ConsoleLink> {
    LINK.with(|link| *link)
}

/// Connects even if the boot has not come so far, for a last word.
pub(crate) fn connect_in_an_emergency() {
    if link().is_none() {
        let found = find().ok();
        LINK.with(|link| *link = found);
    }
}

/// Asks Xen where the console is.
fn find() -> Result<ConsoleLink, PartError> {
    let param = |param| {
        hvm_op::get_param(&hypercall_page::xen(), param)
            .map_err(|error| PartError::Xen("cannot find the console", error))
    };
    let (gfn, port) = (param(Param::ConsoleGfn)?, param(Param::ConsolePort)?);
    let port =
        u32::try_from(port).map_err(|_| PartError::Unusable("the console's port is no port"))?;
    if gfn == 0 {
        return Err(PartError::Unusable("the domain has no console"));
    }
    let page = shared_page::map(Gfn(gfn).address())
        .ok_or(PartError::Unusable("the console cannot be mapped"))?;
    Ok(ConsoleLink { page, port: Port(port) })
}

impl ConsoleLink {
    fn ring(&self) -> ByteRing<'static> {
        ByteRing {
            bytes: &self.page.interface.output,
            produced: &self.page.interface.out_prod,
            consumed: &self.page.interface.out_cons,
        }
    }

    fn is_held(&self) -> bool {
        self.page.hold.load(Ordering::Relaxed) != 0
    }

    fn write(&self, bytes: &[u8]) -> Result<usize, IndexJump> {
        let count = self.ring().write(bytes)?;
        // If the event cannot be sent there is nobody to read.
        let _ = event_channel_op::send(&hypercall_page::xen(), self.port);
        Ok(count)
    }
}

/// The console.
pub(crate) struct Console;

impl Part for Console {
    fn name(&self) -> &'static str {
        "the console"
    }

    /// The toolstack clears the page when it restores, so what nobody has read would be lost.
    fn suspend(&self) {
        drain();
    }

    fn arrive(&self) -> Result<(), PartError> {
        // A domain without a toolstack has none: see `write`.
        let found = find().ok();
        LINK.with(|link| *link = found);
        match found {
            // That there was an event is enough to look again.
            Some(link) => events::bind_quietly(link.port, || ())
                .map_err(|error| PartError::Xen("cannot bind its port", error)),
            None => Ok(()),
        }
    }
}

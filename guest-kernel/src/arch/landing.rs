//! Waiting in a new domain for the memory of a saved rank, and becoming that rank.
//!
//! The wait is assembly, and touches nothing but the pages that are *apart*, which no saved memory
//! is laid over: the entry code's page tables, and [`LandingPages`] with a stack and Xen's stub of
//! the one hypercall it makes. Its code is the image's, which the saved rank has as well.

use core::arch::global_asm;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::Ordering;

use armci_nostd::wire::{LANDING_DOMAINS, LandingPages};
use xen_hypercall::event_channel_op::Port;
use xen_hypercall::sched_op;

use super::standstill::{self, Kept};
use super::{cpu, entry, hypercall_page, register_state};
use crate::logic::memory_map::Span;

/// Where things are in the first page, behind what the proxy writes. The rest is a stack, from the
/// end of the page down.
const POLL: usize = 64;
const PORT: usize = POLL + sched_op::POLL_SIZE;
const DOORBELL: usize = PORT + 4;
const STUB: usize = 128;
const STACK_TOP: usize = 4096;

const _: () = assert!(DOORBELL + 4 <= STUB && offset_of!(LandingPages, private) <= POLL);

global_asm!(
    ".pushsection .xenolith_apart, \"aw\", @nobits",
    ".balign 4096",
    ".globl xenolith_landing_pages",
    "xenolith_landing_pages: .skip {SIZE}",
    ".popsection",
    ".pushsection .text.xenolith_land, \"ax\"",
    ".globl xenolith_wait_to_land",
    "xenolith_wait_to_land:",
    "cli",
    "mov cr3, rdi",
    "lea rbx, [rip + xenolith_landing_pages]",
    "lea rsp, [rbx + {STACK_TOP}]",
    "2:",
    "mov edi, {SCHEDOP_POLL}",
    "lea rsi, [rbx + {POLL}]",
    "lea rax, [rbx + {STUB}]",
    "call rax",
    // It may return early.
    "cmp dword ptr [rbx], 0",
    "je 2b",
    // All memory but what is apart is the saved rank's now.
    "lea rbx, [rip + {KEPT}]",
    "mov rax, [rbx + {PAGE_TABLES}]",
    "mov cr3, rax",
    "mov rsp, [rbx + {STACK_POINTER}]",
    "lea rdi, [rip + {take_up}]",
    "jmp {come_back}",
    ".popsection",
    SIZE = const size_of::<LandingPages>(),
    STACK_TOP = const STACK_TOP,
    SCHEDOP_POLL = const sched_op::POLL,
    POLL = const POLL,
    STUB = const STUB,
    KEPT = sym standstill::KEPT,
    PAGE_TABLES = const offset_of!(Kept, page_tables),
    STACK_POINTER = const offset_of!(Kept, stack_pointer),
    take_up = sym standstill::take_up,
    come_back = sym register_state::come_back,
);

unsafe extern "C" {
    safe static xenolith_apart_start: u8;
    safe static xenolith_apart_end: u8;
    safe static xenolith_landing_pages: u8;
    fn xenolith_wait_to_land(page_tables: u64) -> !;
}

/// The ports by which the proxy reaches a domain before it has become a rank, and the rank after
/// it.
#[derive(Clone, Copy)]
pub(crate) struct LandingPorts {
    pub(crate) doorbell: Port,
    pub(crate) park: Port,
}

/// The pages that no saved memory is laid over.
pub(crate) fn apart() -> Span {
    let at = |symbol: &'static u8| ptr::from_ref(symbol) as u64;
    Span { start: at(&xenolith_apart_start), end: at(&xenolith_apart_end) }
}

/// The address of the [`LandingPages`].
pub(crate) fn pages() -> u64 {
    ptr::from_ref(&xenolith_landing_pages) as u64
}

/// Waits for the memory of a saved rank and for an event on the port for parking, and becomes that
/// rank, as [`standstill::stand_still`] says.
pub(crate) fn wait(ports: LandingPorts) -> ! {
    cpu::disable_interrupts();
    let page = pages() as *mut u8;
    let stub = hypercall_page::stub_of_sched_op();
    // SAFETY: the page is apart, so nobody else uses it, and what is written fits. From here on
    // nothing runs but the assembly above: it is mapped by the entry code's tables, which map the
    // whole image, and ends in memory that the proxy has filled with that of a rank which stood
    // still. Its code is at the same place there, since it is the same image.
    unsafe {
        page.add(PORT).cast::<Port>().write(ports.park);
        page.add(DOORBELL).cast::<Port>().write(ports.doorbell);
        ptr::copy_nonoverlapping(stub.as_ptr(), page.add(STUB), stub.len());
        sched_op::write_poll(page.add(POLL), page.add(PORT).cast(), 1);
        xenolith_wait_to_land(entry::page_tables())
    }
}

/// What a rank that has just landed finds.
pub(crate) struct Landed(());

/// What there is for a rank that has just landed: for whoever is told that it has.
pub(crate) fn landed() -> Landed {
    Landed(())
}

impl Landed {
    /// The ports that [`wait`] was given.
    pub(crate) fn ports(&self) -> LandingPorts {
        // SAFETY: written by `wait`, in this domain, and in the same page since.
        let port = |at: usize| unsafe { (pages() as *const u8).add(at).cast::<Port>().read() };
        LandingPorts { doorbell: port(DOORBELL), park: port(PORT) }
    }

    /// The number of the domain in which a rank is now, as the proxy says.
    pub(crate) fn domain(&self, rank: usize) -> Option<u32> {
        let told = (words().size.load(Ordering::Acquire) as usize).min(LANDING_DOMAINS);
        (rank < told).then(|| words().domains[rank].load(Ordering::Relaxed))
    }

    /// It is over: another landing would be another.
    pub(crate) fn end(self) {
        words().go.store(0, Ordering::Relaxed);
    }
}

/// What the proxy writes.
fn words() -> &'static LandingPages {
    // SAFETY: reserved for it above, aligned, and zero at first, which makes valid ones. The proxy
    // writes words that are atomics; the private part is reached by raw pointers, never by this
    // reference.
    unsafe { &*(pages() as *const LandingPages) }
}

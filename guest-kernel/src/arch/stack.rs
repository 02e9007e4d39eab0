//! Stacks, each with a page below it that is not mapped.
//!
//! Compiled code for this target uses memory below its stack pointer, so every exception and the
//! event upcall switch to a stack of their own (IST).

use core::arch::global_asm;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use xen_hypercall::PAGE_SIZE;

use crate::logic::memory_map::Span;

const PAGE: u64 = PAGE_SIZE as u64;
const LARGE: u64 = 16 << 10;
const SMALL: u64 = 8 << 10;

// The boot, too, runs on the exceptions' stack: until it has set up exceptions, there are none.
global_asm!(
    ".pushsection .xenolith_stacks, \"aw\", @nobits",
    ".balign 4096",
    ".skip {PAGE} + {LARGE}",
    ".globl xenolith_boot_stack_top",
    "xenolith_boot_stack_top:",
    ".skip {PAGE} + {SMALL}",
    ".skip {PAGE} + {SMALL}",
    ".skip {PAGE} + {SMALL}",
    ".skip {PAGE} + {LARGE}",
    ".popsection",
    PAGE = const PAGE,
    LARGE = const LARGE,
    SMALL = const SMALL,
);

unsafe extern "C" {
    safe static xenolith_stacks_start: u8;
}

/// Which interrupt stack an interrupt takes, as the processor counts them less one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ist {
    Exception = 0,
    DoubleFault = 1,
    NonMaskable = 2,
    MachineCheck = 3,
    Upcall = 4,
}

/// A stack and the page below it.
#[derive(Clone, Copy)]
pub(crate) struct Stack {
    pub(crate) name: &'static str,
    pub(crate) guard: Span,
    pub(crate) memory: Span,
}

const INTERRUPT_STACKS: [(&str, u64); 5] = [
    ("exception", LARGE),
    ("double fault", SMALL),
    ("NMI", SMALL),
    ("machine check", SMALL),
    ("event", LARGE),
];

/// The interrupt stacks, in the order of [`Ist`].
pub(crate) fn interrupt_stacks() -> [Stack; 5] {
    let mut start = ptr::from_ref(&xenolith_stacks_start) as u64;
    INTERRUPT_STACKS.map(|(name, size)| {
        let guard = Span::sized(start, PAGE);
        let memory = Span::sized(guard.end, size);
        start = memory.end;
        Stack { name, guard, memory }
    })
}

static MAIN_GUARD: AtomicU64 = AtomicU64::new(0);
static MAIN_TOP: AtomicU64 = AtomicU64::new(0);

/// Remembers where the main stack is: above the page at `guard`, up to `top`.
pub(super) fn set_main(guard: u64, top: u64) {
    MAIN_GUARD.store(guard, Ordering::Relaxed);
    MAIN_TOP.store(top, Ordering::Relaxed);
}

/// The stack on which the application runs.
pub(crate) fn main() -> Stack {
    let guard = Span::sized(MAIN_GUARD.load(Ordering::Relaxed), PAGE);
    Stack {
        name: "main",
        guard,
        memory: Span { start: guard.end, end: MAIN_TOP.load(Ordering::Relaxed) },
    }
}

/// All stacks.
pub(crate) fn all() -> impl Iterator<Item = Stack> {
    interrupt_stacks().into_iter().chain([main()])
}

/// Follows the frame pointers from `frame`: the return addresses, innermost first.
pub(crate) fn backtrace(mut frame: u64) -> impl Iterator<Item = u64> {
    core::iter::from_fn(move || {
        let in_stack =
            all().any(|stack| stack.memory.start <= frame && frame + 16 <= stack.memory.end);
        if !in_stack || !frame.is_multiple_of(8) {
            return None;
        }
        // SAFETY: both words lie in a stack, which is mapped.
        let (next, address) = unsafe { (*(frame as *const u64), *((frame + 8) as *const u64)) };
        // Stacks grow downwards, so callers' frames lie above, unless the chain goes on to another
        // stack.
        let same_stack =
            all().any(|stack| stack.memory.contains(frame) && stack.memory.contains(next));
        frame = if same_stack && next <= frame { 0 } else { next };
        super::image::text().contains(address).then_some(address)
    })
    .take(32)
}

/// The caller's frame pointer.
#[inline(always)]
pub(crate) fn frame_pointer() -> u64 {
    let frame: u64;
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags))
    };
    frame
}

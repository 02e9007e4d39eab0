//! What the processor enters by itself: exceptions, which are all fatal, and the event upcall.

use core::arch::global_asm;
use core::sync::atomic::AtomicU64;

use x86_64::registers::control::Cr2;

use super::lock::Once;
use super::{cpu, fpu, register_state};

/// Vectors from 0 that are exceptions.
pub(crate) const EXCEPTIONS: u8 = 32;
/// The vector that Xen injects when events are pending.
pub(crate) const UPCALL_VECTOR: u8 = 0x30;

/// A register of an upcall that is not meant.
static SCRATCH: AtomicU64 = AtomicU64::new(0);

/// Bytes of code that each exception's stub takes.
const STUB: u64 = 16;

/// The registers at an exception, as the stubs push them.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Registers {
    pub(crate) r15: u64,
    pub(crate) r14: u64,
    pub(crate) r13: u64,
    pub(crate) r12: u64,
    pub(crate) r11: u64,
    pub(crate) r10: u64,
    pub(crate) r9: u64,
    pub(crate) r8: u64,
    pub(crate) rbp: u64,
    pub(crate) rdi: u64,
    pub(crate) rsi: u64,
    pub(crate) rdx: u64,
    pub(crate) rcx: u64,
    pub(crate) rbx: u64,
    pub(crate) rax: u64,
    pub(crate) vector: u64,
    pub(crate) error_code: u64,
    pub(crate) rip: u64,
    pub(crate) cs: u64,
    pub(crate) rflags: u64,
    pub(crate) rsp: u64,
    pub(crate) ss: u64,
}

const _: () = assert!(size_of::<Registers>() == 22 * 8);

// A stub for each exception, all of one length. Those for which the processor pushes no error code
// push a zero, so that all frames look alike. With it a frame is 176 bytes, which leaves the stack
// aligned for a call.
global_asm!(
    ".pushsection .text.xenolith_traps, \"ax\"",
    ".balign 16",
    "xenolith_exception_stubs:",
    ".set vector, 0",
    ".rept {EXCEPTIONS}",
    ".balign {STUB}",
    // The exceptions with an error code.
    ".if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || \
      (vector == 21) || (vector == 29) || (vector == 30)",
    ".else",
    "push 0",
    ".endif",
    "push vector",
    "jmp xenolith_exception",
    ".set vector, vector + 1",
    ".endr",
    "xenolith_exception:",
    "push rax",
    "push rbx",
    "push rcx",
    "push rdx",
    "push rsi",
    "push rdi",
    "push rbp",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "cld",
    "mov rdi, rsp",
    "call {exception}",
    "ud2",
    // The upcall: any instruction may be interrupted, so everything that Rust may change is kept.
    "xenolith_upcall:",
    // QEMU's emulated SVM may deliver an interrupt a second time, also while interrupts are off:
    // that one is not meant. The processor then writes over the frame at the top of the stack, so
    // the handler works on a copy below it.
    "test byte ptr [rsp + 17], 2", // the interrupt flag in the frame
    "jz 2f",
    "push [rsp + 32]", // stack segment
    "push [rsp + 32]", // stack pointer
    "push [rsp + 32]", // flags
    "push [rsp + 32]", // code segment
    "push [rsp + 32]", // instruction pointer
    "xenolith_upcall_copied:",
    "push rbp",
    "mov rbp, rsp",
    "push rax",
    "push rcx",
    "push rdx",
    "push rsi",
    "push rdi",
    "push r8",
    "push r9",
    "push r10",
    "push r11", // an even number of words in all, as the call needs
    "cld",
    "mov rdi, [{SAVE_AREA}]",
    "call {save}",
    "call {upcall}",
    "mov rdi, [{SAVE_AREA}]",
    "call {restore}",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rdi",
    "pop rsi",
    "pop rdx",
    "pop rcx",
    "pop rax",
    "pop rbp",
    "iretq",
    // The second delivery, which leaves everything as it is: below its frame is the copy.
    "2:",
    "mov [{SCRATCH}], rax",
    "lea rax, [rip + xenolith_upcall]",
    "cmp [rsp], rax",
    "jb 3f",
    "lea rax, [rip + xenolith_upcall_copied]",
    "cmp [rsp], rax",
    "jae 3f",
    // It came before the first was copied, and nobody knows any more what that had interrupted.
    "mov rax, [{SCRATCH}]",
    "push 0",
    "push {UPCALL_VECTOR}",
    "jmp xenolith_exception",
    "3:",
    "mov rax, [{SCRATCH}]",
    "iretq",
    ".popsection",
    EXCEPTIONS = const EXCEPTIONS,
    STUB = const STUB,
    UPCALL_VECTOR = const UPCALL_VECTOR,
    SCRATCH = sym SCRATCH,
    SAVE_AREA = sym fpu::SAVE_AREA,
    save = sym register_state::save,
    restore = sym register_state::restore,
    exception = sym exception,
    upcall = sym upcall,
);

unsafe extern "C" {
    safe static xenolith_exception_stubs: u8;
    safe static xenolith_upcall: u8;
}

/// The address of an exception's stub.
pub(super) fn exception_stub(vector: u8) -> u64 {
    core::ptr::from_ref(&xenolith_exception_stubs) as u64 + u64::from(vector) * STUB
}

/// The address of the upcall's stub.
pub(super) fn upcall_stub() -> u64 {
    core::ptr::from_ref(&xenolith_upcall) as u64
}

/// What is done when the processor has entered: handed down at boot, so that nothing here knows who
/// does it.
#[derive(Clone, Copy)]
pub(crate) struct Handlers {
    /// After an exception, with the registers and the address that a page fault is about (CR2).
    pub(crate) exception: fn(&Registers, u64) -> !,
    /// In the upcall, with interrupts off.
    pub(crate) events: fn(),
}

static HANDLERS: Once<Handlers> = Once::new();

/// Sets the handlers. For the boot, once, before the descriptor tables lead here.
pub(super) fn set_handlers(handlers: Handlers) {
    HANDLERS.set(handlers);
}

extern "C" fn exception(registers: &Registers) -> ! {
    let address = Cr2::read_raw();
    match HANDLERS.get() {
        Some(handlers) => (handlers.exception)(registers, address),
        None => cpu::stop(),
    }
}

extern "C" fn upcall() {
    if let Some(handlers) = HANDLERS.get() {
        (handlers.events)();
    }
}

//! Linux's system calls: the way from the instruction `syscall`, as a C library uses it, to the
//! kernel and back.
//!
//! Everything runs privileged and on one stack, so a system call is a function call with
//! conventions of its own: the processor leaves the return address in RCX and the flags in R11, and
//! all other registers but RAX are the caller's, the vector registers too. Events stay on: a system
//! call may wait, and be interrupted, as the application may.

use core::arch::global_asm;

use x86_64::VirtAddr;
use x86_64::registers::model_specific::{Efer, EferFlags, FsBase, LStar, SFMask, Star};
use x86_64::registers::rflags::RFlags;

use super::lock::Once;
use super::{cpu, fpu, register_state};
use crate::logic::linux_abi::Errno;

/// The longest text (a file's name) that a program may hand over.
const TEXT: u64 = 4096;

/// A system call: its number and arguments, as the code below pushes them.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct SystemCall {
    number: u64,
    argument5: u64,
    argument4: u64,
    argument3: u64,
    argument2: u64,
    argument1: u64,
    argument0: u64,
}

// The caller may be using the 128 bytes below its stack pointer. The return address and RBP come
// first, so that a backtrace goes on to the caller.
global_asm!(
    ".pushsection .text.xenolith_system_call, \"ax\"",
    "xenolith_system_call:",
    "lea rsp, [rsp - 128]",
    "push rcx",
    "push rbp",
    "mov rbp, rsp",
    "push r11",
    "push rdi",
    "push rsi",
    "push rdx",
    "push r10",
    "push r8",
    "push r9",
    "push rax",
    "sub rsp, [{SAVE_SIZE}]",
    "and rsp, -64",
    "mov rdi, rsp",
    "call {save}",
    "lea rdi, [rbp - 64]",
    "call {system_call}",
    "mov [rbp - 64], rax",
    "mov rdi, rsp",
    "call {restore}",
    "lea rsp, [rbp - 64]",
    "pop rax",
    "pop r9",
    "pop r8",
    "pop r10",
    "pop rdx",
    "pop rsi",
    "pop rdi",
    "popfq",
    "pop rbp",
    "pop rcx",
    "lea rsp, [rsp + 128]",
    "jmp rcx",
    ".popsection",
    SAVE_SIZE = sym fpu::SAVE_SIZE,
    save = sym register_state::save,
    restore = sym register_state::restore,
    system_call = sym system_call,
);

unsafe extern "C" {
    safe static xenolith_system_call: u8;
}

static SERVE: Once<fn(&SystemCall) -> u64> = Once::new();

/// Makes the processor as a program finds it on Linux: system calls are on, and the x87 unit, which
/// Rust code does not use, computes with all its digits and without exceptions. Both are part of
/// the processor's state, which Xen saves and restores with the domain.
///
/// `serve` does what a system call asks for, and gives what it returns.
pub(crate) fn set_up(serve: fn(&SystemCall) -> u64) {
    /// The selector of the code segment; the stack segment's must be, and is, the next one
    /// (`descriptors`).
    const CODE: u16 = 8;
    SERVE.set(serve);
    LStar::write(VirtAddr::new(core::ptr::from_ref(&xenolith_system_call) as u64));
    // What compiled code expects on entry; the interrupt flag stays as it is.
    SFMask::write(
        RFlags::DIRECTION_FLAG | RFlags::TRAP_FLAG | RFlags::ALIGNMENT_CHECK | RFlags::NESTED_TASK,
    );
    // SAFETY: the selectors are of the segments that are in use already, and `sysret` is never
    // executed; the entry point is set, and keeps to the conventions of the instruction `syscall`.
    unsafe {
        Star::write_raw(0, CODE);
        Efer::update(|flags| *flags |= EferFlags::SYSTEM_CALL_EXTENSIONS);
    }
    // SAFETY: nothing has used the x87 unit yet.
    unsafe { core::arch::asm!("fninit", options(nomem, nostack, preserves_flags)) }
}

extern "C" fn system_call(call: &SystemCall) -> u64 {
    match SERVE.get() {
        Some(serve) => serve(call),
        None => cpu::stop(),
    }
}

/// Addresses that C code hands over are taken at its word, as in any call of a C function: whether
/// there is memory, and nobody else uses it, only C code can know. What is not there faults, and
/// the fault names the address.
impl SystemCall {
    /// Which system call.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The arguments; a system call has six at most.
    pub(crate) fn arguments(&self) -> [u64; 6] {
        [
            self.argument0,
            self.argument1,
            self.argument2,
            self.argument3,
            self.argument4,
            self.argument5,
        ]
    }

    /// Memory that the program has the kernel read.
    pub(crate) fn bytes(&self, address: u64, len: u64) -> Result<&[u8], Errno> {
        if len == 0 {
            return Ok(&[]);
        }
        checked(address, len)?;
        // SAFETY: no null pointer and not too long; the caller's word for the rest, see above. It
        // waits for the call's end, before which the reference is gone.
        Ok(unsafe { core::slice::from_raw_parts(address as *const u8, len as usize) })
    }

    /// The same for a number of bytes that is known.
    pub(crate) fn array<const N: usize>(&self, address: u64) -> Result<&[u8; N], Errno> {
        self.bytes(address, N as u64)?.as_array().ok_or(Errno::BAD_ADDRESS)
    }

    /// A text that ends with a zero.
    pub(crate) fn text(&self, address: u64) -> Result<&[u8], Errno> {
        checked(address, TEXT)?;
        // SAFETY: as for `bytes`; nothing behind the text's end is read.
        let ends = |len: &u64| unsafe { *((address + len) as *const u8) == 0 };
        let len = (0..TEXT).find(ends).ok_or(Errno::NAME_TOO_LONG)?;
        self.bytes(address, len)
    }

    /// Writes to memory that the program has given for it.
    pub(crate) fn put(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        if bytes.is_empty() {
            return Ok(());
        }
        checked(address, bytes.len() as u64)?;
        // SAFETY: as for `bytes`. `bytes` are the kernel's own, or a file's, which no program may
        // write to.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) }
        Ok(())
    }

    /// Has the program find its thread's own data here.
    pub(crate) fn set_thread_pointer(&self, address: u64) -> Result<(), Errno> {
        let address = VirtAddr::try_new(address).map_err(|_| Errno::BAD_ADDRESS)?;
        // The kernel does not use segment FS.
        FsBase::write(address);
        Ok(())
    }
}

fn checked(address: u64, len: u64) -> Result<(), Errno> {
    let in_bounds = address.checked_add(len).is_some_and(|end| i64::try_from(end).is_ok());
    if address != 0 && in_bounds { Ok(()) } else { Err(Errno::BAD_ADDRESS) }
}

//! The C program that is part of the image, and the C library with which it begins and ends.

use core::ffi::{CStr, c_char, c_int};
use core::ptr;

use crate::logic::linux_abi::ProgramHeader;
use crate::logic::memory_map::Span;

type Main = unsafe extern "C" fn(c_int, *const *const c_char, *const *const c_char) -> c_int;

unsafe extern "C" {
    /// The program.
    fn main(
        count: c_int,
        arguments: *const *const c_char,
        environment: *const *const c_char,
    ) -> c_int;
    /// Of the C library: sets it up, runs constructors, then the program, then exits.
    fn __libc_start_main(main: Main, count: c_int, arguments: *const u64, ...) -> c_int;
    /// Of the C library: runs destructors, writes what was printed, and ends the program.
    safe fn exit(status: c_int) -> !;
    /// The program's name, a text; from image-builder.
    safe static xenolith_program_name: c_char;
    // Thread-local variables: see c.ld.
    safe static xenolith_tls_start: u8;
    safe static xenolith_tls_data_end: u8;
    safe static xenolith_tls_end: u8;
    safe static xenolith_tls_align: u8;
}

/// The program's name.
pub(crate) fn name() -> &'static CStr {
    // SAFETY: image-builder makes it as a C text.
    unsafe { CStr::from_ptr(&raw const xenolith_program_name) }
}

/// Where a thread's initial data are.
pub(crate) fn thread_local() -> ProgramHeader {
    let address = |symbol: &'static u8| ptr::from_ref(symbol) as u64;
    let initial =
        Span { start: address(&xenolith_tls_start), end: address(&xenolith_tls_data_end) };
    // The last symbol is a number, not a place.
    ProgramHeader::thread_local(
        initial,
        address(&xenolith_tls_end),
        &raw const xenolith_tls_align as u64,
    )
}

/// Runs the program, which begins with these words, to its end: it exits by a system call.
pub(crate) fn run(words: &'static [u64]) -> ! {
    let (count, arguments) = words.split_first().unwrap_or_else(|| unreachable!("no beginning"));
    // SAFETY: the words are a process's beginning as Linux makes it, and stay forever; system
    // calls are on. The stack is the main stack.
    unsafe { __libc_start_main(main, *count as c_int, arguments.as_ptr()) };
    unreachable!("the C library came back")
}

/// Ends the program as itself would: what it has printed is not lost.
pub(crate) fn end(status: u8) -> ! {
    exit(status.into())
}

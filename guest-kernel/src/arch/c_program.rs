//! The C program that is part of the image: where it begins, and the memory that it asks for by the
//! page.

use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::ffi::{CStr, c_char, c_int};
use core::ptr;

use xen_hypercall::PAGE_SIZE;

use super::lock::IrqLock;
use crate::logic::linux::{Errno, ProgramHeader};
use crate::logic::mappings::Mappings;
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
    // SAFETY: the words are a process's beginning as Linux makes it, and stay for ever; system
    // calls are on. The stack is the main stack.
    unsafe { __libc_start_main(main, *count as c_int, arguments.as_ptr()) };
    unreachable!("the C library came back")
}

/// Ends the program as itself would: what it has printed is not lost.
pub(crate) fn end(status: u8) -> ! {
    exit(status.into())
}

/// Memory that the program has by the page.
static MAPPINGS: IrqLock<Mappings> = IrqLock::new(Mappings::new());

/// Gives the program zeroed pages for so many bytes.
pub(crate) fn map(len: u64) -> Result<u64, Errno> {
    let layout = layout(len).ok_or(Errno::INVALID)?;
    // SAFETY: the length is not zero.
    let memory = unsafe { alloc(layout) };
    if memory.is_null() {
        return Err(Errno::NO_MEMORY);
    }
    // SAFETY: just allocated.
    unsafe { memory.write_bytes(0, layout.size()) };
    MAPPINGS.with(|mappings| mappings.add(Span::sized(memory as u64, layout.size() as u64)));
    Ok(memory as u64)
}

/// Takes back what of these pages the program had, which it says it does not use any more.
pub(crate) fn unmap(address: u64, len: u64) -> Result<(), Errno> {
    let pages = pages(address, len)?;
    for block in MAPPINGS.with(|mappings| mappings.remove(pages)) {
        if let Some(layout) = layout(block.len()) {
            // SAFETY: from `map`, where the same length made the same layout; the program has given
            // back all of it.
            unsafe { dealloc(block.start as *mut u8, layout) }
        }
    }
    Ok(())
}

/// Makes pages that the program has more or fewer; more of them are elsewhere, if they may be.
pub(crate) fn remap(address: u64, old_len: u64, len: u64, may_move: bool) -> Result<u64, Errno> {
    let (old, new) = (pages(address, old_len)?, pages(address, len)?);
    if !MAPPINGS.with(|mappings| mappings.contains(old)) {
        return Err(Errno::BAD_ADDRESS);
    }
    if new.end <= old.end {
        if new.end < old.end {
            unmap(new.end, old.end - new.end)?;
        }
        return Ok(address);
    }
    if !may_move {
        return Err(Errno::NO_MEMORY);
    }
    let moved = map(len)?;
    // SAFETY: the program has all of the old pages, and the new ones, which are more, are new.
    unsafe { ptr::copy_nonoverlapping(address as *const u8, moved as *mut u8, old.len() as usize) };
    unmap(address, old_len)?;
    Ok(moved)
}

fn pages(address: u64, len: u64) -> Result<Span, Errno> {
    let len = len
        .checked_next_multiple_of(PAGE_SIZE as u64)
        .filter(|len| *len > 0)
        .ok_or(Errno::INVALID)?;
    let end = address
        .checked_add(len)
        .filter(|_| address.is_multiple_of(PAGE_SIZE as u64))
        .ok_or(Errno::INVALID)?;
    Ok(Span { start: address, end })
}

fn layout(len: u64) -> Option<Layout> {
    let size =
        usize::try_from(len).ok().filter(|size| *size > 0)?.checked_next_multiple_of(PAGE_SIZE)?;
    Layout::from_size_align(size, PAGE_SIZE).ok()
}

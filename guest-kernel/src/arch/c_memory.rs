//! Memory that a C program asks for by the page.

use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::ptr;

use xen_hypercall::PAGE_SIZE;

use super::lock::IrqLock;
use crate::logic::linux_abi::Errno;
use crate::logic::memory_map::Span;
use crate::logic::page_blocks::PageBlocks;

/// What the program has.
static BLOCKS: IrqLock<PageBlocks> = IrqLock::new(PageBlocks::new());

/// Gives the program zeroed pages for `len` bytes.
pub(crate) fn map(len: u64) -> Result<u64, Errno> {
    let layout = layout(len).ok_or(Errno::INVALID)?;
    // SAFETY: the length is not zero.
    let memory = unsafe { alloc(layout) };
    if memory.is_null() {
        return Err(Errno::NO_MEMORY);
    }
    // SAFETY: just allocated.
    unsafe { memory.write_bytes(0, layout.size()) };
    BLOCKS.with(|blocks| blocks.add(Span::sized(memory as u64, layout.size() as u64)));
    Ok(memory as u64)
}

/// Takes back what of these pages the program had, which it says it does not use any more.
pub(crate) fn unmap(address: u64, len: u64) -> Result<(), Errno> {
    let pages = pages(address, len)?;
    for block in BLOCKS.with(|blocks| blocks.remove(pages)) {
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
    if !BLOCKS.with(|blocks| blocks.contains(old)) {
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

//! What Xen left in memory at boot.

use core::ptr;

use super::{image, paging};
use crate::logic::memory_map::Span;

/// Reads a value that Xen left in memory at boot. None if the entry code has not mapped it, or if
/// the memory plan is made already and the memory may be something else's.
pub(crate) fn read_at_boot<T: BootInformation>(address: u64) -> Option<T> {
    let end = address.checked_add(size_of::<T>() as u64)?;
    if address == 0 || !readable_at_boot(address, end) || paging::plan().is_some() {
        return None;
    }
    // SAFETY: the entry code has mapped these addresses, and any bytes make a valid `T`.
    Some(unsafe { ptr::read_unaligned(address as *const T) })
}

/// Types that any bytes make a value of.
///
/// # Safety
/// As said.
pub(crate) unsafe trait BootInformation {}
// SAFETY: integers only.
unsafe impl BootInformation for xen_hypercall::start_info::StartInfo {}
// SAFETY: integers only.
unsafe impl BootInformation for xen_hypercall::start_info::Module {}
// SAFETY: integers only.
unsafe impl BootInformation for xen_hypercall::start_info::MemoryMapEntry {}
// SAFETY: an integer.
unsafe impl BootInformation for u8 {}

/// The entry code maps the first and the fourth GiB.
fn readable_at_boot(start: u64, end: u64) -> bool {
    const GIB: u64 = 1 << 30;
    end <= GIB || (start >= 3 * GIB && end <= 4 * GIB)
}

/// Bytes that Xen left in memory and nobody changes any more: a boot module, say. They must lie in
/// RAM, outside of the image, and the memory plan must leave them alone.
///
/// None if they do not lie in RAM or overlap image or heap.
pub(crate) fn left_by_xen(span: Span) -> Option<&'static [u8]> {
    let plan = paging::plan()?;
    let in_ram = plan.ram.start <= span.start
        && span.end <= plan.ram.end
        && span.start < span.end
        && span.start > 0;
    let apart = [plan.heap, plan.low, image::whole()]
        .iter()
        .all(|other| span.end <= other.start || other.end <= span.start);
    if !in_ram || !apart {
        return None;
    }
    // SAFETY: mapped as RAM, and not part of anything that changes: image, stacks, tables, heap.
    Some(unsafe { core::slice::from_raw_parts(span.start as *const u8, span.len() as usize) })
}

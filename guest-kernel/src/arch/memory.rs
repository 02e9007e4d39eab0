//! Memory by address: the image's own sections, what Xen left at boot, and pages shared with
//! others.

use core::ptr;

use armci_nostd::wire::{PROTOCOL_VERSION, RuntimeArea, area};
use xen_hypercall::PAGE_SIZE;
use xen_hypercall::grant_table_op::Entry;
use xen_hypercall::io::console::ConsoleInterface;
use xen_hypercall::io::xenstore::XenstoreInterface;
use xen_hypercall::shared_info::SharedInfo;

use super::lock::Once;
use super::paging;
use crate::logic::memory_map::Span;

unsafe extern "C" {
    safe static xenolith_image_start: u8;
    safe static xenolith_text_start: u8;
    safe static xenolith_text_end: u8;
    safe static xenolith_image_end: u8;
}

fn between(start: &'static u8, end: &'static u8) -> Span {
    Span { start: ptr::from_ref(start) as u64, end: ptr::from_ref(end) as u64 }
}

/// The whole image, stacks and zeroed data included.
pub(crate) fn image() -> Span {
    between(&xenolith_image_start, &xenolith_image_end)
}

/// The image's constants and notes.
pub(crate) fn constants() -> Span {
    between(&xenolith_image_start, &xenolith_text_start)
}

/// The image's code.
pub(crate) fn text() -> Span {
    between(&xenolith_text_start, &xenolith_text_end)
}

/// Types that may stand for memory that others write at any moment: nothing but atomics, with no
/// invalid values.
///
/// # Safety
/// As said; and no larger than a page.
pub(crate) unsafe trait SharedPage {}
// SAFETY: made of atomics and padding.
unsafe impl SharedPage for SharedInfo {}
// SAFETY: made of atomics.
unsafe impl SharedPage for ConsoleInterface {}
// SAFETY: made of atomics.
unsafe impl SharedPage for XenstoreInterface {}
// SAFETY: made of atomics.
unsafe impl SharedPage for [Entry; PAGE_SIZE / size_of::<Entry>()] {}

/// A page that Xen or a backend shares with us. It must lie outside of RAM, so that nothing else of
/// ours is there.
///
/// None if it lies in RAM, or cannot be mapped.
pub(crate) fn shared<T: SharedPage>(address: u64) -> Option<&'static T> {
    const { assert!(size_of::<T>() <= PAGE_SIZE) };
    if !paging::map_shared(address) {
        return None;
    }
    // SAFETY: mapped, page-aligned, outside of RAM, and `T` allows any change at any moment.
    Some(unsafe { &*(address as *const T) })
}

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
    let apart = [plan.heap, plan.low, image()]
        .iter()
        .all(|other| span.end <= other.start || other.end <= span.start);
    if !in_ram || !apart {
        return None;
    }
    // SAFETY: mapped as RAM, and not part of anything that changes: image, stacks, tables, heap.
    Some(unsafe { core::slice::from_raw_parts(span.start as *const u8, span.len() as usize) })
}

static RUNTIME_AREA: Once<&'static RuntimeArea> = Once::new();

/// Bytes of the runtime area, in whole pages.
pub(crate) const RUNTIME_AREA_SIZE: u64 =
    size_of::<RuntimeArea>().next_multiple_of(PAGE_SIZE) as u64;

/// Makes the memory that the proxy and we share for talking. For the boot, once.
pub(super) fn set_up_runtime_area() {
    let address = paging::take_frames(RUNTIME_AREA_SIZE as usize / PAGE_SIZE);
    let area = address as *mut RuntimeArea;
    // SAFETY: the frames are ours for ever, zeroed, aligned, and enough. Zeros make a valid area,
    // but for the two words that say what it is, which are written before anybody else has the
    // address.
    let area = unsafe {
        (&raw mut (*area).header.magic).write(area::MAGIC);
        (&raw mut (*area).header.version).write(PROTOCOL_VERSION);
        &*area
    };
    RUNTIME_AREA.set(area);
}

/// The memory that the proxy and we share for talking.
pub(crate) fn runtime_area() -> &'static RuntimeArea {
    RUNTIME_AREA.get().copied().unwrap_or_else(|| unreachable!("made at boot"))
}

/// Its address.
pub(crate) fn runtime_area_address() -> u64 {
    ptr::from_ref(runtime_area()) as u64
}

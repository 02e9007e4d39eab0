//! Pages that Xen or a backend shares with us.

use xen_hypercall::PAGE_SIZE;
use xen_hypercall::grant_table_op::GrantEntry;
use xen_hypercall::io::console::ConsolePage;
use xen_hypercall::io::xenstore::XenstoreInterface;
use xen_hypercall::shared_info::SharedInfo;

use super::paging;

/// Types that may stand for memory that others write at any moment: nothing but atomics, with no
/// invalid values.
///
/// # Safety
/// As said; and no larger than a page.
pub(crate) unsafe trait SharedPage {}
// SAFETY: made of atomics and padding.
unsafe impl SharedPage for SharedInfo {}
// SAFETY: made of atomics.
unsafe impl SharedPage for ConsolePage {}
// SAFETY: made of atomics.
unsafe impl SharedPage for XenstoreInterface {}
// SAFETY: made of atomics.
unsafe impl SharedPage for [GrantEntry; PAGE_SIZE / size_of::<GrantEntry>()] {}

/// A page that Xen or a backend shares with us. It must lie outside of RAM, so that nothing else of
/// ours is there.
///
/// None if it lies in RAM, or cannot be mapped.
pub(crate) fn map<T: SharedPage>(address: u64) -> Option<&'static T> {
    const { assert!(size_of::<T>() <= PAGE_SIZE) };
    if !paging::map_shared(address) {
        return None;
    }
    // SAFETY: mapped, page-aligned, outside of RAM, and `T` allows any change at any moment.
    Some(unsafe { &*(address as *const T) })
}

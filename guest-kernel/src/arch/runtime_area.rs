//! The runtime area: the memory by which this rank, its proxy and its neighbours talk.

use core::ptr;

use armci_nostd::wire::{PROTOCOL_VERSION, RuntimeArea, area};
use xen_hypercall::PAGE_SIZE;

use super::lock::Once;
use super::paging;

static AREA: Once<&'static RuntimeArea> = Once::new();

/// Bytes of the runtime area, in whole pages.
pub(crate) const SIZE: u64 = size_of::<RuntimeArea>().next_multiple_of(PAGE_SIZE) as u64;

/// Makes the memory that the proxy and we share for talking. For the boot, once.
pub(super) fn set_up() {
    let address = paging::take_frames(SIZE as usize / PAGE_SIZE);
    let area = address as *mut RuntimeArea;
    // SAFETY: the frames are ours forever, zeroed, aligned, and enough. Zeros make a valid area,
    // but for the two words that say what it is, which are written before anybody else has the
    // address.
    let area = unsafe {
        (&raw mut (*area).header.magic).write(area::MAGIC);
        (&raw mut (*area).header.version).write(PROTOCOL_VERSION);
        &*area
    };
    AREA.set(area);
}

/// The memory that the proxy and we share for talking.
pub(crate) fn get() -> &'static RuntimeArea {
    AREA.get().copied().unwrap_or_else(|| unreachable!("made at boot"))
}

/// Its address.
pub(crate) fn address() -> u64 {
    ptr::from_ref(get()) as u64
}

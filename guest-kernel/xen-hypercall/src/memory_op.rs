//! Changes to a domain's physical memory map (`memory.h`).

use crate::{DomainId, Error, Gfn, Hypercall, Number, Result, with_argument};

/// Which of Xen's own pages to place in the guest's map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapSpace {
    /// The shared-information page.
    #[doc(alias = "XENMAPSPACE_shared_info")]
    SharedInfo,
    /// The frame of the grant table with this number; the table grows to hold it.
    #[doc(alias = "XENMAPSPACE_grant_table")]
    GrantTable(u64),
}

#[doc(alias = "XENMEM_add_to_physmap")]
const ADD_TO_PHYSMAP: u32 = 7;

#[doc(alias = "xen_add_to_physmap")]
#[repr(C)]
struct AddToPhysmap {
    domain: DomainId,
    /// Only for ranges of machine frames, which we do not use.
    size: u16,
    space: u32,
    index: u64,
    gfn: Gfn,
}

const _: () = assert!(size_of::<AddToPhysmap>() == 24);

/// Places one of Xen's pages at `gfn`. Memory that was there is given back to Xen.
///
/// # Safety
/// Nothing may be using memory at `gfn`, since it is replaced.
#[doc(alias = "XENMEM_add_to_physmap")]
pub unsafe fn add_to_physmap(
    xen: &(impl Hypercall + ?Sized),
    space: MapSpace,
    gfn: Gfn,
) -> Result<()> {
    let (space, index) = match space {
        MapSpace::SharedInfo => (0, 0),
        MapSpace::GrantTable(frame) => (1, frame),
    };
    let mut argument = AddToPhysmap { domain: DomainId::SELF, size: 0, space, index, gfn };
    // SAFETY: the structure is the operation's; what it replaces is the caller's promise.
    let rax = unsafe { with_argument(xen, Number::MemoryOp, ADD_TO_PHYSMAP, &mut argument) };
    Error::check(rax).map(drop)
}

#[doc(alias = "XENMEM_current_reservation")]
const CURRENT_RESERVATION: u32 = 3;

/// How many pages of memory the caller has. The memory map may promise more: where `maxmem` in
/// xl.cfg is above `memory`, whoever uses all that it promises is killed.
#[doc(alias = "XENMEM_current_reservation")]
pub fn current_reservation(xen: &(impl Hypercall + ?Sized)) -> Result<u64> {
    let mut domain = DomainId::SELF;
    // SAFETY: the operation's own structure, a domain's number.
    let rax = unsafe { with_argument(xen, Number::MemoryOp, CURRENT_RESERVATION, &mut domain) };
    Error::check(rax)
}

/// An entry of the memory map as a PC's firmware lays it out; kinds are those of
/// [`MemoryKind`](crate::start_info::MemoryKind).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, packed(4))]
pub struct E820Entry {
    /// Where the region begins.
    pub address: u64,
    /// Its length in bytes.
    pub size: u64,
    /// What it is.
    pub kind: u32,
}

const _: () = assert!(size_of::<E820Entry>() == 20);

#[doc(alias = "XENMEM_memory_map")]
const MEMORY_MAP: u32 = 9;

#[doc(alias = "xen_memory_map")]
#[repr(C)]
struct MemoryMap {
    count: u32,
    buffer: *mut E820Entry,
}

const _: () = assert!(size_of::<MemoryMap>() == 16);

/// Fetches the caller's memory map; returns how many entries there are.
#[doc(alias = "XENMEM_memory_map")]
pub fn memory_map(xen: &(impl Hypercall + ?Sized), entries: &mut [E820Entry]) -> Result<usize> {
    let count = u32::try_from(entries.len()).map_err(|_| Error::INVALID)?;
    let mut argument = MemoryMap { count, buffer: entries.as_mut_ptr() };
    // SAFETY: the operation's own structure; Xen writes at most `count` entries to a live slice.
    let rax = unsafe { with_argument(xen, Number::MemoryOp, MEMORY_MAP, &mut argument) };
    Error::check(rax)?;
    Ok(entries.len().min(argument.count as usize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Recorder;

    #[test]
    fn the_structure_is_laid_out_as_xen_reads_it() {
        let xen = Recorder::new(0, 24);
        // SAFETY: a recording double changes no map.
        unsafe { add_to_physmap(&xen, MapSpace::GrantTable(3), Gfn(0x1234)) }.unwrap();
        let call = xen.next();
        assert_eq!((call.number, call.arguments[0]), (Number::MemoryOp, 7));
        assert_eq!(call.structure[..8], [0xf0, 0x7f, 0, 0, 1, 0, 0, 0]);
        assert_eq!(call.structure[8..16], 3u64.to_le_bytes());
        assert_eq!(call.structure[16..], 0x1234u64.to_le_bytes());
    }

    #[test]
    fn xen_says_how_many_pages_there_are() {
        let xen = Recorder::new(4096, 2);
        assert_eq!(current_reservation(&xen), Ok(4096));
        let call = xen.next();
        assert_eq!((call.number, call.arguments[0]), (Number::MemoryOp, 3));
        assert_eq!(call.structure, [0xf0, 0x7f]);
    }

    #[test]
    fn xen_says_how_many_entries_there_are() {
        let xen = Recorder::new(0, 16).replying(0, &2u32.to_le_bytes());
        assert_eq!(memory_map(&xen, &mut [E820Entry::default(); 5]), Ok(2));
        let call = xen.next();
        assert_eq!((call.number, call.arguments[0]), (Number::MemoryOp, 9));
        assert_eq!(call.structure[..4], [5, 0, 0, 0]);
        // A count beyond the buffer is not believed.
        let xen = Recorder::new(0, 16).replying(0, &9u32.to_le_bytes());
        assert_eq!(memory_map(&xen, &mut [E820Entry::default(); 5]), Ok(5));
    }
}

//! Changes to a domain's physical memory map (`memory.h`).

use crate::{DomainId, Error, Gfn, Hypercall, Number, Result, with_argument};

/// Which of Xen's own pages to place in the guest's map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapSpace {
    /// The shared-information page.
    #[doc(alias = "XENMAPSPACE_shared_info")]
    SharedInfo,
    /// Frame number so-and-so of the grant table, which grows to hold it.
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
pub unsafe fn add_to_physmap(xen: &(impl Hypercall + ?Sized), space: MapSpace, gfn: Gfn) -> Result<()> {
    let (space, index) = match space {
        MapSpace::SharedInfo => (0, 0),
        MapSpace::GrantTable(frame) => (1, frame),
    };
    let mut argument = AddToPhysmap { domain: DomainId::SELF, size: 0, space, index, gfn };
    // SAFETY: the structure is the operation's; what it replaces is the caller's promise.
    let rax = unsafe { with_argument(xen, Number::MemoryOp, ADD_TO_PHYSMAP, &mut argument) };
    Error::check(rax).map(drop)
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
}

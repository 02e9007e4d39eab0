//! Grants: pages that a domain lets another domain use (`grant_table.h`), version 1.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::{
    DomainId, Error, Gfn, Hypercall, Number, PAGE_SIZE, Result, with_arguments, with_one_argument,
};

/// The reference by which Xen's tools grant a new domain's console page to domain 0.
#[doc(alias = "GNTTAB_RESERVED_CONSOLE")]
pub const CONSOLE_REFERENCE: u32 = 0;
/// References below this one are the toolstack's (console and xenstore).
#[doc(alias = "GNTTAB_NR_RESERVED_ENTRIES")]
pub const FIRST_FREE_REFERENCE: u32 = 8;

/// Version 1 entries in a frame of the grant table.
pub const ENTRIES_PER_FRAME: usize = PAGE_SIZE / size_of::<GrantEntry>();

/// What a version 1 entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who may use the page.
    pub domain: DomainId,
    /// Which page.
    pub gfn: Gfn,
    /// Whether it may be written.
    pub writable: bool,
}

/// The type of an entry that lets a domain map or copy a page.
#[doc(alias = "GTF_permit_access")]
const PERMIT_ACCESS: u16 = 1;
/// Set by the guest: reading only.
#[doc(alias = "GTF_readonly")]
const READ_ONLY: u16 = 1 << 2;
/// Set by Xen: the page is being read, or mapped readable.
#[doc(alias = "GTF_reading")]
const READING: u16 = 1 << 3;
/// Set by Xen: the page is being written, or mapped writable.
#[doc(alias = "GTF_writing")]
const WRITING: u16 = 1 << 4;

impl Grant {
    /// The entry's 64 bits: flags, domain, frame, from the lowest. None if the page lies beyond
    /// what version 1 can name (16 TiB).
    pub fn pack(self) -> Option<u64> {
        let frame = u32::try_from(self.gfn.0).ok()?;
        let flags = PERMIT_ACCESS | if self.writable { 0 } else { READ_ONLY };
        Some(u64::from(flags) | u64::from(self.domain.0) << 16 | u64::from(frame) << 32)
    }
}

/// The grant is in use: the other domain has the page mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the page is still mapped by the other domain")]
pub struct InUse;

/// One version 1 entry, in the memory shared with Xen.
#[doc(alias = "grant_entry_v1")]
#[derive(Debug)]
#[repr(transparent)]
pub struct GrantEntry(AtomicU64);

const _: () = assert!(size_of::<GrantEntry>() == 8);

impl GrantEntry {
    /// An entry that grants nothing.
    pub const fn empty() -> Self {
        GrantEntry(AtomicU64::new(0))
    }

    /// Writes the entry. Xen sees all of it at once, which is as good as Xen's own order (frame and
    /// domain, then flags).
    pub fn set(&self, packed: u64) {
        self.0.store(packed, Ordering::Release);
    }

    /// Withdraws the grant unless it is in use.
    pub fn revoke(&self) -> core::result::Result<(), InUse> {
        let in_use = u64::from(READING | WRITING);
        self.0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |entry| {
                (entry & in_use == 0).then_some(0)
            })
            .map(drop)
            .map_err(|_| InUse)
    }
}

/// How large a grant table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Frames it has.
    pub frames: u32,
    /// Frames it can grow to (`max_grant_frames` in xl.cfg).
    pub max_frames: u32,
}

/// What became of one structure of a batch (`grant_table.h`, `GNTST_*`): zero or a negative number.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Status(pub i16);

impl Status {
    /// Done.
    #[doc(alias = "GNTST_okay")]
    pub const OKAY: Status = Status(0);
    /// What stands in a structure before Xen has come to it, so that none passes for done.
    const NOT_DONE: Status = Status(i16::MIN);

    /// The status as a result.
    pub const fn check(self) -> core::result::Result<(), StatusError> {
        if self.0 == 0 { Ok(()) } else { Err(StatusError(self.0)) }
    }
}

impl core::fmt::Debug for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.check() {
            Ok(()) => f.write_str("done"),
            Err(error) => core::fmt::Display::fmt(&error, f),
        }
    }
}

/// Why an operation on a grant was not done, as Xen numbers it (`grant_table.h`, `GNTST_*`): a
/// negative number.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} (grant status {})", self.text(), self.0)]
pub struct StatusError(pub i16);

impl StatusError {
    /// An error that has no other name.
    #[doc(alias = "GNTST_general_error")]
    pub const GENERAL: StatusError = StatusError(-1);
    /// There is no such domain, or it is not to be talked to.
    #[doc(alias = "GNTST_bad_domain")]
    pub const BAD_DOMAIN: StatusError = StatusError(-2);
    /// The reference is not in the table of the other domain.
    #[doc(alias = "GNTST_bad_gntref")]
    pub const BAD_REFERENCE: StatusError = StatusError(-3);
    /// There is no such mapping.
    #[doc(alias = "GNTST_bad_handle")]
    pub const BAD_HANDLE: StatusError = StatusError(-4);
    /// The address is not one that this can be mapped at, or not the one where it is mapped.
    #[doc(alias = "GNTST_bad_virt_addr")]
    pub const BAD_ADDRESS: StatusError = StatusError(-5);
    /// The entry does not grant that to the caller.
    #[doc(alias = "GNTST_permission_denied")]
    pub const PERMISSION: StatusError = StatusError(-8);
    /// The granted frame is no page of the other domain's.
    #[doc(alias = "GNTST_bad_page")]
    pub const BAD_PAGE: StatusError = StatusError(-9);
    /// The page is being moved about: it may be tried again.
    #[doc(alias = "GNTST_eagain")]
    pub const AGAIN: StatusError = StatusError(-12);
    /// No more handles (`max_maptrack_frames` in xl.cfg).
    #[doc(alias = "GNTST_no_space")]
    pub const NO_SPACE: StatusError = StatusError(-13);

    fn text(self) -> &'static str {
        match self {
            StatusError::BAD_DOMAIN => "no such domain",
            StatusError::BAD_REFERENCE => "no such grant",
            StatusError::BAD_HANDLE => "no such mapping",
            StatusError::BAD_ADDRESS => "bad address",
            StatusError::PERMISSION => "not granted",
            StatusError::BAD_PAGE => "bad page",
            StatusError::AGAIN => "try again",
            StatusError::NO_SPACE => "no space left for mappings",
            StatusError(i16::MIN) => "not done",
            _ => "failed",
        }
    }
}

impl core::fmt::Debug for StatusError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

mod operation {
    pub(super) const MAP_GRANT_REF: u32 = 0;
    pub(super) const UNMAP_GRANT_REF: u32 = 1;
    pub(super) const QUERY_SIZE: u32 = 6;
    pub(super) const SET_VERSION: u32 = 8;
}

#[doc(alias = "gnttab_query_size")]
#[repr(C)]
struct QuerySize {
    domain: DomainId,
    frames: u32,
    max_frames: u32,
    status: i16,
}

const _: () = assert!(size_of::<QuerySize>() == 16);

/// Asks how large the caller's grant table is.
#[doc(alias = "GNTTABOP_query_size")]
pub fn query_size(xen: &(impl Hypercall + ?Sized)) -> Result<Size> {
    let mut argument = QuerySize { domain: DomainId::SELF, frames: 0, max_frames: 0, status: 0 };
    // SAFETY: the operation's own structure, which holds no pointers.
    let rax = unsafe {
        with_one_argument(xen, Number::GrantTableOp, operation::QUERY_SIZE, &mut argument)
    };
    Error::check(rax)?;
    // The operation has a status of its own (GNTST_*): zero or a negative number.
    if argument.status != 0 {
        return Err(Error::INVALID);
    }
    Ok(Size { frames: argument.frames, max_frames: argument.max_frames })
}

/// Has Xen read the table as version 1. A restored domain may begin with another.
#[doc(alias = "GNTTABOP_set_version")]
pub fn set_version_1(xen: &(impl Hypercall + ?Sized)) -> Result<()> {
    let mut version: u32 = 1;
    // SAFETY: the operation's structure is one 32-bit word.
    let rax = unsafe {
        with_one_argument(xen, Number::GrantTableOp, operation::SET_VERSION, &mut version)
    };
    Error::check(rax).map(drop)
}

/// The mapping is for the guest's own use, by its processors.
#[doc(alias = "GNTMAP_host_map")]
const HOST_MAP: u32 = 1 << 1;

/// Xen's name for a mapping.
#[doc(alias = "grant_handle_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct GrantHandle(pub u32);

/// One granted page to be mapped, readable and writable: an entry of a batch for
/// [`map_grant_refs`].
#[doc(alias = "gnttab_map_grant_ref")]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MapGrantRef {
    host_address: u64,
    flags: u32,
    reference: u32,
    domain: DomainId,
    status: Status,
    handle: GrantHandle,
    device_address: u64,
}

const _: () = {
    assert!(size_of::<MapGrantRef>() == 32);
    assert!(core::mem::offset_of!(MapGrantRef, flags) == 8);
    assert!(core::mem::offset_of!(MapGrantRef, reference) == 12);
    assert!(core::mem::offset_of!(MapGrantRef, domain) == 16);
    assert!(core::mem::offset_of!(MapGrantRef, status) == 18);
    assert!(core::mem::offset_of!(MapGrantRef, handle) == 20);
    assert!(core::mem::offset_of!(MapGrantRef, device_address) == 24);
};

impl MapGrantRef {
    /// An entry that asks for the page behind `reference` of `domain`, to appear at `gfn` of the
    /// caller's.
    pub const fn new(domain: DomainId, reference: u32, gfn: Gfn) -> Self {
        MapGrantRef {
            host_address: gfn.address(),
            flags: HOST_MAP,
            reference,
            domain,
            status: Status::NOT_DONE,
            handle: GrantHandle(0),
            device_address: 0,
        }
    }

    /// What became of it: the mapping's handle, or why there is none.
    pub const fn outcome(&self) -> core::result::Result<GrantHandle, StatusError> {
        match self.status.check() {
            Ok(()) => Ok(self.handle),
            Err(error) => Err(error),
        }
    }
}

/// Maps pages that other domains have granted, each at its frame of the caller's map. Every entry
/// has an [outcome](MapGrantRef::outcome) of its own, also if the call as a whole fails.
///
/// # Errors
/// If Xen does not take the call; entries that it came to before are mapped nevertheless.
///
/// # Safety
/// Nothing may be using memory at the entries' frames, since it is replaced.
#[doc(alias = "GNTTABOP_map_grant_ref")]
pub unsafe fn map_grant_refs(
    xen: &(impl Hypercall + ?Sized),
    batch: &mut [MapGrantRef],
) -> Result<()> {
    // SAFETY: the operation's own structures, which hold no pointers; what they replace is the
    // caller's promise.
    let rax = unsafe { with_arguments(xen, Number::GrantTableOp, operation::MAP_GRANT_REF, batch) };
    Error::check(rax).map(drop)
}

/// One mapping to be taken away: an entry of a batch for [`unmap_grant_refs`].
#[doc(alias = "gnttab_unmap_grant_ref")]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct UnmapGrantRef {
    host_address: u64,
    device_address: u64,
    handle: GrantHandle,
    status: Status,
}

const _: () = {
    assert!(size_of::<UnmapGrantRef>() == 24);
    assert!(core::mem::offset_of!(UnmapGrantRef, handle) == 16);
    assert!(core::mem::offset_of!(UnmapGrantRef, status) == 20);
};

impl UnmapGrantRef {
    /// An entry that takes away what was mapped at `gfn` under `handle`.
    pub const fn new(handle: GrantHandle, gfn: Gfn) -> Self {
        UnmapGrantRef {
            host_address: gfn.address(),
            device_address: 0,
            handle,
            status: Status::NOT_DONE,
        }
    }

    /// Whether it was taken away, and why not.
    pub const fn outcome(&self) -> core::result::Result<(), StatusError> {
        self.status.check()
    }
}

/// Takes mappings of [`map_grant_refs`] away. Every entry has an [outcome](UnmapGrantRef::outcome)
/// of its own; when the call returns no processor's TLB knows of those that are gone.
///
/// # Errors
/// If Xen does not take the call; entries that it came to before are gone nevertheless.
///
/// # Safety
/// Nothing may be using memory at the entries' frames, since there is nothing left.
#[doc(alias = "GNTTABOP_unmap_grant_ref")]
pub unsafe fn unmap_grant_refs(
    xen: &(impl Hypercall + ?Sized),
    batch: &mut [UnmapGrantRef],
) -> Result<()> {
    // SAFETY: the operation's own structures, which hold no pointers; what they remove is the
    // caller's promise.
    let rax =
        unsafe { with_arguments(xen, Number::GrantTableOp, operation::UNMAP_GRANT_REF, batch) };
    Error::check(rax).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Recorder;

    const GRANT: Grant = Grant { domain: DomainId(3), gfn: Gfn(0x1234_5678), writable: true };

    #[test]
    fn an_entry_is_flags_domain_frame() {
        assert_eq!(GRANT.pack(), Some(0x1234_5678_0003_0001));
        assert_eq!(Grant { writable: false, ..GRANT }.pack(), Some(0x1234_5678_0003_0005));
        assert_eq!(Grant { gfn: Gfn(1 << 32), ..GRANT }.pack(), None);
    }

    #[test]
    fn a_used_grant_is_not_revoked() {
        let entry = GrantEntry::empty();
        entry.set(GRANT.pack().unwrap() | u64::from(WRITING));
        assert_eq!(entry.revoke(), Err(InUse));
        entry.set(GRANT.pack().unwrap() | u64::from(READING));
        assert_eq!(entry.revoke(), Err(InUse));
        entry.set(GRANT.pack().unwrap());
        assert_eq!(entry.revoke(), Ok(()));
        assert_eq!(entry.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_size_comes_back_in_the_structure() {
        let mut reply = std::vec::Vec::from(4u32.to_le_bytes());
        reply.extend(64u32.to_le_bytes());
        let xen = Recorder::new(0, 16).replying(4, &reply);
        assert_eq!(query_size(&xen), Ok(Size { frames: 4, max_frames: 64 }));
        let call = xen.next();
        assert_eq!(
            (call.number, call.arguments[0], call.arguments[2]),
            (Number::GrantTableOp, 6, 1)
        );
    }

    #[test]
    fn a_status_is_an_error_though_the_call_succeeds() {
        let xen = Recorder::new(0, 16).replying(12, &(-1i16).to_le_bytes());
        assert_eq!(query_size(&xen), Err(Error::INVALID));
    }

    #[test]
    fn pages_are_mapped_in_batches() {
        // The second entry of two is refused; the first gets handle 7.
        let mut reply = std::vec::Vec::from(0i16.to_le_bytes());
        reply.extend(7u32.to_le_bytes());
        reply.resize(32, 0);
        reply.extend((-3i16).to_le_bytes());
        // The bytes between the two statuses belong to the second entry's request, and Xen does not
        // change them.
        reply[14..32].copy_from_slice(&{
            let mut request = [0; 18];
            request[..8].copy_from_slice(&0x6000u64.to_le_bytes());
            request[8..12].copy_from_slice(&2u32.to_le_bytes());
            request[12..16].copy_from_slice(&10u32.to_le_bytes());
            request[16..].copy_from_slice(&3u16.to_le_bytes());
            request
        });
        let xen = Recorder::new(0, 64).replying(18, &reply);
        let mut batch = [9, 10].map(|reference| {
            MapGrantRef::new(DomainId(3), reference, Gfn(u64::from(reference) - 4))
        });
        // SAFETY: a recording double changes no map.
        unsafe { map_grant_refs(&xen, &mut batch) }.unwrap();
        let call = xen.next();
        assert_eq!(
            (call.number, call.arguments[0], call.arguments[2]),
            (Number::GrantTableOp, 0, 2)
        );
        assert_eq!(call.structure[..8], 0x5000u64.to_le_bytes());
        assert_eq!(call.structure[8..16], [2, 0, 0, 0, 9, 0, 0, 0]);
        assert_eq!(call.structure[16..18], [3, 0]);
        assert_eq!(call.structure[32..40], 0x6000u64.to_le_bytes());
        assert_eq!(batch[0].outcome(), Ok(GrantHandle(7)));
        assert_eq!(batch[1].outcome(), Err(StatusError::BAD_REFERENCE));
    }

    #[test]
    fn what_xen_did_not_come_to_is_not_done() {
        let xen = Recorder::new(-14, 32);
        let mut batch = [MapGrantRef::new(DomainId(3), 9, Gfn(5))];
        // SAFETY: a recording double changes no map.
        assert_eq!(unsafe { map_grant_refs(&xen, &mut batch) }, Err(Error::FAULT));
        assert!(batch[0].outcome().is_err());
        let xen = Recorder::new(0, 24);
        let mut batch = [UnmapGrantRef::new(GrantHandle(1), Gfn(5))];
        // SAFETY: as above.
        unsafe { unmap_grant_refs(&xen, &mut batch) }.unwrap();
        assert!(batch[0].outcome().is_err());
    }

    #[test]
    fn mappings_are_taken_away_by_handle_and_address() {
        let xen = Recorder::new(0, 24).replying(20, &0i16.to_le_bytes());
        let mut batch = [UnmapGrantRef::new(GrantHandle(7), Gfn(5))];
        // SAFETY: a recording double changes no map.
        unsafe { unmap_grant_refs(&xen, &mut batch) }.unwrap();
        let call = xen.next();
        assert_eq!(
            (call.number, call.arguments[0], call.arguments[2]),
            (Number::GrantTableOp, 1, 1)
        );
        assert_eq!(call.structure[..8], 0x5000u64.to_le_bytes());
        assert_eq!(call.structure[8..20], [0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(batch[0].outcome(), Ok(()));
    }

    #[test]
    fn statuses_are_said_in_words() {
        use std::string::ToString;
        assert_eq!(StatusError::BAD_REFERENCE.to_string(), "no such grant (grant status -3)");
        assert_eq!(StatusError(-77).to_string(), "failed (grant status -77)");
    }
}

//! Grants: pages that a domain lets another domain use (`grant_table.h`), version 1.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::{DomainId, Error, Gfn, Hypercall, Number, PAGE_SIZE, Result, with_one_argument};

/// References below this one are the toolstack's (console and xenstore).
#[doc(alias = "GNTTAB_NR_RESERVED_ENTRIES")]
pub const FIRST_FREE_REFERENCE: u32 = 8;

/// Version 1 entries in a frame of the grant table.
pub const ENTRIES_PER_FRAME: usize = PAGE_SIZE / size_of::<Entry>();

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
    /// The entry's 64 bits: flags, domain, frame, from the lowest. None if the page lies beyond what version 1 can
    /// name (16 TiB).
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
pub struct Entry(AtomicU64);

const _: () = assert!(size_of::<Entry>() == 8);

impl Entry {
    /// An entry that grants nothing.
    pub const fn empty() -> Self {
        Entry(AtomicU64::new(0))
    }

    /// Writes the entry. Xen sees all of it at once, which is as good as Xen's own order (frame and domain, then
    /// flags).
    pub fn set(&self, packed: u64) {
        self.0.store(packed, Ordering::Release);
    }

    /// Withdraws the grant unless it is in use.
    pub fn revoke(&self) -> core::result::Result<(), InUse> {
        let in_use = u64::from(READING | WRITING);
        self.0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |entry| (entry & in_use == 0).then_some(0))
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

mod operation {
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
    let rax = unsafe { with_one_argument(xen, Number::GrantTableOp, operation::QUERY_SIZE, &mut argument) };
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
    let rax = unsafe { with_one_argument(xen, Number::GrantTableOp, operation::SET_VERSION, &mut version) };
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
        let entry = Entry::empty();
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
        assert_eq!((call.number, call.arguments[0], call.arguments[2]), (Number::GrantTableOp, 6, 1));
    }

    #[test]
    fn a_status_is_an_error_though_the_call_succeeds() {
        let xen = Recorder::new(0, 16).replying(12, &(-1i16).to_le_bytes());
        assert_eq!(query_size(&xen), Err(Error::INVALID));
    }
}

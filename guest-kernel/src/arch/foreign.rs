//! Memory of other domains, mapped at addresses where there is nothing of ours.
//!
//! Xen puts a granted page at a guest-physical address, and our page tables show it at the same
//! virtual one. A page that has been taken away is in neither, so whoever still uses it faults;
//! left in the tables, it would read as ones and forget what is written.

use alloc::vec::Vec;
use core::ops::Range;
use core::ptr::NonNull;

use xen_hypercall::grant_table_op::{self, GrantHandle, MapGrantRef, StatusError, UnmapGrantRef};
use xen_hypercall::{DomainId, Gfn, PAGE_SIZE};

use super::lock::IrqLock;
use super::{hypercall_page, paging};
use crate::logic::runs::Runs;

/// Pages for one hypercall. The arrays are on the stack, which may be the upcall's.
const BATCH: usize = 64;

/// The numbers of the area's pages that are free.
static FREE: IrqLock<Option<Runs>> = IrqLock::new(None);

/// Why memory could not be mapped or unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignError {
    /// There is no memory to remember it, or for page tables.
    #[error("not enough memory")]
    NoMemory,
    /// The addresses for foreign memory are all in use.
    #[error("no addresses are left for it")]
    NoAddresses,
    /// Xen does not do it for one of the pages.
    #[error("{0}")]
    Refused(StatusError),
}

/// Pages of another domain, one behind the other. They stay mapped until they are
/// [unmapped](unmap).
#[derive(Debug)]
pub(crate) struct ForeignMapping {
    first: Gfn,
    /// One for each page.
    handles: Vec<GrantHandle>,
}

impl ForeignMapping {
    /// The first byte.
    pub(crate) fn address(&self) -> NonNull<u8> {
        NonNull::new(self.first.address() as *mut u8)
            .unwrap_or_else(|| unreachable!("page 0 is not foreign"))
    }

    /// How many pages.
    pub(crate) fn pages(&self) -> usize {
        self.handles.len()
    }
}

/// Maps what a domain has granted us by these references, readable and writable. All of it or
/// nothing.
///
/// Another domain may change the memory at any moment, so it is to be used through atomics and raw
/// copies only.
pub(crate) fn map(
    domain: DomainId,
    references: Range<u32>,
) -> Result<ForeignMapping, ForeignError> {
    let pages = references.end.saturating_sub(references.start);
    let mut handles = Vec::new();
    handles.try_reserve_exact(pages as usize).map_err(|_| ForeignError::NoMemory)?;
    // A page more, in which there is nothing: whoever runs over the end faults.
    let taken = FREE.with(|free| {
        if free.is_none() {
            *free = Runs::new(area());
        }
        let free = free.as_mut().ok_or(ForeignError::NoMemory)?;
        pages
            .checked_add(1)
            .filter(|_| pages > 0)
            .and_then(|run| free.take(run))
            .ok_or(ForeignError::NoAddresses)
    });
    let mut mapping = ForeignMapping { first: Gfn(u64::from(taken?)), handles };
    for start in references.clone().step_by(BATCH) {
        let batch = start..references.end.min(start.saturating_add(BATCH as u32));
        if let Err(error) = mapping.add(domain, batch) {
            // What went wrong first is what is said.
            let _ = release(mapping, pages);
            return Err(error);
        }
    }
    Ok(mapping)
}

/// Takes foreign memory away. Whoever uses it afterwards faults.
///
/// # Errors
/// If Xen does not take a page away: then its address is never used again.
pub(crate) fn unmap(mapping: ForeignMapping) -> Result<(), ForeignError> {
    let pages = mapping.pages() as u32;
    release(mapping, pages)
}

/// Forgets a mapping of another domain's that we were, where there is nothing now.
pub(crate) fn forget(mapping: ForeignMapping) {
    let first = mapping.first.0;
    for gfn in first..first + mapping.pages() as u64 {
        paging::unmap_foreign(Gfn(gfn).address());
    }
    give_back(&mapping, mapping.pages() as u32);
}

/// Takes away what is mapped, and gives back the addresses, which were taken for `pages` pages.
fn release(mapping: ForeignMapping, pages: u32) -> Result<(), ForeignError> {
    mapping.take_away()?;
    give_back(&mapping, pages);
    Ok(())
}

/// Whole, as taken: with the page in which there is nothing.
fn give_back(mapping: &ForeignMapping, pages: u32) {
    let first = mapping.first.0 as u32;
    FREE.with(|free| free.as_mut().is_some_and(|free| free.give(first, pages + 1)));
}

/// The numbers of the pages at which foreign memory may be.
fn area() -> Range<u32> {
    let span = paging::plan().map(|plan| plan.foreign);
    let number = |address: u64| u32::try_from(address / PAGE_SIZE as u64).unwrap_or(0);
    span.map_or(0..0, |span| number(span.start)..number(span.end))
}

impl ForeignMapping {
    /// Maps a batch of pages behind those that there are. If one cannot be mapped, those before it
    /// are, and have their handle.
    fn add(&mut self, domain: DomainId, references: Range<u32>) -> Result<(), ForeignError> {
        let mut batch = [MapGrantRef::new(domain, 0, Gfn(0)); BATCH];
        let first = self.first.0 + self.handles.len() as u64;
        let batch = &mut batch[..references.len()];
        for ((entry, reference), gfn) in batch.iter_mut().zip(references).zip(first..) {
            *entry = MapGrantRef::new(domain, reference, Gfn(gfn));
        }
        // SAFETY: the frames are of the foreign area, where there is nothing but what is mapped by
        // this function, and were free: they are this mapping's alone.
        let called = unsafe { grant_table_op::map_grant_refs(&hypercall_page::xen(), batch) };
        let mut result = called.map_err(|_| ForeignError::Refused(StatusError::GENERAL));
        let mut gfn = first;
        for (index, entry) in batch.iter().enumerate() {
            match entry.outcome() {
                // Behind one that is missing: it cannot be kept.
                Ok(handle) if gfn != first + index as u64 => {
                    take_away(&[handle], first + index as u64)?;
                }
                Ok(handle) => {
                    // There is room: `map` has made it.
                    self.handles.push(handle);
                    if !paging::map_foreign(Gfn(gfn).address()) {
                        result = Err(ForeignError::NoMemory);
                    }
                    gfn += 1;
                }
                Err(error) => result = result.and(Err(ForeignError::Refused(error))),
            }
        }
        result
    }

    fn take_away(&self) -> Result<(), ForeignError> {
        take_away(&self.handles, self.first.0)
    }
}

/// Takes away the pages that are mapped from frame number `first` on, all that can be.
fn take_away(handles: &[GrantHandle], first: u64) -> Result<(), ForeignError> {
    let mut result = Ok(());
    for (handles, first) in handles.chunks(BATCH).zip((first..).step_by(BATCH)) {
        let mut batch = [UnmapGrantRef::new(GrantHandle(0), Gfn(0)); BATCH];
        let batch = &mut batch[..handles.len()];
        for ((entry, handle), gfn) in batch.iter_mut().zip(handles).zip(first..) {
            paging::unmap_foreign(Gfn(gfn).address());
            *entry = UnmapGrantRef::new(*handle, Gfn(gfn));
        }
        // SAFETY: foreign pages, mapped by us, and in no page table any more.
        let called = unsafe { grant_table_op::unmap_grant_refs(&hypercall_page::xen(), batch) };
        if called.is_err() {
            result = Err(ForeignError::Refused(StatusError::GENERAL));
        }
        for error in batch.iter().filter_map(|entry| entry.outcome().err()) {
            result = result.and(Err(ForeignError::Refused(error)));
        }
    }
    result
}

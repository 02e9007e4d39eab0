//! Grant tables, version 1: what other domains may do with our memory.

use alloc::vec::Vec;

use xen_hypercall::grant_table_op::{self, ENTRIES_PER_FRAME, Entry, FIRST_FREE_REFERENCE, Grant, InUse, Size};
use xen_hypercall::memory_op::MapSpace;
use xen_hypercall::{DomainId, Gfn, PAGE_SIZE};

use super::part::{Part, PartError, Resume};
use crate::arch::lock::IrqLock;
use crate::arch::{memory, paging, xen};
use crate::logic::memory_map::WINDOW;

/// Frames that there is room for, one page of the window being Xen's shared one.
const FRAMES_IN_WINDOW: u32 = (WINDOW / PAGE_SIZE as u64) as u32 - 1;

type Frame = [Entry; ENTRIES_PER_FRAME];

/// The frames that are mapped, and what was granted.
struct Table {
    frames: Vec<&'static Frame>,
    shared: Option<SharedRam>,
}

static TABLE: IrqLock<Table> = IrqLock::new(Table { frames: Vec::new(), shared: None });

/// All of RAM, granted: the page at address n * 4096 has the reference `first_reference` + n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SharedRam {
    pub(super) domain: DomainId,
    pub(super) first_reference: u32,
    pub(super) pages: u32,
}

/// Why memory could not be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GrantError {
    #[error(
        "granting {pages} pages takes {needed} grant frames, and this domain may have {max} (max_grant_frames in xl.cfg)"
    )]
    TooManyFrames { pages: u32, needed: u32, max: u32 },
    #[error("cannot grow the grant table: {0}")]
    Xen(#[from] xen_hypercall::Error),
    #[error("a grant frame cannot be mapped")]
    NotMapped,
    #[error("memory beyond 16 TiB cannot be granted")]
    TooHigh,
    #[error("{0}")]
    InUse(InUse),
}

/// Grants all of RAM to a domain, writable.
pub(super) fn share_ram(domain: DomainId) -> Result<SharedRam, GrantError> {
    let ram_end = paging::plan().map_or(0, |plan| plan.ram.end);
    let pages = u32::try_from(ram_end / PAGE_SIZE as u64).map_err(|_| GrantError::TooHigh)?;
    let shared = SharedRam { domain, first_reference: FIRST_FREE_REFERENCE, pages };
    TABLE.with(|table| {
        table.grow_to(shared)?;
        table.write(shared)?;
        table.shared = Some(shared);
        Ok(shared)
    })
}

/// Withdraws what [`share_ram`] granted. An error if the other domain still has a page mapped.
pub(super) fn withdraw_ram() -> Result<(), GrantError> {
    TABLE.with(|table| {
        let Some(shared) = table.shared else { return Ok(()) };
        for page in 0..shared.pages {
            table.entry(shared.first_reference + page)?.revoke().map_err(GrantError::InUse)?;
        }
        table.shared = None;
        Ok(())
    })
}

impl Table {
    /// Maps as many frames as that takes; Xen's table grows with them.
    fn grow_to(&mut self, shared: SharedRam) -> Result<(), GrantError> {
        let references = u64::from(shared.first_reference) + u64::from(shared.pages);
        let needed = references.div_ceil(ENTRIES_PER_FRAME as u64) as u32;
        let Size { max_frames, .. } = grant_table_op::query_size(&xen::xen())?;
        let max = max_frames.min(FRAMES_IN_WINDOW);
        if needed > max {
            return Err(GrantError::TooManyFrames { pages: shared.pages, needed, max });
        }
        for index in self.frames.len() as u32..needed {
            place(index)?;
            let frame = memory::shared::<Frame>(address(index)).ok_or(GrantError::NotMapped)?;
            self.frames.push(frame);
        }
        Ok(())
    }

    fn write(&self, shared: SharedRam) -> Result<(), GrantError> {
        for page in 0..shared.pages {
            let grant = Grant { domain: shared.domain, gfn: Gfn(u64::from(page)), writable: true };
            self.entry(shared.first_reference + page)?.set(grant.pack().ok_or(GrantError::TooHigh)?);
        }
        Ok(())
    }

    fn entry(&self, reference: u32) -> Result<&'static Entry, GrantError> {
        let reference = reference as usize;
        let frame = self.frames.get(reference / ENTRIES_PER_FRAME).ok_or(GrantError::NotMapped)?;
        Ok(&frame[reference % ENTRIES_PER_FRAME])
    }
}

/// Where a frame of the table is mapped: in the window, behind the page that Xen shares.
fn address(index: u32) -> u64 {
    paging::plan().map_or(0, |plan| plan.window.start) + (u64::from(index) + 1) * PAGE_SIZE as u64
}

fn place(index: u32) -> Result<(), GrantError> {
    xen::place(MapSpace::GrantTable(u64::from(index)), Gfn::containing(address(index)))?;
    Ok(())
}

/// The grant table.
pub(super) struct GrantTable;

impl Part for GrantTable {
    fn name(&self) -> &'static str {
        "the grant table"
    }

    fn resume(&self, how: Resume) -> Result<(), PartError> {
        if how == Resume::SameDomain {
            return Ok(());
        }
        TABLE.with(|table| {
            let Some(shared) = table.shared else { return Ok(()) };
            // A new domain has an empty table: all frames are placed anew, at the same addresses.
            grant_table_op::set_version_1(&xen::xen()).map_err(GrantError::from)?;
            for index in 0..table.frames.len() as u32 {
                place(index)?;
            }
            table.write(shared)?;
            Ok(())
        })
    }
}

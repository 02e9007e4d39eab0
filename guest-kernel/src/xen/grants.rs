//! Grant tables, version 1: what other domains may do with our memory.
//!
//! Domain 0 has all of RAM, by a run of references that is always the same. The references behind
//! it are for what is shared with neighbours, the ranks in other domains of this host: a block of
//! references for each of them.

use alloc::vec::Vec;
use core::ops::Range;

use xen_hypercall::grant_table_op::{
    self, ENTRIES_PER_FRAME, FIRST_FREE_REFERENCE, Grant, GrantEntry, Size,
};
use xen_hypercall::memory_op::MapSpace;
use xen_hypercall::{DomainId, Gfn, PAGE_SIZE};

use super::error::{GrantError, PartError};
use super::part::Part;
use crate::arch::landing::Landed;
use crate::arch::lock::IrqLock;
use crate::arch::{hypercall_page, paging, shared_page};
use crate::logic::grant_blocks::{block, reader};
use crate::logic::memory_map::Span;
use crate::logic::runs::Runs;

type GrantFrame = [GrantEntry; ENTRIES_PER_FRAME];

/// The frames that are mapped, and what was granted.
struct Table {
    frames: Vec<&'static GrantFrame>,
    shared: Option<SharedRam>,
    /// The references behind those of RAM.
    references: Runs,
    /// Memory shared with neighbours.
    shares: Vec<Share>,
    /// The domains of the job's ranks, by rank: those that are neighbours, and whose domain is
    /// known.
    neighbours: Vec<Option<DomainId>>,
}

static TABLE: IrqLock<Table> = IrqLock::new(Table {
    frames: Vec::new(),
    shared: None,
    references: Runs::none(),
    shares: Vec::new(),
    neighbours: Vec::new(),
});

/// Memory shared with all neighbours: a block of references for each other rank, one behind the
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    first_page: Gfn,
    pages: u32,
    first_reference: u32,
    /// How many blocks.
    blocks: u32,
    /// It is being withdrawn: no rank that has not got it is to get it any more.
    ending: bool,
}

impl Share {
    /// The references of one block.
    fn block(&self, number: u32) -> Range<u32> {
        let first = self.first_reference + number * self.pages;
        first..first + self.pages
    }

    /// Those of all blocks.
    fn references(&self) -> Range<u32> {
        self.first_reference..self.first_reference + self.blocks * self.pages
    }
}

/// All of RAM, granted: the page at address n * 4096 has the reference `first_reference` + n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SharedRam {
    pub(crate) domain: DomainId,
    pub(crate) first_reference: u32,
    pub(crate) pages: u32,
}

/// Grants all of RAM to a domain, writable.
pub(crate) fn share_ram(domain: DomainId) -> Result<SharedRam, GrantError> {
    let ram_end = paging::plan().map_or(0, |plan| plan.ram.end);
    let pages = u32::try_from(ram_end / PAGE_SIZE as u64).map_err(|_| GrantError::TooHigh)?;
    let shared = SharedRam { domain, first_reference: FIRST_FREE_REFERENCE, pages };
    TABLE.with(|table| {
        table.grow_to(shared)?;
        table.write(shared)?;
        if table.shared.is_none() {
            let first = FIRST_FREE_REFERENCE + pages;
            table.references = Runs::new(first..table.most_references()?.max(first))
                .ok_or(GrantError::NoMemory)?;
        }
        table.shared = Some(shared);
        Ok(shared)
    })
}

/// How RAM is granted to a domain, if it is.
pub(crate) fn shared_ram() -> Option<SharedRam> {
    TABLE.with(|table| table.shared)
}

/// Grants whole pages to all neighbours, and reserves references for those of the job's other ranks
/// that are none yet. The number of the first reference. `size` is that of the job, `span` memory
/// that the other ranks may change at any moment, as domain 0 may change all.
pub(crate) fn share(span: Span, own_rank: u32, size: u32) -> Result<u32, GrantError> {
    let first_page = Gfn::containing(span.start);
    let pages = u32::try_from(span.len() / PAGE_SIZE as u64).map_err(|_| GrantError::TooHigh)?;
    let blocks = size.saturating_sub(1);
    let wanted = u64::from(blocks) * u64::from(pages);
    TABLE.with(|table| {
        if table.shared.is_none() {
            return Err(GrantError::NotAttached);
        }
        if blocks == 0 {
            return Err(GrantError::NoNeighbours);
        }
        table.shares.try_reserve(1).map_err(|_| GrantError::NoMemory)?;
        let count = u32::try_from(wanted).map_err(|_| GrantError::NoReferences(wanted))?;
        let first_reference =
            table.references.take(count).ok_or(GrantError::NoReferences(wanted))?;
        let share = Share { first_page, pages, first_reference, blocks, ending: false };
        let written = table.grow_to_hold(first_reference + count, pages).and_then(|()| {
            (0..blocks).try_for_each(|number| table.write_block(&share, number, own_rank))
        });
        if let Err(error) = written {
            // None of it is known to anybody yet.
            table.revoke(share.references())?;
            table.references.give(first_reference, count);
            return Err(error);
        }
        table.shares.push(share);
        Ok(first_reference)
    })
}

/// Withdraws what [`share`] granted.
///
/// # Errors
/// [`GrantError::InUse`] if a neighbour has a page mapped. Then it can change it, until it unmaps
/// it or ends; nobody else can map a page any more. It can be tried again.
pub(crate) fn unshare(span: Span, first_reference: u32) -> Result<(), GrantError> {
    TABLE.with(|table| {
        let is_it = |share: &Share| {
            share.first_reference == first_reference
                && share.first_page == Gfn::containing(span.start)
                && u64::from(share.pages) * PAGE_SIZE as u64 == span.len()
        };
        let at = table.shares.iter().position(is_it).ok_or(GrantError::NotShared)?;
        table.shares[at].ending = true;
        let references = table.shares[at].references();
        table.revoke(references.clone())?;
        table.references.give(references.start, references.end - references.start);
        table.shares.swap_remove(at);
        Ok(())
    })
}

/// Says which domains the job's ranks are in, by rank; None for this rank, and for those that are
/// no neighbours. What is shared is granted to a rank that has become a neighbour, and withdrawn
/// from one that is none any more.
///
/// # Errors
/// [`GrantError::InUse`] if a domain that is no neighbour any more has memory mapped that is
/// shared: it keeps that memory, and the domain that has taken its place does not get it.
pub(crate) fn set_neighbours(
    domains: Vec<Option<DomainId>>,
    own_rank: u32,
) -> Result<(), GrantError> {
    TABLE.with(|table| {
        let before = core::mem::replace(&mut table.neighbours, domains);
        let mut result = Ok(());
        for rank in 0..table.neighbours.len() {
            let changed = table.neighbours[rank] != before.get(rank).copied().flatten();
            let Some(number) = block(own_rank, rank as u32).filter(|_| changed) else { continue };
            for at in 0..table.shares.len() {
                let share = table.shares[at];
                if number < share.blocks && !share.ending {
                    let regranted = table
                        .revoke(share.block(number))
                        .and_then(|()| table.write_block(&share, number, own_rank));
                    result = result.and(regranted);
                }
            }
        }
        result
    })
}

/// Says in which domains the ranks are now that were neighbours, in a new domain in which nothing
/// is granted to them yet: what is shared is granted to those that still are. Needs no heap.
pub(crate) fn neighbours_have_moved(
    domain: impl Fn(usize) -> Option<DomainId>,
    own_rank: u32,
) -> Result<(), GrantError> {
    TABLE.with(|table| {
        for (rank, neighbour) in table.neighbours.iter_mut().enumerate() {
            *neighbour = neighbour.and_then(|_| domain(rank));
        }
        for share in table.shares.iter().filter(|share| !share.ending) {
            for number in 0..share.blocks {
                table.write_block(share, number, own_rank)?;
            }
        }
        Ok(())
    })
}

/// The domain of a rank that is a neighbour.
pub(crate) fn neighbour(rank: u32) -> Option<DomainId> {
    TABLE.with(|table| table.neighbours.get(rank as usize).copied().flatten())
}

/// Withdraws what [`share_ram`] granted. An error if the other domain still has a page mapped.
pub(crate) fn withdraw_ram() -> Result<(), GrantError> {
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
    /// Maps as many frames as RAM's references take; Xen's table grows with them.
    fn grow_to(&mut self, shared: SharedRam) -> Result<(), GrantError> {
        let references =
            shared.first_reference.checked_add(shared.pages).ok_or(GrantError::TooHigh)?;
        self.grow_to_hold(references, shared.pages)
    }

    /// Maps as many frames as this number of references takes, for the sake of `pages` pages.
    fn grow_to_hold(&mut self, references: u32, pages: u32) -> Result<(), GrantError> {
        let needed = references.div_ceil(ENTRIES_PER_FRAME as u32);
        if needed as usize <= self.frames.len() {
            return Ok(());
        }
        let max = max_frames()?;
        if needed > max {
            return Err(GrantError::TooManyFrames { pages, needed, max });
        }
        self.frames
            .try_reserve(needed as usize - self.frames.len())
            .map_err(|_| GrantError::NoMemory)?;
        for index in self.frames.len() as u32..needed {
            place(index)?;
            let frame =
                shared_page::map::<GrantFrame>(address(index)).ok_or(GrantError::NotMapped)?;
            self.frames.push(frame);
        }
        Ok(())
    }

    /// How many references there can be.
    fn most_references(&self) -> Result<u32, GrantError> {
        Ok(max_frames()? * ENTRIES_PER_FRAME as u32)
    }

    /// Places all frames anew, at the same addresses: a new domain has an empty table.
    fn place_again(&self) -> Result<(), GrantError> {
        if self.shared.is_none() {
            return Ok(());
        }
        grant_table_op::set_version_1(&hypercall_page::xen())?;
        (0..self.frames.len() as u32).try_for_each(place)
    }

    fn write(&self, shared: SharedRam) -> Result<(), GrantError> {
        for page in 0..shared.pages {
            let grant = Grant { domain: shared.domain, gfn: Gfn(u64::from(page)), writable: true };
            self.entry(shared.first_reference + page)?
                .set(grant.pack().ok_or(GrantError::TooHigh)?);
        }
        Ok(())
    }

    /// Writes the entries of one of a share's blocks, if it is known in which domain its rank is.
    fn write_block(&self, share: &Share, number: u32, own_rank: u32) -> Result<(), GrantError> {
        let rank = reader(own_rank, number) as usize;
        let Some(domain) = self.neighbours.get(rank).copied().flatten() else { return Ok(()) };
        for (reference, page) in share.block(number).zip(share.first_page.0..) {
            let grant = Grant { domain, gfn: Gfn(page), writable: true };
            self.entry(reference)?.set(grant.pack().ok_or(GrantError::TooHigh)?);
        }
        Ok(())
    }

    /// Withdraws all of these that are not in use; an error if any are. Those that have no entry
    /// yet grant nothing.
    fn revoke(&self, references: Range<u32>) -> Result<(), GrantError> {
        let mut result = Ok(());
        for entry in references.map_while(|reference| self.entry(reference).ok()) {
            if let Err(in_use) = entry.revoke() {
                result = Err(GrantError::InUse(in_use));
            }
        }
        result
    }

    fn entry(&self, reference: u32) -> Result<&'static GrantEntry, GrantError> {
        let reference = reference as usize;
        let frame = self.frames.get(reference / ENTRIES_PER_FRAME).ok_or(GrantError::NotMapped)?;
        Ok(&frame[reference % ENTRIES_PER_FRAME])
    }
}

/// How many frames the table may have: as many as Xen lets it, and as there is room for behind the
/// window's first page, which is Xen's shared one.
fn max_frames() -> Result<u32, GrantError> {
    let Size { max_frames, .. } = grant_table_op::query_size(&hypercall_page::xen())?;
    let window = paging::plan().map_or(0, |plan| plan.window.len() / PAGE_SIZE as u64);
    Ok(max_frames.min(u32::try_from(window).unwrap_or(u32::MAX).saturating_sub(1)))
}

/// Where a frame of the table is mapped: in the window, behind the page that Xen shares.
fn address(index: u32) -> u64 {
    paging::plan().map_or(0, |plan| plan.window.start) + (u64::from(index) + 1) * PAGE_SIZE as u64
}

fn place(index: u32) -> Result<(), GrantError> {
    hypercall_page::place(MapSpace::GrantTable(u64::from(index)), Gfn::containing(address(index)))?;
    Ok(())
}

/// The grant table.
pub(crate) struct GrantTable;

impl Part for GrantTable {
    fn name(&self) -> &'static str {
        "the grant table"
    }

    fn arrive(&self) -> Result<(), PartError> {
        TABLE.with(|table| {
            // Where the job's other ranks are now has to be told anew. What is shared with them is
            // still shared, and granted when it has been told.
            table.neighbours = Vec::new();
            table.place_again()?;
            table.shared.map_or(Ok(()), |shared| table.write(shared))?;
            Ok(())
        })
    }

    fn land(&self, _: &Landed) -> Result<(), PartError> {
        // All of RAM is granted already, and in use.
        TABLE.with(|table| Ok(table.place_again()?))
    }
}

//! The address space: every virtual address is the guest-physical address.
//!
//! The image and everything below it are mapped by pages of 4 KiB, each with the rights it needs
//! and no more; page 0 and the page below each stack are not mapped at all. The rest of RAM is
//! mapped by large pages, writable and not executable. Pages outside of RAM, which Xen or a backend
//! shares, are mapped one by one when they are first used; those of other domains, as they come and
//! go.

use alloc::alloc::alloc_zeroed;
use core::alloc::Layout;
use core::ptr::NonNull;

use xen_hypercall::PAGE_SIZE;

use x86_64::PhysAddr;
use x86_64::instructions::tlb;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::{PageTable, PageTableFlags, PhysFrame};

use super::lock::{IrqLock, Once};
use super::{image, stack};
use crate::logic::memory_map::{MemoryPlan, Span};

const PAGE: u64 = PAGE_SIZE as u64;
const LARGE_PAGE: u64 = 2 << 20;

/// Frames at the bottom of low memory for page tables and the like; the main stack gets the rest.
const TABLE_FRAMES: u64 = 40;

const READ: PageTableFlags = PageTableFlags::PRESENT.union(PageTableFlags::NO_EXECUTE);
const WRITE: PageTableFlags = READ.union(PageTableFlags::WRITABLE);
const EXECUTE: PageTableFlags = PageTableFlags::PRESENT;

static PLAN: Once<MemoryPlan> = Once::new();
static SPACE: IrqLock<Option<AddressSpace>> = IrqLock::new(None);

/// The page tables, and the frames for more of them. When those are used up, the heap gives more,
/// which stay tables.
struct AddressSpace {
    root: u64,
    free: Span,
}

/// What memory is used for; none before [`take_over`].
pub(crate) fn plan() -> Option<&'static MemoryPlan> {
    PLAN.get()
}

/// Builds the address space and goes over to it. Returns the guard page and the top of the main
/// stack.
pub(super) fn take_over(plan: &MemoryPlan) -> (u64, u64) {
    let plan = PLAN.set(*plan);
    let tables = Span::sized(plan.low.start, TABLE_FRAMES * PAGE);
    let guard = tables.end;
    let mut space = AddressSpace::new(tables);

    let image = image::whole();
    let unmapped = |page: u64| {
        page == 0
            || page == guard
            || stack::interrupt_stacks().iter().any(|s| s.guard.contains(page))
    };
    let rights = |page: u64| {
        if image::text().contains(page) {
            EXECUTE
        } else if image::constants().contains(page) {
            READ
        } else {
            WRITE
        }
    };
    let mut map_pages = |span: Span| {
        for page in (span.start..span.end).step_by(PAGE_SIZE).filter(|page| !unmapped(*page)) {
            space.map(page, rights(page));
        }
    };
    // Pages up to the end of the image's last large page, then large pages, then what is left at
    // the end.
    let fine = Span {
        start: plan.ram.start,
        end: image.end.next_multiple_of(LARGE_PAGE).min(plan.ram.end),
    };
    if plan.ram.start > plan.low.start {
        map_pages(plan.low);
    }
    map_pages(fine);
    let large =
        Span { start: fine.end, end: (plan.ram.end / LARGE_PAGE * LARGE_PAGE).max(fine.end) };
    map_pages(Span { start: large.end, end: plan.ram.end });
    for page in (large.start..large.end).step_by(LARGE_PAGE as usize) {
        space.map_large(page, WRITE);
    }

    space.load();
    SPACE.with(|slot| *slot = Some(space));
    (guard, plan.low.end)
}

/// Takes zeroed frames for the kernel's own use, one behind the other, forever.
///
/// # Panics
/// If there are no more. Only for the boot, which takes a known number.
pub(super) fn take_frames(count: usize) -> u64 {
    SPACE.with(|space| {
        let space = space.as_mut().expect("paging is set up");
        // One behind the other only as long as they come from the boot's own.
        assert!(space.free.len() >= count as u64 * PAGE, "no more frames");
        (0..count)
            .filter_map(|_| space.take_frame())
            .reduce(|first, _| first)
            .expect("at least one frame")
    })
}

/// Maps a page outside of RAM, writable. Whether it is mapped now.
pub(super) fn map_shared(address: u64) -> bool {
    let Some(plan) = PLAN.get() else {
        // The entry code's tables map the fourth GiB, where there is no RAM of a small domain's.
        return (3 << 30..4 << 30).contains(&address);
    };
    let outside = [plan.ram, plan.low, plan.foreign].iter().all(|span| !span.contains(address));
    outside
        && address.is_multiple_of(PAGE)
        && address < 4 << 30
        && SPACE.with(|space| {
            space.as_mut().is_some_and(|space| space.try_map(address, WRITE).is_some())
        })
}

/// Maps a page of the foreign area, writable. False if it is not of that area, mapped already, or
/// there is no memory for a page table.
pub(super) fn map_foreign(address: u64) -> bool {
    of_foreign_area(address)
        && SPACE.with(|space| {
            let Some(space) = space.as_mut() else { return false };
            space.find(address).is_none() && space.try_map(address, WRITE).is_some()
        })
}

/// Takes a page of the foreign area away again: from now on it faults.
pub(super) fn unmap_foreign(address: u64) {
    if of_foreign_area(address) {
        SPACE.with(|space| {
            if let Some(space) = space
                && let Some(table) = space.find(address)
            {
                AddressSpace::table(table)[(address / PAGE % 512) as usize].set_unused();
                tlb::flush(x86_64::VirtAddr::new_truncate(address));
            }
        });
    }
}

fn of_foreign_area(address: u64) -> bool {
    address.is_multiple_of(PAGE) && PLAN.get().is_some_and(|plan| plan.foreign.contains(address))
}

impl AddressSpace {
    fn new(free: Span) -> Self {
        let mut space = AddressSpace { root: 0, free };
        space.root = space.take_frame().expect("a frame for the first page table");
        space
    }

    fn map(&mut self, page: u64, flags: PageTableFlags) {
        self.try_map(page, flags).expect("frames for page tables");
    }

    fn try_map(&mut self, page: u64, flags: PageTableFlags) -> Option<()> {
        let directory = self.directory(page)?;
        let table = self.below(directory, page >> 21)?;
        self.set(table, page >> 12, page, flags);
        Some(())
    }

    fn map_large(&mut self, page: u64, flags: PageTableFlags) {
        let directory = self.directory(page).expect("frames for page tables");
        self.set(directory, page >> 21, page, flags | PageTableFlags::HUGE_PAGE);
    }

    /// The page directory for this address.
    fn directory(&mut self, address: u64) -> Option<u64> {
        let pointers = self.below(self.root, address >> 39)?;
        self.below(pointers, address >> 30)
    }

    /// The table that an entry leads to, made if there is none yet.
    fn below(&mut self, table: u64, index: u64) -> Option<u64> {
        // Rights are checked at every level, so the upper levels allow everything.
        let all = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
        let entry = Self::table(table)[(index % 512) as usize].clone();
        if entry.flags().contains(PageTableFlags::PRESENT) {
            return (!entry.flags().contains(PageTableFlags::HUGE_PAGE))
                .then_some(entry.addr().as_u64());
        }
        let frame = self.take_frame()?;
        self.set(table, index, frame, all);
        Some(frame)
    }

    /// The last table for a page that is mapped.
    fn find(&self, page: u64) -> Option<u64> {
        let mut table = self.root;
        for shift in [39, 30, 21] {
            let entry = &Self::table(table)[((page >> shift) % 512) as usize];
            let leads_on = PageTableFlags::PRESENT;
            if entry.flags() & (leads_on | PageTableFlags::HUGE_PAGE) != leads_on {
                return None;
            }
            table = entry.addr().as_u64();
        }
        (!Self::table(table)[((page >> 12) % 512) as usize].is_unused()).then_some(table)
    }

    fn set(&mut self, table: u64, index: u64, address: u64, flags: PageTableFlags) {
        Self::table(table)[(index % 512) as usize].set_addr(PhysAddr::new(address), flags);
        // A no-op for tables that are not loaded yet.
        tlb::flush(x86_64::VirtAddr::new_truncate(address));
    }

    fn table(address: u64) -> &'static mut PageTable {
        // SAFETY: `address` is a frame of `take_frame`'s, taken for a table; RAM is mapped to
        // itself by the entry code's tables and by ours. The caller holds the only `AddressSpace`,
        // and no reference outlives a statement.
        unsafe { &mut *(address as *mut PageTable) }
    }

    /// A zeroed frame, forever. None if there is no more memory, or no heap yet.
    fn take_frame(&mut self) -> Option<u64> {
        if self.free.is_empty() {
            const TABLE: Layout = Layout::new::<PageTable>();
            // SAFETY: the layout has a size.
            return NonNull::new(unsafe { alloc_zeroed(TABLE) })
                .map(|table| table.addr().get() as u64);
        }
        let frame = self.free.start;
        self.free.start += PAGE;
        // SAFETY: the frame is free memory that the plan gave to us.
        unsafe { core::ptr::write_bytes(frame as *mut u8, 0, PAGE_SIZE) };
        Some(frame)
    }

    fn load(&self) {
        let root = PhysFrame::containing_address(PhysAddr::new(self.root));
        // SAFETY: everything in use (image, current stack, low memory) stays at its address.
        unsafe { Cr3::write(root, Cr3Flags::empty()) };
    }
}

//! Decides what the domain's memory is used for: `docs/architecture.md` has the picture.

use xen_hypercall::PAGE_SIZE;
use xen_hypercall::start_info::{MemoryKind, MemoryMapEntry};

const PAGE: u64 = PAGE_SIZE as u64;
const LARGE_PAGE: u64 = 2 << 20;
const FOUR_GIB: u64 = 4 << 30;
/// The last 256 MiB below 4 GiB hold pages that the memory map does not tell of, such as the local
/// APIC's registers.
const HIDDEN: u64 = FOUR_GIB - (256 << 20);

/// Addresses from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first address.
    pub start: u64,
    /// The first address that is not part of it.
    pub end: u64,
}

impl Span {
    /// From `start`, `size` bytes; ends at the top of the address space if it would go over.
    pub const fn sized(start: u64, size: u64) -> Self {
        Span { start, end: start.saturating_add(size) }
    }

    /// How many bytes.
    pub const fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether this address is in it.
    pub const fn contains(self, address: u64) -> bool {
        self.start <= address && address < self.end
    }

    const fn overlaps(self, other: Span) -> bool {
        self.start < other.end && other.start < self.end
    }

    fn intersection(self, other: Span) -> Self {
        Span { start: self.start.max(other.start), end: self.end.min(other.end) }
    }

    /// The whole pages in it.
    const fn whole_pages(self) -> Self {
        Span { start: self.start.next_multiple_of(PAGE), end: self.end / PAGE * PAGE }
    }
}

/// What is where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// The region of RAM that holds the image, heap included.
    pub ram: Span,
    /// RAM below the image, for page tables and the main stack.
    pub low: Span,
    /// RAM above the image, for the heap.
    pub heap: Span,
    /// Addresses with nothing behind them, a few large pages, for pages that Xen shares: one, and
    /// the frames of the grant table.
    pub window: Span,
    /// Addresses with nothing behind them, for memory of other domains. May be empty.
    pub foreign: Span,
}

/// Why a domain's memory cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// The image does not lie in RAM, says the map.
    #[error("the memory map has no RAM where the image lies")]
    ImageNotInRam,
    /// There is not enough for page tables and the main stack, or for a heap.
    #[error(
        "too little memory: {0} bytes below and {1} bytes above the image; give the domain more \
         (memory= in xl.cfg)"
    )]
    TooLittle(u64, u64),
    /// All addresses below 4 GiB are taken.
    #[error("the memory map has no free {} MiB below 4 GiB", .0 >> 20)]
    NoWindow(u64),
}

/// To how many domains all of RAM can be granted: domain 0, and some neighbours.
const READERS: u64 = 4;
/// Grants in a frame of the table.
const GRANTS_A_FRAME: u64 = 512;
/// The least RAM below the image.
pub const LEAST_LOW: u64 = 416 << 10;
/// The least RAM for the heap.
pub const LEAST_HEAP: u64 = 64 << 10;

/// Pages of a domain that are not in its RAM, at most: those of the toolstack and the like.
const OTHER_PAGES: u64 = 32;

/// Decides. `used` are ranges in RAM that must be left alone: boot modules, and what Xen says about
/// the boot. `pages` is how many the domain has: where the map promises more RAM, only
/// that many are used.
pub fn plan(
    map: impl Iterator<Item = MemoryMapEntry> + Clone,
    image: Span,
    used: &[Span],
    pages: u64,
) -> Result<MemoryPlan, MemoryError> {
    let below_4_gib = Span { start: 0, end: FOUR_GIB };
    let spans = || map.clone().map(|entry| (entry.kind, Span::sized(entry.address, entry.size)));
    let ram_regions = || {
        spans()
            .filter(|(kind, _)| *kind == MemoryKind::RAM)
            .map(|(_, span)| span.intersection(below_4_gib))
    };

    let mut ram = ram_regions()
        .find(|span| span.contains(image.start) && image.end <= span.end)
        .ok_or(MemoryError::ImageNotInRam)?
        .whole_pages();
    let promised: u64 = ram_regions().map(|span| span.whole_pages().len() / PAGE).sum();
    if pages < promised {
        ram.end = ram.end.min(pages.saturating_sub(OTHER_PAGES) * PAGE);
    }

    // Page 0 is never used: a null pointer must fault.
    let below_image = Span { start: PAGE, end: image.start };
    let low = ram_regions()
        .map(|span| largest_gap(span.intersection(below_image).whole_pages(), used.iter().copied()))
        .max_by_key(|gap| gap.len())
        .unwrap_or(Span { start: 0, end: 0 });
    let heap =
        largest_gap(Span { start: image.end, end: ram.end }.whole_pages(), used.iter().copied());
    if low.len() < LEAST_LOW || heap.len() < LEAST_HEAP {
        return Err(MemoryError::TooLittle(low.len(), heap.len()));
    }

    let first = ram.end.next_multiple_of(LARGE_PAGE);
    let frames = (ram.end / PAGE * READERS).div_ceil(GRANTS_A_FRAME);
    let size = ((1 + frames) * PAGE).next_multiple_of(LARGE_PAGE);
    let window = (first..FOUR_GIB)
        .step_by(LARGE_PAGE as usize)
        .map(|start| Span::sized(start, size))
        .find(|window| window.end <= FOUR_GIB && !spans().any(|(_, span)| span.overlaps(*window)))
        .ok_or(MemoryError::NoWindow(size))?;

    // Below 4 GiB: `xl save` looks at every frame number up to the highest that was ever used.
    let reachable = Span { start: window.end, end: HIDDEN.max(window.end) };
    let foreign = largest_gap(reachable, spans().map(|(_, span)| span));

    Ok(MemoryPlan { ram, low, heap, window, foreign })
}

/// The largest run of whole pages in `within` that none of `used` touches.
fn largest_gap(within: Span, used: impl Iterator<Item = Span> + Clone) -> Span {
    let mut best = Span { start: within.start, end: within.start };
    let used = used.filter(|span| !span.is_empty());
    // Behind what ends in the last page of all there is nothing.
    let behind = used.clone().filter_map(|span| span.end.checked_next_multiple_of(PAGE));
    let starts = core::iter::once(within.start).chain(behind);
    for start in starts {
        // A gap begins at the start of all or behind something used, and ends where the next used
        // thing begins.
        if start < within.start
            || start >= within.end
            || used.clone().any(|span| span.contains(start))
        {
            continue;
        }
        let end = used.clone().map(|span| span.start).filter(|used| *used >= start).min();
        let gap = Span { start, end: end.unwrap_or(within.end).min(within.end) }.whole_pages();
        if gap.len() > best.len() {
            best = gap;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const IMAGE: Span = Span { start: 0x10_0000, end: 0x12_3456 };

    const ALL: u64 = u64::MAX;

    /// A 4 MiB domain as libxl lays it out.
    fn small_domain() -> Vec<MemoryMapEntry> {
        alloc::vec![
            MemoryMapEntry::new(0, 4 << 20, MemoryKind::RAM),
            MemoryMapEntry::new(0xfc00_0000, 0x1000, MemoryKind::ACPI),
            MemoryMapEntry::new(0xfeff_8000, 0x8000, MemoryKind::RESERVED),
        ]
    }

    #[test]
    fn a_small_domain_uses_all_it_has() {
        let start_info = Span { start: 0x12_4000, end: 0x12_5000 };
        let plan = plan(small_domain().into_iter(), IMAGE, &[start_info], ALL).unwrap();
        assert_eq!(plan.ram, Span { start: 0, end: 4 << 20 });
        assert_eq!(plan.low, Span { start: 0x1000, end: 0x10_0000 });
        assert_eq!(plan.heap, Span { start: 0x12_5000, end: 4 << 20 });
        assert_eq!(plan.window, Span { start: 4 << 20, end: 6 << 20 });
        assert_eq!(plan.foreign, Span { start: 6 << 20, end: HIDDEN });
    }

    #[test]
    fn foreign_memory_goes_where_nothing_is() {
        let mut map = small_domain();
        map.push(MemoryMapEntry::new(1 << 30, 1 << 30, MemoryKind::RESERVED));
        map.push(MemoryMapEntry::new(8 << 30, 1 << 30, MemoryKind::RAM));
        let foreign = plan(map.into_iter(), IMAGE, &[], ALL).unwrap().foreign;
        assert_eq!(foreign, Span { start: 2 << 30, end: HIDDEN });
        // No room is no error: there is no foreign memory then.
        let full = [
            MemoryMapEntry::new(0, 4 << 20, MemoryKind::RAM),
            MemoryMapEntry::new(6 << 20, u64::MAX, MemoryKind::RESERVED),
        ];
        assert!(plan(full.into_iter(), IMAGE, &[], ALL).unwrap().foreign.is_empty());
    }

    #[test]
    fn used_ranges_are_left_alone_wherever_they_lie() {
        let used = [
            Span { start: 0x2_0100, end: 0x2_0200 },
            Span { start: 0x30_0000, end: 0x30_0001 },
            Span { start: 0x20_0000, end: 0x28_0000 },
            Span { start: 0x27_0000, end: 0x29_0000 },
        ];
        let plan = plan(small_domain().into_iter(), IMAGE, &used, ALL).unwrap();
        assert_eq!(plan.low, Span { start: 0x2_1000, end: 0x10_0000 });
        assert_eq!(plan.heap, Span { start: 0x30_1000, end: 4 << 20 });
    }

    #[test]
    fn nothing_used_takes_no_room() {
        // An empty command line, right behind the image.
        let used = [Span::sized(0x12_4000, 0), Span::sized(0, 0)];
        let plan = plan(small_domain().into_iter(), IMAGE, &used, ALL).unwrap();
        assert_eq!(plan.heap, Span { start: 0x12_4000, end: 4 << 20 });
    }

    #[test]
    fn a_map_with_holes_like_a_pcs() {
        let map = [
            MemoryMapEntry::new(0, 0x9_fc00, MemoryKind::RAM),
            MemoryMapEntry::new(0x10_0000, 0x3f0_0000, MemoryKind::RAM),
            MemoryMapEntry::new(0x400_0000, 0x20_0000, MemoryKind::RESERVED),
        ];
        let plan = plan(map.into_iter(), IMAGE, &[], ALL).unwrap();
        assert_eq!(plan.low, Span { start: 0x1000, end: 0x9_f000 });
        assert_eq!(plan.window.start, 0x420_0000);
    }

    #[test]
    fn the_window_has_room_for_the_grants_of_all_memory() {
        let window = |mib: u64| {
            let map = [MemoryMapEntry::new(0, mib << 20, MemoryKind::RAM)];
            plan(map.into_iter(), IMAGE, &[], ALL).map(|plan| plan.window)
        };
        assert_eq!(window(255), Ok(Span::sized(256 << 20, 2 << 20)));
        assert_eq!(window(256), Ok(Span::sized(256 << 20, 4 << 20)));
        assert_eq!(window(1032), Ok(Span::sized(1032 << 20, 10 << 20)));
        assert_eq!(window(3072), Ok(Span::sized(3 << 30, 26 << 20)));
        assert_eq!(window(4095), Err(MemoryError::NoWindow(32 << 20)));
    }

    #[test]
    fn what_the_domain_does_not_have_is_not_used() {
        let map = || small_domain().into_iter();
        let (whole, pages) = (plan(map(), IMAGE, &[], ALL).unwrap(), (4 << 20) / PAGE);
        assert_eq!(plan(map(), IMAGE, &[], pages), Ok(whole));
        assert_eq!(plan(map(), IMAGE, &[], pages + 8), Ok(whole));
        let half = plan(map(), IMAGE, &[], pages / 2).unwrap();
        assert_eq!(half.ram.end, (2 << 20) - OTHER_PAGES * PAGE);
        assert_eq!(half.heap.end, half.ram.end);
        // What the map calls RAM is nowhere else used.
        assert_eq!((half.window, half.foreign), (whole.window, whole.foreign));
        assert!(matches!(plan(map(), IMAGE, &[], 5), Err(MemoryError::TooLittle(..))));
    }

    #[test]
    fn too_little_memory_is_said_in_bytes() {
        let map = [MemoryMapEntry::new(0, 0x13_0000, MemoryKind::RAM)];
        assert_eq!(
            plan(map.into_iter(), IMAGE, &[], ALL),
            Err(MemoryError::TooLittle(0xf_f000, 0xc000))
        );
    }

    #[test]
    fn a_hostile_map_is_an_error() {
        let nowhere = [MemoryMapEntry::new(u64::MAX - 5, u64::MAX, MemoryKind::RAM)];
        assert_eq!(plan(nowhere.into_iter(), IMAGE, &[], ALL), Err(MemoryError::ImageNotInRam));
        let everything = [
            MemoryMapEntry::new(0, 4 << 20, MemoryKind::RAM),
            MemoryMapEntry::new(4 << 20, u64::MAX, MemoryKind::RESERVED),
        ];
        assert_eq!(
            plan(everything.into_iter(), IMAGE, &[], ALL),
            Err(MemoryError::NoWindow(2 << 20))
        );
        assert_eq!(plan([].into_iter(), IMAGE, &[], ALL), Err(MemoryError::ImageNotInRam));
    }
}

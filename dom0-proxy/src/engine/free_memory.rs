//! Which pages of a rank hold nothing that it needs, as its own memory says.

use std::mem::offset_of;
use std::ops::Range;

use armci_nostd::serve::Window;
use armci_nostd::wire::Header;
use armci_nostd::wire::attach::WindowLayout;
use xen_hypercall::PAGE_SIZE;

/// No honest rank is likely to have more free pieces: a list that is longer is cut off.
const MOST_PIECES: usize = 1 << 16;

/// The numbers of the pages of a rank that stands still that lie whole in free pieces of its
/// memory, ascending; none if it does not tell.
///
/// What a rank says of its own memory can harm only itself.
pub(super) fn free_pages_of(window: &Window) -> Vec<Range<u64>> {
    let WindowLayout { window: start, runtime, public_start, public_end, .. } =
        window.bounds().layout();
    // Such a list is made by domains, whose windows begin at address 0.
    if start != 0 {
        return Vec::new();
    }
    let word = |address: u64| -> Option<u64> {
        let mut bytes = [0; size_of::<u64>()];
        let count = window.copy_out(address, &mut bytes, |_| ());
        (count == bytes.len()).then(|| u64::from_le_bytes(bytes))
    };
    let first = word(runtime + offset_of!(Header, free) as u64).unwrap_or(0);
    free_pages(word, first, public_start..public_end)
}

/// The numbers of the pages that lie whole in free pieces of memory whose words are read by `word`,
/// ascending: the list begins at address `first`, as [`Header::free`] says, and what is not in
/// `heap` is not believed to be free. A list that makes no sense ends there.
fn free_pages(word: impl Fn(u64) -> Option<u64>, first: u64, heap: Range<u64>) -> Vec<Range<u64>> {
    const PAGE: u64 = PAGE_SIZE as u64;
    const HEADER: u64 = 16;
    let mut free = Vec::new();
    let (mut address, mut least) = (first, heap.start);
    for _ in 0..MOST_PIECES {
        if address == 0 || address < least {
            break;
        }
        let Some((length, next)) = word(address).zip(address.checked_add(8).and_then(&word)) else {
            break;
        };
        let Some(end) = address.checked_add(length).filter(|end| *end <= heap.end) else {
            break;
        };
        let pages = (address + HEADER).div_ceil(PAGE)..end / PAGE;
        if pages.start < pages.end {
            free.push(pages);
        }
        // A piece ends before the next begins.
        (address, least) = (next, end.max(address + HEADER));
    }
    free
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: u64 = PAGE_SIZE as u64;

    /// Reads words of `memory`, which begins at address 0.
    fn words_of(memory: &[u8]) -> impl Fn(u64) -> Option<u64> {
        |address| {
            let at = usize::try_from(address).ok()?;
            let bytes = memory.get(at..at.checked_add(8)?)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        }
    }

    /// Memory of `pages` pages with these free pieces: address and length.
    fn memory(pages: u64, pieces: &[(u64, u64)]) -> Vec<u8> {
        let mut memory = vec![0xa5; (pages * PAGE) as usize];
        for (index, (address, length)) in pieces.iter().enumerate() {
            let next = pieces.get(index + 1).map_or(0, |piece| piece.0);
            let at = *address as usize;
            memory[at..at + 8].copy_from_slice(&length.to_le_bytes());
            memory[at + 8..at + 16].copy_from_slice(&next.to_le_bytes());
        }
        memory
    }

    #[test]
    fn only_whole_pages_behind_the_header_are_free() {
        let pieces = [(PAGE, PAGE), (2 * PAGE + 8, 4 * PAGE - 16), (7 * PAGE - 16, PAGE + 16)];
        let memory = memory(16, &pieces);
        assert_eq!(free_pages(words_of(&memory), PAGE, PAGE..16 * PAGE), [3..5, 7..8]);
        assert_eq!(free_pages(words_of(&memory), 0, PAGE..16 * PAGE), []);
    }

    #[test]
    fn a_list_that_makes_no_sense_ends_there() {
        let heap = 4 * PAGE..12 * PAGE;
        let good = (4 * PAGE, 3 * PAGE);
        for bad in
            [(5 * PAGE, 2 * PAGE), (8 * PAGE, 5 * PAGE), (8 * PAGE, u64::MAX), (4 * PAGE, 3 * PAGE)]
        {
            let memory = memory(16, &[good, bad]);
            let free = free_pages(words_of(&memory), good.0, heap.clone());
            assert!(free.iter().all(|pages| *pages == (5..7)), "{bad:?}: {free:?}");
        }
        for first in [PAGE, 16 * PAGE - 8, 16 * PAGE, u64::MAX, u64::MAX - 7] {
            assert_eq!(free_pages(words_of(&memory(16, &[])), first, heap.clone()), []);
        }
    }

    proptest! {
        /// Whatever the memory says, pages are told in order, once, and of the heap.
        #[test]
        fn no_list_leads_out_of_the_heap(
            words in prop::collection::vec((0u64..0x9000, 0u64..0x9000), 1..64),
            first in 0u64..0x9000,
        ) {
            let mut memory = vec![0; 8 * PAGE_SIZE];
            for (index, (address, word)) in words.iter().enumerate() {
                let at = (*address as usize).min(memory.len() - 8);
                let word = if index % 2 == 0 { *word } else { word & !7 };
                memory[at..at + 8].copy_from_slice(&word.to_le_bytes());
            }
            let heap = 2 * PAGE..7 * PAGE;
            let mut last = 2;
            for pages in free_pages(words_of(&memory), first, heap) {
                prop_assert!(last <= pages.start && pages.start < pages.end && pages.end <= 7);
                last = pages.end;
            }
        }
    }
}

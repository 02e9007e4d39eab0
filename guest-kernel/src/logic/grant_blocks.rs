//! The numbers that ranks on one host tell each other about memory that they share: which grant
//! references are for which rank.

use core::ops::Range;

use xen_hypercall::{DomainId, PAGE_SIZE};

/// Which of a share's blocks of references is for rank `reader`, when rank `owner` shares:
/// everybody but the owner has one. None for the owner itself.
pub fn block(owner: u32, reader: u32) -> Option<u32> {
    match reader.cmp(&owner) {
        core::cmp::Ordering::Less => Some(reader),
        core::cmp::Ordering::Equal => None,
        core::cmp::Ordering::Greater => Some(reader - 1),
    }
}

/// The rank for which a block is: the other way round.
pub fn reader(owner: u32, block: u32) -> u32 {
    if block < owner { block } else { block.saturating_add(1) }
}

/// The references by which rank `reader` maps `pages` pages that rank `owner` shares under `token`.
/// None if no token says that: it was made up, or the reader is the owner.
pub fn references(token: u64, owner: u32, reader: u32, pages: u32) -> Option<Range<u32>> {
    let before = block(owner, reader)?.checked_mul(pages)?;
    let first = u32::try_from(token).ok()?.checked_add(before)?;
    Some(first..first.checked_add(pages)?)
}

/// A number that a rank says is its domain's. None if no domain can have it.
pub fn domain(number: u32) -> Option<DomainId> {
    let number = u16::try_from(number).ok()?;
    (number < DomainId::FIRST_RESERVED.0).then_some(DomainId(number))
}

/// How many whole pages `len` bytes from `address` are. None if they are not whole pages, or none.
pub fn pages(address: u64, len: usize) -> Option<u32> {
    let whole =
        len > 0 && address.is_multiple_of(PAGE_SIZE as u64) && len.is_multiple_of(PAGE_SIZE);
    if whole { u32::try_from(len / PAGE_SIZE).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_but_the_owner_has_a_block() {
        for owner in 0..5 {
            let blocks: alloc::vec::Vec<_> =
                (0..5).filter_map(|reader| block(owner, reader)).collect();
            assert_eq!(blocks, [0, 1, 2, 3]);
            assert!(
                blocks.iter().all(|number| block(owner, reader(owner, *number)) == Some(*number))
            );
        }
    }

    #[test]
    fn a_token_says_the_references() {
        assert_eq!(references(100, 1, 0, 10), Some(100..110));
        assert_eq!(references(100, 1, 2, 10), Some(110..120));
        assert_eq!(references(100, 1, 1, 10), None);
    }

    #[test]
    fn made_up_numbers_are_none() {
        assert_eq!(references(u64::MAX, 1, 0, 10), None);
        assert_eq!(references(u64::from(u32::MAX) - 5, 1, 0, 10), None);
        assert_eq!(references(0, 0, u32::MAX, u32::MAX), None);
        assert_eq!(domain(7), Some(DomainId(7)));
        assert_eq!(domain(0x7ff0), None);
        assert_eq!(domain(0x1_0000), None);
        assert_eq!(domain(u32::MAX), None);
    }

    #[test]
    fn only_whole_pages_count() {
        assert_eq!(pages(0x1000, 0x3000), Some(3));
        assert_eq!(pages(0x1004, 0x3000), None);
        assert_eq!(pages(0x1000, 0x3004), None);
        assert_eq!(pages(0x1000, 0), None);
        assert_eq!(pages(0x1000, usize::MAX & !0xfff), None);
    }
}

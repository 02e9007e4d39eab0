//! Memory that a C program has asked for by the page.
//!
//! It may give back any part of it, but the heap takes back only what it gave, as a whole: so a
//! block goes back when the last part of it has.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::memory_map::Span;

/// All blocks that the program has.
#[derive(Debug)]
pub(crate) struct PageBlocks {
    /// By first address: the block, and what of it is still in use.
    blocks: BTreeMap<u64, (Span, Vec<Span>)>,
}

impl PageBlocks {
    pub(crate) const fn new() -> Self {
        PageBlocks { blocks: BTreeMap::new() }
    }

    /// Takes a new block.
    pub(crate) fn add(&mut self, block: Span) {
        self.blocks.insert(block.start, (block, Vec::from([block])));
    }

    /// Whether all of this is in use, and of one block.
    pub(crate) fn contains(&self, span: Span) -> bool {
        let block = self.blocks.range(..=span.start).next_back();
        block.is_some_and(|(_, (_, used))| {
            used.iter().any(|used| used.start <= span.start && span.end <= used.end)
        })
    }

    /// Takes note that none of this is used any more. Returns the blocks of which nothing is used
    /// now.
    pub(crate) fn remove(&mut self, span: Span) -> Vec<Span> {
        let mut free = Vec::new();
        let touched = self
            .blocks
            .range_mut(..span.end)
            .rev()
            .take_while(|(_, (block, _))| span.start < block.end);
        for (_, (block, used)) in touched {
            *used = used
                .iter()
                .flat_map(|used| without(*used, span))
                .filter(|span| !span.is_empty())
                .collect();
            if used.is_empty() {
                free.push(*block);
            }
        }
        for block in &free {
            self.blocks.remove(&block.start);
        }
        free
    }
}

/// What is left of `span` below and above `cut`.
fn without(span: Span, cut: Span) -> [Span; 2] {
    [
        Span { start: span.start, end: span.end.min(cut.start) },
        Span { start: span.start.max(cut.end), end: span.end },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u64, end: u64) -> Span {
        Span { start, end }
    }

    #[test]
    fn a_block_goes_back_with_its_last_part() {
        let mut blocks = PageBlocks::new();
        blocks.add(span(10, 20));
        assert_eq!(blocks.remove(span(12, 15)), []);
        assert!(blocks.contains(span(10, 12)) && blocks.contains(span(15, 20)));
        assert!(!blocks.contains(span(11, 13)));
        assert_eq!(blocks.remove(span(12, 15)), []);
        assert_eq!(blocks.remove(span(0, 12)), []);
        assert_eq!(blocks.remove(span(15, 20)), [span(10, 20)]);
        assert_eq!(blocks.remove(span(15, 20)), []);
    }

    #[test]
    fn several_blocks_go_at_once_and_others_stay() {
        let mut blocks = PageBlocks::new();
        for start in [10, 20, 40, 60] {
            blocks.add(span(start, start + 10));
        }
        assert_eq!(blocks.remove(span(15, 65)), [span(40, 50), span(20, 30)]);
        assert!(blocks.contains(span(10, 15)) && blocks.contains(span(65, 70)));
        assert!(
            !blocks.contains(span(60, 61))
                && !blocks.contains(span(0, 11))
                && !blocks.contains(span(99, 100))
        );
    }
}

//! Which rank holds which words of the table, and makes which of the updates.

use core::ops::Range;

/// A table of a power-of-two number of words, in blocks over any number of ranks. The last ranks
/// may hold less, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    log2_words: u32,
    ranks: u64,
}

impl Layout {
    /// 2^`log2_words` words on `ranks` ranks.
    pub fn new(log2_words: u32, ranks: usize) -> Self {
        Self { log2_words, ranks: ranks as u64 }
    }

    /// Words in the whole table.
    pub fn words(&self) -> u64 {
        1 << self.log2_words
    }

    /// The words that a rank holds.
    pub fn part(&self, rank: usize) -> Range<u64> {
        let bound = |rank: u64| (rank * self.block()).min(self.words());
        bound(rank as u64)..bound(rank as u64 + 1)
    }

    /// The word that the random number `number` updates: its upper bits say it.
    pub fn word(&self, number: u64) -> u64 {
        number >> (u64::BITS - self.log2_words)
    }

    /// Who holds a word, and where in its part.
    pub fn place(&self, word: u64) -> (usize, usize) {
        ((word / self.block()) as usize, (word % self.block()) as usize)
    }

    /// Which of `updates` updates a rank makes.
    pub fn share(&self, rank: usize, updates: u64) -> Range<u64> {
        let bound =
            |rank: u64| (u128::from(updates) * u128::from(rank) / u128::from(self.ranks)) as u64;
        bound(rank as u64)..bound(rank as u64 + 1)
    }

    fn block(&self) -> u64 {
        self.words().div_ceil(self.ranks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_one_holder_and_every_update_one_maker() {
        for log2_words in [1, 3, 6] {
            for ranks in 1..=9 {
                let layout = Layout::new(log2_words, ranks);
                let (mut words, mut updates) = (0, 0);
                for rank in 0..ranks {
                    for word in layout.part(rank) {
                        assert_eq!(word, words);
                        assert_eq!(
                            layout.place(word),
                            (rank, (word - layout.part(rank).start) as usize)
                        );
                        words += 1;
                    }
                    assert_eq!(layout.share(rank, 100).start, updates);
                    updates = layout.share(rank, 100).end;
                }
                assert_eq!((words, updates), (layout.words(), 100));
            }
        }
    }

    #[test]
    fn the_upper_bits_choose_the_word() {
        let layout = Layout::new(4, 3);
        assert_eq!(layout.word(u64::MAX), 15);
        assert_eq!(layout.word(1 << 60), 1);
        assert_eq!(layout.word((1 << 60) - 1), 0);
    }
}

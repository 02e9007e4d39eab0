//! Text of any length that follows from a seed, so that whoever reads what `chatter` writes knows
//! what should be there.

use alloc::string::String;
use core::time::Duration;

use crate::random::Random;

/// Characters of one to four bytes, and the bytes that terminals and C strings treat specially.
const CHARACTERS: [char; 16] =
    ['a', 'e', 'n', 'z', '0', '9', ' ', ' ', '.', '=', '\t', '\r', 'é', 'ß', '→', '𝄞'];

/// What one rank writes: pieces, with a pause before each.
#[derive(Clone, Debug)]
pub struct Chatter {
    random: Random,
    left: usize,
    pauses: u32,
}

/// Something to write, after a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// How long to wait before.
    pub pause: Duration,
    /// The text. Lines may end anywhere in it, or not at all.
    pub text: String,
}

impl Chatter {
    /// What `rank` writes in a job with this `seed`: `bytes` at least, and less than 100 KiB more,
    /// with this many pauses at most.
    pub fn new(seed: u64, rank: usize, bytes: usize, pauses: u32) -> Self {
        let mut random = Random::new(seed ^ (rank as u64).wrapping_mul(0x0123_4567_89ab_cdef));
        // Neighbouring seeds begin alike.
        random.bits();
        Self { random, left: bytes, pauses }
    }

    /// How long the next line is, in characters: most are short, some are longer than anything that
    /// keeps lines whole.
    fn line_length(&mut self) -> u64 {
        match self.random.below(1000) {
            0..=99 => 0,
            100..=899 => self.random.below(100),
            900..=994 => self.random.below(4000),
            _ => self.random.below(40_000),
        }
    }
}

impl Iterator for Chatter {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.left == 0 {
            return None;
        }
        let mut text: String =
            (0..self.line_length()).map(|_| self.random.one_of(&CHARACTERS)).collect();
        // A prompt, or the end of a program that forgets its last newline.
        if !self.random.once_in(50) {
            text.push('\n');
        }
        self.left = self.left.saturating_sub(text.len().max(1));
        let pauses = self.pauses > 0 && self.random.once_in(20);
        self.pauses -= u32::from(pauses);
        let milliseconds = if pauses { self.random.below(800) } else { 0 };
        Some(Piece { pause: Duration::from_millis(milliseconds), text })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_seed_says_it_all() {
        let text = |seed, rank| -> Vec<Piece> { Chatter::new(seed, rank, 30_000, 3).collect() };
        assert_eq!(text(1, 0), text(1, 0));
        assert_ne!(text(1, 0), text(2, 0));
        assert_ne!(text(1, 0), text(1, 1));
    }

    #[test]
    fn about_as_much_is_written_as_was_asked_for() {
        for bytes in [0, 1, 100, 30_000] {
            let written: usize = Chatter::new(7, 0, bytes, 0).map(|piece| piece.text.len()).sum();
            assert!((bytes..bytes + 100 * 1024).contains(&written), "{written} for {bytes}");
        }
    }
}

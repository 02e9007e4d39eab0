//! What of the ranks' output has been shown, over all runs of a job.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What lines of a rank's kernel begin with.
const KERNELS: &[u8] = b"xenolith: ";

/// What is known of some bytes from several runs of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// Nothing.
    #[default]
    None,
    /// All of them were shown in an earlier run, and have been written again.
    Again,
    /// They were written behind the line to which a later run went back.
    Undone,
}

/// How far the output of each rank has been shown, in this run of its job and in those before. What
/// a rank writes it writes in every run at the same place, which is counted in bytes from its
/// start. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    ranks: Arc<Mutex<Vec<RankShown>>>,
    is_next_run: bool,
}

#[derive(Clone, Debug, Default)]
struct RankShown {
    /// Where the rank is.
    at: u64,
    /// Up to where runs before this one have shown what it writes.
    before: u64,
    /// Where its last line ends that is not its kernel's: what a kernel says of a crash is written
    /// in no other run.
    own: u64,
    /// The line that has not ended.
    line: Beginning,
}

/// How a line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    /// As far as it has come, as a kernel's does: the number of bytes.
    Kernels(usize),
    /// In another way.
    Other,
}

impl Default for Beginning {
    fn default() -> Self {
        Self::Kernels(0)
    }
}

impl Beginning {
    fn push(&mut self, byte: u8) {
        if let Self::Kernels(count) = *self
            && let Some(expected) = KERNELS.get(count)
        {
            *self = if byte == *expected { Self::Kernels(count + 1) } else { Self::Other };
        }
    }
}

impl Shown {
    /// The next run of the job begins, of this number of ranks, at these places of their output;
    /// where nothing is told, at its start.
    pub fn next_run(&self, ranks: u32, begins: &[u64]) -> Self {
        let earlier = self.lock();
        let rank = |rank: u32| {
            let at = begins.get(rank as usize).copied().unwrap_or(0);
            let earlier = earlier.get(rank as usize);
            let before = earlier.map_or(0, |earlier| earlier.own.max(earlier.before));
            RankShown { at, before, own: 0, line: Beginning::default() }
        };
        let ranks = (0..ranks).map(rank).collect();
        Self { ranks: Arc::new(Mutex::new(ranks)), is_next_run: !earlier.is_empty() }
    }

    /// Whether there have been runs before this one.
    pub fn is_next_run(&self) -> bool {
        self.is_next_run
    }

    /// Bytes before these places that have not been shown.
    pub fn missing_before(&self, begins: &[u64]) -> u64 {
        let missing =
            |(rank, begins): (&RankShown, &u64)| begins.saturating_sub(rank.at.max(rank.before));
        self.lock().iter().zip(begins).map(missing).sum()
    }

    /// A rank has written this.
    pub fn push(&self, rank: u32, bytes: &[u8]) {
        let mut ranks = self.lock();
        let Some(rank) = ranks.get_mut(rank as usize) else { return };
        for bytes in bytes.split_inclusive(|&byte| byte == b'\n') {
            bytes.iter().take(KERNELS.len()).for_each(|byte| rank.line.push(*byte));
            rank.at = rank.at.saturating_add(bytes.len() as u64);
            if rank.line == Beginning::Other {
                rank.own = rank.at;
            }
            if bytes.ends_with(b"\n") {
                rank.line = Beginning::default();
            }
        }
    }

    /// The mark of something that a rank has written, and `later` bytes since.
    pub fn mark(&self, rank: u32, later: usize) -> Mark {
        let ranks = self.lock();
        let is_again = |rank: &RankShown| rank.at.saturating_sub(later as u64) <= rank.before;
        if ranks.get(rank as usize).is_some_and(is_again) { Mark::Again } else { Mark::None }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<RankShown>> {
        self.ranks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_shown_before_is_again() {
        let first = Shown::default().next_run(1, &[100]);
        first.push(0, b"one\ntwo\nthr");
        assert_eq!(first.mark(0, 0), Mark::None);
        assert!(!first.is_next_run());
        let second = first.next_run(1, &[104]);
        assert!(second.is_next_run());
        second.push(0, b"two\n");
        assert_eq!(second.mark(0, 0), Mark::Again);
        second.push(0, b"thr");
        assert_eq!(second.mark(0, 0), Mark::Again);
        second.push(0, b"ee\n");
        assert_eq!(second.mark(0, 0), Mark::None);
        assert_eq!(second.mark(0, 3), Mark::Again);
        // What a run writes later that has been given up does not count.
        first.push(0, b"late\n");
        assert_eq!(second.mark(0, 0), Mark::None);
        // An older run has come farther than the last one.
        let third = second.next_run(1, &[104]).next_run(1, &[0]);
        third.push(0, &[b'x'; 114]);
        assert_eq!(third.mark(0, 0), Mark::Again);
        third.push(0, b"x");
        assert_eq!(third.mark(0, 0), Mark::None);
        assert_eq!(third.mark(7, 0), Mark::None);
    }

    #[test]
    fn what_a_kernel_says_of_a_crash_is_not_written_again() {
        for (cut, own) in [("ti", 2), ("ti\n", 3), ("", 0), ("xenolith is up\n", 15)] {
            let first = Shown::default().next_run(1, &[]);
            first.push(0, cut.as_bytes());
            for piece in ["xeno", "lith: fatal: rank 0: boom\nx", "enolith:   0x1\n"] {
                first.push(0, if cut == "ti" { b"" } else { piece.as_bytes() });
            }
            let second = first.next_run(1, &[]);
            second.push(0, &vec![b'x'; own]);
            assert_eq!(second.mark(0, 0), Mark::Again, "{cut}");
            second.push(0, b"x");
            assert_eq!(second.mark(0, 0), Mark::None, "{cut}");
        }
    }

    #[test]
    fn what_was_never_shown_is_missed() {
        let first = Shown::default().next_run(2, &[]);
        first.push(0, b"12345");
        assert_eq!(first.missing_before(&[5, 0]), 0);
        assert_eq!(first.missing_before(&[9, 3]), 7);
        assert_eq!(Shown::default().missing_before(&[9]), 0);
    }
}

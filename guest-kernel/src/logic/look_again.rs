//! How long to wait for a ring before looking again, since a ring may be lost.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

/// The first wait after a ring, and the longest, in milliseconds.
const FIRST: u64 = 50;
const LONGEST: u64 = 1600;

/// How patient whoever waits is: each wait in vain is followed by one that is twice as long, so
/// that a rank which waits for long costs the host next to nothing.
#[derive(Debug)]
pub struct Patience(AtomicU64);

impl Patience {
    /// That of the first wait.
    pub const fn new() -> Self {
        Self(AtomicU64::new(FIRST))
    }

    /// How long the next wait may last.
    pub fn wait(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// It has ended, because of a ring or in vain.
    pub fn learn(&self, rung: bool) {
        let last = self.0.load(Ordering::Relaxed);
        self.0.store(if rung { FIRST } else { (last * 2).min(LONGEST) }, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_less_and_less_frequent_and_never_end() {
        let patience = Patience::new();
        let waits = |count| {
            let wait = || {
                let wait = patience.wait();
                patience.learn(false);
                wait
            };
            core::iter::repeat_with(wait).take(count).sum::<Duration>()
        };
        assert_eq!(waits(5), Duration::from_millis(50 * 31));
        assert_eq!(waits(10), Duration::from_secs(16));
        patience.learn(true);
        assert_eq!(patience.wait(), Duration::from_millis(50));
    }
}

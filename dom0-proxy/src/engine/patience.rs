//! How long to poll before blocking.

use std::time::{Duration, Instant};

/// Never longer: on a host with few processors, polling takes them from the ranks.
const MOST: Duration = Duration::from_micros(30);
/// Where growing starts.
const LEAST: Duration = Duration::from_micros(2);

/// Polls longer where polling would have found the next work, and shorter where it did not.
#[derive(Debug)]
pub struct Patience {
    budget: Duration,
    /// When the last work was done, or polling started.
    since: Instant,
}

impl Patience {
    /// Starts in the middle.
    pub fn new() -> Self {
        Self { budget: MOST / 2, since: Instant::now() }
    }

    /// There was work.
    pub fn worked(&mut self) {
        self.since = Instant::now();
    }

    /// Whether to look again rather than to block.
    pub fn keep_polling(&self) -> bool {
        self.since.elapsed() < self.budget
    }

    /// Now the thread blocks.
    pub fn blocks(&mut self) {
        self.since = Instant::now();
    }

    /// It has been woken: was blocking a good idea?
    pub fn woken(&mut self) {
        self.learn(self.since.elapsed());
        self.since = Instant::now();
    }

    fn learn(&mut self, blocked: Duration) {
        self.budget = if blocked < MOST { (self.budget * 2).clamp(LEAST, MOST) } else { self.budget / 2 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learns_in_both_directions_within_its_bounds() {
        let mut patience = Patience::new();
        for _ in 0..100 {
            patience.learn(Duration::from_secs(1));
        }
        assert_eq!(patience.budget, Duration::ZERO);
        assert!(!patience.keep_polling());
        for _ in 0..100 {
            patience.learn(Duration::from_micros(5));
        }
        assert_eq!(patience.budget, MOST);
    }
}

//! How long to poll before blocking.

use std::thread;
use std::time::{Duration, Instant};

/// Polling for less is not worth its bookkeeping.
const LEAST: Duration = Duration::from_micros(2);
/// The bounds of what a host's most can be.
const MOST: (Duration, Duration) = (Duration::from_micros(30), Duration::from_millis(2));
/// A block and the wake-up after it cost about as much as this many of the smallest system calls.
/// Polling for longer is never worth it.
const CALLS_A_BLOCK: u32 = 100;
/// System calls that are timed to know the host.
const TIMED_CALLS: u32 = 32;

/// The bounds of the time between two looks at a lock that is held.
const LOCK_PAUSE: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(1));

/// How long to leave a lock alone that is held: longer each time, so that one that is held for long
/// takes no processor from whoever holds it.
#[derive(Debug, Default)]
pub struct LockPause(Duration);

impl LockPause {
    /// How long this time.
    pub fn next(&mut self) -> Duration {
        self.0 = (self.0 * 2).clamp(LOCK_PAUSE.0, LOCK_PAUSE.1);
        self.0
    }

    /// It is free.
    pub fn reset(&mut self) {
        self.0 = Duration::ZERO;
    }
}

/// What to do between two looks at the rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Nothing: the ranks run on processors of their own, or of Xen's choice.
    Spin,
    /// Let ranks run that wait for this processor.
    Yield,
}

impl Pause {
    fn take(self) {
        match self {
            Self::Spin => std::hint::spin_loop(),
            Self::Yield => thread::yield_now(),
        }
    }

    /// Looks between two looks at the clock, which may cost as much as a system call.
    fn looks_a_clock(self) -> u32 {
        match self {
            Self::Spin => 256,
            Self::Yield => 16,
        }
    }
}

/// Polls longer where polling would have found the next work, and shorter where it did not.
#[derive(Debug)]
pub struct Patience {
    pause: Pause,
    most: Duration,
    budget: Duration,
    /// Looks that found nothing since there was work.
    looks: u32,
    /// When the first of them was, or when the thread blocked.
    since: Instant,
}

impl Patience {
    /// For this host: where everything is slow, as under emulation, blocking is too, and polling
    /// may take longer.
    pub fn new(pause: Pause) -> Self {
        let most = match thread::available_parallelism() {
            // Polling would only keep the ranks from running.
            Ok(processors) if processors.get() == 1 => Duration::ZERO,
            _ => (system_call() * CALLS_A_BLOCK).clamp(MOST.0, MOST.1),
        };
        Self { pause, most, budget: most / 2, looks: 0, since: Instant::now() }
    }

    /// There was work.
    pub fn worked(&mut self) {
        self.looks = 0;
    }

    /// There was none: whether to look again rather than to block. Pauses before that.
    pub fn look_again(&mut self) -> bool {
        if self.looks == 0 {
            self.since = Instant::now();
        }
        self.looks += 1;
        let at_the_clock = self.looks.is_multiple_of(self.pause.looks_a_clock());
        if self.budget.is_zero() || (at_the_clock && self.since.elapsed() >= self.budget) {
            return false;
        }
        self.pause.take();
        true
    }

    /// Now the thread blocks.
    pub fn blocks(&mut self) {
        self.since = Instant::now();
    }

    /// It has been woken: was blocking a good idea?
    pub fn woken(&mut self) {
        self.learn(self.since.elapsed());
        self.looks = 0;
    }

    fn learn(&mut self, blocked: Duration) {
        self.budget = if blocked < self.most {
            (self.budget * 2).max(LEAST).min(self.most)
        } else {
            Some(self.budget / 2).filter(|half| *half >= LEAST).unwrap_or_default()
        };
    }
}

/// What the smallest system call costs here.
fn system_call() -> Duration {
    let start = Instant::now();
    for _ in 0..TIMED_CALLS {
        let _ = rustix::process::getppid();
    }
    start.elapsed() / TIMED_CALLS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learns_in_both_directions_within_its_bounds() {
        let mut patience = Patience::new(Pause::Spin);
        patience.most = MOST.0;
        for _ in 0..100 {
            patience.learn(Duration::from_secs(1));
        }
        assert_eq!(patience.budget, Duration::ZERO);
        assert!(!patience.look_again());
        for _ in 0..100 {
            patience.learn(Duration::from_micros(5));
        }
        assert_eq!(patience.budget, MOST.0);
    }

    #[test]
    fn a_lock_is_looked_at_less_and_less_often_within_bounds() {
        let mut pause = LockPause::default();
        assert_eq!(pause.next(), LOCK_PAUSE.0);
        let later: Vec<_> = (0..20).map(|_| pause.next()).collect();
        assert!(later.is_sorted() && later.last() == Some(&LOCK_PAUSE.1));
        pause.reset();
        assert_eq!(pause.next(), LOCK_PAUSE.0);
    }

    #[test]
    fn polling_ends() {
        for pause in [Pause::Spin, Pause::Yield] {
            let mut patience = Patience::new(pause);
            let start = Instant::now();
            while patience.look_again() {}
            assert!(start.elapsed() < Duration::from_secs(5));
        }
    }
}

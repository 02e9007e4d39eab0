//! When a job that is saved by time is saved next. No I/O and no clock here.

use std::time::{Duration, Instant};

/// The shortest and the longest pause between two looks.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(20)];

/// The last tenth of an interval between two lines. Within it the next line is begun at a moment
/// when nothing is under way, so that there is nothing to drain, if there is one; else at the end.
#[derive(Clone, Copy, Debug)]
pub struct LastTenth {
    begin: Instant,
    end: Instant,
    /// Between two looks whether anything is under way.
    pause: Duration,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait until then, and ask again.
    Wait(Instant),
    /// Begin the line.
    Begin,
}

impl LastTenth {
    /// That of the interval of length `every` that begins at `since`; none if its end lies beyond
    /// all time.
    pub fn of(since: Instant, every: Duration) -> Option<Self> {
        let end = since.checked_add(every)?;
        let tenth = every / 10;
        Some(Self { begin: end - tenth, end, pause: (tenth / 50).clamp(PAUSES[0], PAUSES[1]) })
    }

    /// What to do at `now`. `is_quiet` looks whether nothing is under way, for which it may take as
    /// long as it is told.
    pub fn step(&self, now: Instant, is_quiet: impl FnOnce(Duration) -> bool) -> Step {
        if now < self.begin {
            Step::Wait(self.begin)
        } else if now >= self.end || is_quiet(self.end - now) {
            Step::Begin
        } else {
            Step::Wait(self.end.min(now + self.pause))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Intervals from none to a day.
    fn intervals() -> impl Iterator<Item = Duration> {
        [0, 1, 9, 10, 11, 999, 1_000_000, 1_234_567_890, 30_000_000_000, 86_400_000_000_000]
            .into_iter()
            .map(Duration::from_nanos)
    }

    /// How long after the interval's beginning the line is begun, and how often was looked, where
    /// looking takes `look` and it is quiet when `is_quiet` says so.
    fn begun(
        every: Duration,
        look: Duration,
        is_quiet: impl Fn(Duration) -> bool,
    ) -> (Duration, u32) {
        let since = Instant::now();
        let tenth = LastTenth::of(since, every).unwrap();
        let (mut now, mut looks) = (since, 0);
        loop {
            let mut spent = Duration::ZERO;
            let step = tenth.step(now, |patience| {
                looks += 1;
                spent = look.min(patience);
                is_quiet(now - since)
            });
            now += spent;
            match step {
                Step::Wait(until) => {
                    assert!(until > now - spent, "it spins");
                    now = now.max(until);
                }
                Step::Begin => return (now - since, looks),
            }
        }
    }

    #[test]
    fn a_job_that_is_never_quiet_is_saved_at_the_end() {
        for every in intervals() {
            for look in [Duration::ZERO, Duration::from_micros(50), Duration::MAX] {
                assert_eq!(begun(every, look, |_| false).0, every, "{look:?}");
            }
        }
    }

    #[test]
    fn a_job_that_is_quiet_is_saved_when_the_tenth_begins() {
        for every in intervals() {
            assert_eq!(begun(every, Duration::ZERO, |_| true).0, every - every / 10);
        }
    }

    #[test]
    fn the_first_quiet_moment_is_taken_and_none_before_the_tenth() {
        let every = Duration::from_secs(30);
        let quiet = Duration::from_secs(28);
        let (at, _) = begun(every, Duration::ZERO, |at| at >= quiet);
        assert!(at >= quiet && at <= quiet + PAUSES[1], "{at:?}");
        // It was, and is not when it matters.
        let (at, _) = begun(every, Duration::ZERO, |at| at < Duration::from_secs(20));
        assert_eq!(at, every);
    }

    #[test]
    fn looks_are_few() {
        for every in intervals() {
            let (_, looks) = begun(every, Duration::ZERO, |_| false);
            let most = (every.as_millis() / 10).min(50.max(every.as_millis() / 200)) + 1;
            assert!(u128::from(looks) <= most, "{every:?}: {looks}, {most} at most");
        }
    }

    #[test]
    fn what_is_beyond_all_time_never_comes() {
        assert!(LastTenth::of(Instant::now(), Duration::MAX).is_none());
    }
}

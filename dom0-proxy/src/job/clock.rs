//! The time that a job has taken, which stands still while its ranks are stopped.

use std::time::{Duration, Instant};

use crate::control::RankSignal;

/// The clock of one job.
#[derive(Debug)]
pub struct JobClock {
    started: Instant,
    stopped_at: Option<Instant>,
    /// How long it has stood still before.
    stood_still: Duration,
}

impl JobClock {
    /// Of a job that has started then.
    pub fn new(started: Instant) -> Self {
        Self { started, stopped_at: None, stood_still: Duration::ZERO }
    }

    /// The ranks get a signal now.
    pub fn take(&mut self, signal: RankSignal, now: Instant) {
        match signal {
            RankSignal::Stop => drop(self.stopped_at.get_or_insert(now)),
            RankSignal::GoOn => {
                if let Some(since) = self.stopped_at.take() {
                    self.stood_still += now.saturating_duration_since(since);
                }
            }
            RankSignal::User1 | RankSignal::User2 => {}
        }
    }

    /// When `limit` is over; never as long as it stands still, or if that is beyond all time.
    pub fn deadline(&self, limit: Duration) -> Option<Instant> {
        match self.stopped_at {
            Some(_) => None,
            None => self.started.checked_add(limit)?.checked_add(self.stood_still),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_job_takes_no_time() {
        let start = Instant::now();
        let second = |number| start + Duration::from_secs(number);
        let limit = Duration::from_secs(10);
        let mut clock = JobClock::new(start);
        clock.take(RankSignal::GoOn, second(1));
        clock.take(RankSignal::User1, second(1));
        assert_eq!(clock.deadline(limit), Some(second(10)));
        clock.take(RankSignal::Stop, second(2));
        clock.take(RankSignal::Stop, second(3));
        assert_eq!(clock.deadline(limit), None);
        clock.take(RankSignal::GoOn, second(7));
        assert_eq!(clock.deadline(limit), Some(second(15)));
        assert_eq!(clock.deadline(Duration::MAX), None);
    }
}

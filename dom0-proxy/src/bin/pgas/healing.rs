//! How often a job goes back to its newest image after accidents.

use dom0_proxy::images::Line;

/// Counts the accidents of a job in which it has not got on.
#[derive(Debug)]
pub struct Healing {
    /// How many restarts there may be without a new line in between.
    restarts: u32,
    /// How many there have been since the newest line.
    used: u32,
    /// The newest line of the job, or one from before it.
    newest: Option<Line>,
}

impl Healing {
    /// Of a job that begins when this is the newest line in its directory.
    pub fn new(restarts: u32, before: Option<Line>) -> Self {
        Self { restarts, used: 0, newest: before }
    }

    /// The job has met with an accident, and `newest` is its newest line, if it has one. The number
    /// of the restart that follows, counted since the job last got on; none if there have been
    /// enough.
    pub fn after_accident(&mut self, newest: Option<Line>) -> Option<u32> {
        if newest > self.newest {
            (self.used, self.newest) = (0, newest);
        }
        self.used += 1;
        (self.used <= self.restarts).then_some(self.used)
    }

    /// Whether the job has gone back to some line.
    pub fn has_healed(&self) -> bool {
        self.used > 0
    }

    /// How many restarts there may be without a new line in between.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64) -> Option<Line> {
        Some(Line { incarnation: 0, number })
    }

    #[test]
    fn a_job_that_does_not_get_on_is_given_up() {
        let mut healing = Healing::new(2, None);
        assert_eq!(healing.after_accident(None), Some(1));
        assert_eq!(healing.after_accident(None), Some(2));
        assert_eq!(healing.after_accident(None), None);
        assert_eq!(Healing::new(0, None).after_accident(line(7)), None);
    }

    #[test]
    fn a_new_line_begins_the_count_anew() {
        let mut healing = Healing::new(2, None);
        for newest in 1..100 {
            assert_eq!(healing.after_accident(line(newest)), Some(1));
            assert_eq!(healing.after_accident(line(newest)), Some(2));
        }
        // An older one, since the newest was damaged, is none.
        assert_eq!(healing.after_accident(line(50)), None);
    }

    #[test]
    fn what_was_saved_before_is_not_new() {
        let mut healing = Healing::new(1, line(3));
        assert!(!healing.has_healed());
        assert_eq!(healing.after_accident(None), Some(1));
        assert!(healing.has_healed());
        assert_eq!(healing.after_accident(line(3)), None);
    }
}

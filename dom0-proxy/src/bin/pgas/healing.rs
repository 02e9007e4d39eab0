//! How often a job goes back to its newest image after accidents.

use dom0_proxy::images::Line;

/// Counts the accidents of a job in which it has not got on.
#[derive(Debug)]
pub struct Healing {
    /// How many restarts there may be without a new line in between.
    restarts: u32,
    /// How many there have been since the newest line.
    used: u32,
    /// The line to which the job went back last; none is its start.
    line: Option<Line>,
}

impl Healing {
    /// Of a job that begins at this line, or at its start.
    pub fn new(restarts: u32, line: Option<Line>) -> Self {
        Self { restarts, used: 0, line }
    }

    /// The job has met with an accident, and `newest` is its newest line. The number of the restart
    /// that follows, counted since the job last got on; none if there have been enough.
    pub fn after_accident(&mut self, newest: Option<Line>) -> Option<u32> {
        if newest > self.line {
            (self.used, self.line) = (0, newest);
        }
        self.used += 1;
        (self.used <= self.restarts).then_some(self.used)
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
    fn the_line_that_a_job_was_restored_from_is_not_new() {
        let mut healing = Healing::new(1, line(3));
        assert_eq!(healing.after_accident(line(3)), Some(1));
        assert_eq!(healing.after_accident(line(3)), None);
    }
}

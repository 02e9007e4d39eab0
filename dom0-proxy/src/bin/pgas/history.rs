//! What has become of a job in all of its lives, as far as its daemons have told. Plain values: no
//! clock, and no I/O. Moments are in milliseconds since 1970.

use dom0_proxy::control::{LineReport, Reply, Summary};

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    lives: Vec<Life>,
}

/// A job from one accident to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Life {
    /// When it was asked for.
    pub asked: u64,
    /// Its name, once it is told.
    pub job: String,
    /// How many ranks it has.
    pub size: u32,
    /// The line that it was restored from, if it was.
    pub from: Option<String>,
    /// When the daemon had set it up, and began to start ranks.
    pub started: Option<u64>,
    /// When all of its ranks had started.
    pub up: Option<u64>,
    /// When all of its ranks were served for the first time.
    pub running: Option<u64>,
    /// The boot of each rank, by rank: told at the end, if the daemon has lived to see it.
    pub boots: Vec<Boot>,
    /// The lines that it was saved at.
    pub lines: Vec<LineReport>,
    /// How it has ended.
    pub end: Option<End>,
}

/// How a rank has started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// When its creation began, if it did.
    pub begun: Option<u64>,
    /// When it had started, if it had.
    pub up: Option<u64>,
}

/// How a life has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// When the end was certain.
    pub at: u64,
    /// When nothing of it was left.
    pub gone: u64,
    /// The status that `pgas` ends with if no other life follows; none is known of a daemon that is
    /// gone.
    pub status: Option<u8>,
    /// Why, if it did not just end.
    pub cause: Option<String>,
    /// Whether it met with an accident.
    pub is_accident: bool,
}

impl History {
    /// A life of a job of that many ranks is asked for.
    pub fn begin(&mut self, size: u32, now: u64) {
        self.lives.push(Life { asked: now, size, ..Life::default() });
    }

    /// The daemon says this of the life that was asked for last.
    pub fn hear(&mut self, reply: &Reply, now: u64) {
        let Some(life) = self.lives.last_mut() else { return };
        match reply {
            Reply::Restoring(origin) => {
                life.from = Some(origin.line.clone());
                life.size = origin.size;
            }
            Reply::Started(job) => {
                life.job = job.clone();
                life.started = Some(now);
            }
            Reply::Up(up) if *up >= life.size => drop(life.up.get_or_insert(now)),
            Reply::Running => drop(life.running.get_or_insert(now)),
            Reply::Saved(report) => life.lines.push(report.clone()),
            Reply::Ended(summary) => life.has_ended(summary, now),
            Reply::Refused { status, text } => {
                let end = End {
                    at: now,
                    gone: now,
                    status: Some(*status),
                    cause: Some(text.clone()),
                    is_accident: false,
                };
                life.end.get_or_insert(end);
            }
            _ => {}
        }
    }

    /// The life that was asked for last has not been seen to its end, for this reason.
    pub fn lose(&mut self, why: String, now: u64) {
        if let Some(life) = self.lives.last_mut() {
            let (status, cause) = (None, Some(why));
            life.end.get_or_insert(End { at: now, gone: now, status, cause, is_accident: true });
        }
    }

    /// Adds a life as it is.
    #[cfg(test)]
    pub fn push(&mut self, life: Life) {
        self.lives.push(life);
    }

    /// The lives, to be changed.
    #[cfg(test)]
    pub fn lives_mut(&mut self) -> &mut [Life] {
        &mut self.lives
    }

    /// The lives, one after the other.
    pub fn lives(&self) -> &[Life] {
        &self.lives
    }

    /// The lines of all lives.
    pub fn lines(&self) -> impl Iterator<Item = &LineReport> {
        self.lives.iter().flat_map(|life| &life.lines)
    }
}

impl Life {
    fn has_ended(&mut self, summary: &Summary, now: u64) {
        let started = self.started.unwrap_or(self.asked);
        let after = |seconds: f64| (started + (seconds.max(0.0) * 1000.0) as u64).min(now);
        let boots = summary.ranks.iter().map(|rank| {
            let (begun, boot) = (rank.begun_seconds, rank.boot_seconds);
            let up = begun.zip(boot).map(|(begun, boot)| after(begun + boot));
            Boot { begun: begun.map(after), up }
        });
        self.boots = boots.collect();
        let end = End {
            at: after(summary.ending_seconds),
            gone: now,
            status: Some(summary.status),
            cause: summary.cause.clone(),
            is_accident: summary.is_accident,
        };
        self.end.get_or_insert(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dom0_proxy::control::{RankSummary, RestoredFrom};

    #[test]
    fn what_is_heard_is_of_the_last_life() {
        let mut history = History::default();
        history.hear(&Reply::Running, 1);
        assert!(history.lives().is_empty());
        history.begin(2, 1_000);
        history.hear(&Reply::Started("ab12cd".into()), 1_010);
        history.hear(&Reply::Up(1), 1_300);
        history.hear(&Reply::Up(2), 1_400);
        history.hear(&Reply::Running, 1_450);
        let line = |line: &str| LineReport { line: line.into(), ..LineReport::default() };
        history.hear(&Reply::Saved(line("0-1")), 2_000);
        let rank = |begun, boot| RankSummary {
            begun_seconds: begun,
            boot_seconds: boot,
            ..RankSummary::default()
        };
        let summary = Summary {
            job: "ab12cd".into(),
            status: 134,
            cause: Some("rank 1 crashed".into()),
            is_accident: true,
            lost_host: None,
            seconds: 2.2,
            ending_seconds: 2.0,
            ranks: vec![rank(Some(0.1), Some(0.2)), rank(Some(0.3), None)],
        };
        history.hear(&Reply::Ended(summary), 3_210);
        history.begin(2, 3_300);
        let origin = RestoredFrom {
            directory: "/images".into(),
            line: "0-1".into(),
            skipped: None,
            size: 2,
            begins: Vec::new(),
        };
        history.hear(&Reply::Restoring(origin), 3_400);
        history.hear(&Reply::Saved(line("1-1")), 4_000);
        history.lose("the daemon died".into(), 5_000);
        history.lose("once more".into(), 6_000);
        let [first, second] = history.lives() else { panic!("two lives") };
        assert_eq!(
            (first.started, first.up, first.running),
            (Some(1_010), Some(1_400), Some(1_450))
        );
        let boot = |begun, up| Boot { begun: Some(begun), up };
        assert_eq!(first.boots, [boot(1_110, Some(1_310)), boot(1_310, None)]);
        let end = first.end.as_ref().unwrap();
        assert_eq!((end.at, end.gone, end.status), (3_010, 3_210, Some(134)));
        assert_eq!((second.asked, second.from.as_deref()), (3_300, Some("0-1")));
        let end = second.end.as_ref().unwrap();
        assert_eq!((end.at, end.is_accident), (5_000, true));
        assert_eq!(end.cause.as_deref(), Some("the daemon died"));
        let lines: Vec<_> = history.lines().map(|report| report.line.as_str()).collect();
        assert_eq!(lines, ["0-1", "1-1"]);
    }
}

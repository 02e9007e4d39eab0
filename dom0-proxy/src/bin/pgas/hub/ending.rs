//! How a job over several hosts has ended, of how its hosts' parts have.

use dom0_proxy::control::{RankSummary, Summary};
use dom0_proxy::error::status;

/// How one host's part has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct PartEnding {
    /// The host, as an index.
    pub host: usize,
    /// Whether the hub had asked for it, since the job had failed elsewhere.
    pub was_asked_for: bool,
    /// What the host has said of it.
    pub how: Ending,
}

/// What is known of the end of one part.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// What its proxy says.
    Ended(Summary),
    /// It has not begun.
    Refused {
        /// The status for `pgas` to end with.
        status: u8,
        /// Why, in one line.
        text: String,
    },
    /// Its proxy is gone, for this reason.
    Lost(String),
}

impl Ending {
    /// Whether nothing has failed.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Ended(summary) if summary.status == 0 && summary.cause.is_none())
    }
}

/// How much an ending tells of why the job has failed; the least is the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// What went wrong there.
    OwnCause,
    /// The host itself is gone.
    IsLost,
    /// It has lost another host.
    HasLost,
    /// It was ended since another one had failed.
    WasAskedFor,
    /// Nothing went wrong.
    Good,
}

impl PartEnding {
    fn weight(&self) -> Weight {
        match &self.how {
            Ending::Lost(_) => Weight::IsLost,
            Ending::Refused { .. } => Weight::OwnCause,
            Ending::Ended(_) if self.how.is_good() => Weight::Good,
            Ending::Ended(summary) if summary.lost_host.is_some() => Weight::HasLost,
            Ending::Ended(summary)
                if self.was_asked_for && summary.status == status::INTERRUPTED =>
            {
                Weight::WasAskedFor
            }
            Ending::Ended(_) => Weight::OwnCause,
        }
    }
}

/// The line for a host whose proxy is gone.
pub fn gone(name: &str, why: &str) -> String {
    format!("the proxy of host {name} is gone: {why}")
}

/// The job as one: of the endings of all parts, in the order in which they came, of the names of
/// hosts, and of where each rank ran. Besides, the host whose ending tells why.
pub fn merge(
    job: &str,
    endings: &[PartEnding],
    hosts: &[String],
    placement: &[u32],
) -> (Summary, Option<usize>) {
    let summaries = || {
        endings.iter().filter_map(|ending| match &ending.how {
            Ending::Ended(summary) => Some((ending.host, summary)),
            Ending::Refused { .. } | Ending::Lost(_) => None,
        })
    };
    let latest = |seconds: fn(&Summary) -> f64| {
        summaries().map(|(_, summary)| seconds(summary)).fold(0.0, f64::max)
    };
    let ran = |(rank, host): (usize, &u32)| {
        let of_host = summaries().find(|(index, _)| *index == *host as usize);
        of_host.and_then(|(_, summary)| summary.ranks.get(rank).cloned())
    };
    let ranks: Vec<RankSummary> =
        placement.iter().enumerate().map(|rank| ran(rank).unwrap_or_default()).collect();
    let mut merged = Summary {
        job: job.to_owned(),
        status: 0,
        cause: None,
        is_accident: false,
        lost_host: None,
        seconds: latest(|summary| summary.seconds),
        ending_seconds: latest(|summary| summary.ending_seconds),
        ranks,
    };
    let name = |host: usize| hosts.get(host).map_or("?", String::as_str);
    // Of those that tell as much the first is the minimum.
    let Some(best) = endings.iter().min_by_key(|ending| ending.weight()) else {
        return (merged, None);
    };
    let mut lose = |host: usize, cause: String| {
        merged.status = status::DAEMON_LOST;
        merged.cause = Some(cause);
        merged.is_accident = true;
        merged.lost_host = u32::try_from(host).ok();
    };
    match &best.how {
        Ending::Lost(why) => lose(best.host, gone(name(best.host), why)),
        Ending::Refused { status, text } => {
            merged.status = *status;
            merged.cause = Some(format!("host {}: {text}", name(best.host)));
        }
        Ending::Ended(Summary { lost_host: Some(lost), cause, .. })
            if best.weight() == Weight::HasLost && (*lost as usize) < hosts.len() =>
        {
            let why = cause.as_deref().unwrap_or("nothing comes from it");
            // Its proxy knows hosts by their numbers.
            let why = why.strip_prefix(&gone(&lost.to_string(), "")).unwrap_or(why);
            let why = format!("host {} says: {why}", name(best.host));
            lose(*lost as usize, gone(name(*lost as usize), &why));
        }
        Ending::Ended(summary) => {
            merged.status = summary.status;
            merged.cause.clone_from(&summary.cause);
            merged.is_accident = summary.is_accident;
            merged.lost_host = summary.lost_host;
        }
    }
    if let Ending::Ended(summary) = &best.how
        && !best.how.is_good()
    {
        merged.ending_seconds = summary.ending_seconds;
    }
    (merged, Some(best.host))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// How a part of a job may have ended.
    pub fn summary(status: u8, cause: Option<&str>, lost_host: Option<u32>) -> Summary {
        Summary {
            job: "part".into(),
            status,
            cause: cause.map(Into::into),
            is_accident: status == status::CRASHED,
            lost_host,
            seconds: 2.0,
            ending_seconds: 1.0,
            ranks: vec![RankSummary::default(); 4],
        }
    }

    fn ended(host: usize, was_asked_for: bool, summary: Summary) -> PartEnding {
        PartEnding { host, was_asked_for, how: Ending::Ended(summary) }
    }

    fn lost(host: usize, why: &str) -> PartEnding {
        PartEnding { host, was_asked_for: false, how: Ending::Lost(why.into()) }
    }

    fn merged(endings: &[PartEnding]) -> Summary {
        merge("job", endings, &["a".into(), "b".into(), "c".into()], &[0, 1, 2, 0]).0
    }

    fn good() -> Summary {
        summary(0, None, None)
    }

    fn interrupted() -> Summary {
        summary(status::INTERRUPTED, Some("interrupted"), None)
    }

    #[test]
    fn all_good_is_good() {
        let merged = merged(&[
            ended(1, false, Summary { seconds: 9.0, ..good() }),
            ended(0, false, Summary { ending_seconds: 1.5, ..good() }),
            ended(2, false, good()),
        ]);
        assert_eq!((merged.status, merged.cause, merged.is_accident), (0, None, false));
        assert_eq!((merged.job.as_str(), merged.seconds, merged.ending_seconds), ("job", 9.0, 1.5));
    }

    #[test]
    fn each_rank_is_told_of_by_its_host() {
        let of = |host: usize| {
            let rank = RankSummary { memory: host as u64 + 1, ..RankSummary::default() };
            ended(host, false, Summary { ranks: vec![rank; 4], ..good() })
        };
        let memory =
            |summary: Summary| summary.ranks.iter().map(|rank| rank.memory).collect::<Vec<_>>();
        assert_eq!(memory(merged(&[of(2), of(0), of(1)])), [1, 2, 3, 1]);
        assert_eq!(memory(merged(&[of(2), lost(0, "x"), of(1)])), [0, 2, 3, 0]);
    }

    #[test]
    fn the_first_cause_counts_that_is_one() {
        let crash = summary(status::CRASHED, Some("rank 1 crashed"), None);
        let other = summary(3, Some("rank 2 ended with 3"), None);
        let loser = || summary(status::DAEMON_LOST, Some("no word"), Some(1));
        let endings = [
            ended(0, true, interrupted()),
            lost(1, "reset"),
            ended(0, false, loser()),
            ended(1, true, crash.clone()),
            ended(2, false, other),
        ];
        let found = merged(&endings);
        assert_eq!((found.status, found.cause), (crash.status, crash.cause));
        assert!(found.is_accident && found.lost_host.is_none());
        // An interruption that the user has asked for is one too.
        let found = merged(&[lost(1, "reset"), ended(0, false, interrupted())]);
        assert_eq!((found.status, found.is_accident), (status::INTERRUPTED, false));
    }

    #[test]
    fn a_lost_host_is_named_by_what_is_known_best() {
        let loser = |host, lost| {
            ended(host, false, summary(status::DAEMON_LOST, Some("no word"), Some(lost)))
        };
        // b says that a is gone, but the hub's own connection to b is.
        let found = merged(&[loser(0, 1), ended(2, true, interrupted()), lost(1, "reset")]);
        assert_eq!(found.cause.as_deref(), Some("the proxy of host b is gone: reset"));
        assert_eq!(found.lost_host, Some(1));
        assert_eq!((found.status, found.is_accident), (status::DAEMON_LOST, true));
        let found = merged(&[ended(1, true, interrupted()), loser(0, 1), loser(2, 1)]);
        let cause = found.cause.unwrap();
        assert_eq!(cause, "the proxy of host b is gone: host a says: no word");
        let numbered = summary(status::HOST, Some("the proxy of host 1 is gone: no word"), Some(1));
        let found = merged(&[ended(0, false, numbered)]);
        let cause = found.cause.unwrap();
        assert_eq!(cause, "the proxy of host b is gone: host a says: no word");
        // One that is named wrongly is not looked for.
        assert_eq!(merged(&[loser(0, 7)]).cause.as_deref(), Some("no word"));
    }
}

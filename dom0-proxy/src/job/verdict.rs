//! How a job ends, decided from what happens to its ranks. No I/O here.

use std::time::Duration;

use super::event::{End, KillReason};
use crate::attach::{BadAttach, RankStanding};
use crate::engine::Notice;
use crate::error::{Error, status};

/// How often a rank must be found in the same wait to be taken for one that waits in vain. Who has
/// been woken by something that is not there yet needs a moment to find that out.
const LOOKS: u32 = 4;

/// The end of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEnding {
    /// The status for `pgas` to end with.
    pub status: u8,
    /// Why it failed, in one line; `None` when it did not.
    pub cause: Option<String>,
    /// Whether that is nobody's will, and no rank's own status.
    pub is_accident: bool,
    /// The host whose proxy was lost, if that is all that is known of the cause.
    pub lost_host: Option<u32>,
}

impl JobEnding {
    /// The end of a job whose ranks have all ended without a failure.
    fn success() -> Self {
        Self { status: 0, cause: None, is_accident: false, lost_host: None }
    }

    /// A failure that is no accident.
    pub fn failure(status: u8, cause: String) -> Self {
        Self { status, cause: Some(cause), is_accident: false, lost_host: None }
    }
}

/// How far a rank has come. It only goes on, and may leave phases out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum RankPhase {
    /// It has not ended, as far as is known.
    #[default]
    Running,
    /// Its process or domain has ended.
    Ended(End),
    /// It runs on another host, whose proxy sees it end. Here it stays so.
    Elsewhere,
}

/// What is known of a rank.
#[derive(Clone, Debug, Default)]
struct KnownOfRank {
    phase: RankPhase,
    attached: bool,
    /// Why its kernel is about to crash.
    fatal: Option<String>,
    standing: RankStanding,
    /// For how many looks it has slept in the same wait.
    same_looks: u32,
}

impl KnownOfRank {
    /// Whether it has ended without a failure.
    fn has_left(&self) -> bool {
        self.phase == RankPhase::Ended(End::Exited(0))
    }
}

/// How far the job has come. It only goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum JobPhase {
    /// Ranks are still to attach.
    Gathering,
    /// All ranks are attached and served.
    Open,
    /// Those of this host have ended without a failure; others may still need their memory.
    RanksEnded,
    /// The end is certain.
    Over(JobEnding),
}

/// Collects what happens until the job's end is certain. The first failure decides.
///
/// Of a job over several hosts it is the verdict on what runs here. Whoever follows all parts of
/// the job says when it is over, if no part has failed.
#[derive(Debug)]
pub struct Verdict {
    ranks: Vec<KnownOfRank>,
    is_part: bool,
    phase: JobPhase,
    silent_crash: Option<u32>,
}

impl Verdict {
    /// A job of `size` ranks, of which nothing is known.
    pub fn new(size: u32) -> Self {
        Self {
            ranks: vec![KnownOfRank::default(); size as usize],
            is_part: false,
            phase: JobPhase::Gathering,
            silent_crash: None,
        }
    }

    /// What this host has of a job of `size` ranks, of which nothing is known.
    pub fn of_part(size: u32, is_here: impl Fn(u32) -> bool) -> Self {
        let mut verdict = Self { is_part: true, ..Self::new(size) };
        for (rank, known) in (0..).zip(&mut verdict.ranks) {
            if !is_here(rank) {
                known.phase = RankPhase::Elsewhere;
            }
        }
        verdict
    }

    /// The job's end, when it is certain.
    pub fn ending(&self) -> Option<&JobEnding> {
        match &self.phase {
            JobPhase::Over(ending) => Some(ending),
            JobPhase::Gathering | JobPhase::Open | JobPhase::RanksEnded => None,
        }
    }

    /// Whether this is a part of a job whose ranks here have all ended without a failure, and which
    /// waits for [`finish`](Self::finish).
    pub fn ranks_have_ended(&self) -> bool {
        self.phase == JobPhase::RanksEnded
    }

    /// All ranks of the job have ended, on all hosts. False if that cannot be, since those of this
    /// host have not.
    pub fn finish(&mut self) -> bool {
        if self.ranks_have_ended() {
            self.phase = JobPhase::Over(JobEnding::success());
        }
        self.ending().is_some()
    }

    /// The status with which a rank has ended by itself.
    pub fn exit_status(&self, rank: u32) -> Option<i32> {
        match self.ranks.get(rank as usize)?.phase {
            RankPhase::Ended(End::Exited(status)) => Some(status),
            _ => None,
        }
    }

    /// A rank is attached.
    pub fn attached(&mut self, rank: u32) {
        self.rank(rank, |known| known.attached = true);
        self.look_for_absent_ranks();
    }

    /// A rank's attach was refused.
    pub fn attach_refused(&mut self, rank: u32, cause: &BadAttach) {
        match cause {
            BadAttach::Rank(why) => self.fail(
                status::PROTOCOL,
                format!("rank {rank} broke the protocol: bad attach: {why}"),
            ),
            BadAttach::Host(why) => {
                self.fail(status::HOST, format!("rank {rank} could not be attached: {why}"));
            }
        }
    }

    /// A rank could not be created.
    pub fn not_created(&mut self, rank: u32, error: &Error) {
        self.fail(status::HOST, format!("rank {rank} could not be created: {error}"));
    }

    /// A rank's kernel has said why it is about to crash. That it did is for its domain to tell.
    pub fn fatal(&mut self, rank: u32, cause: String) {
        self.rank(rank, |known| {
            known.fatal.get_or_insert(cause);
        });
    }

    /// A rank has ended. Only its first end counts.
    pub fn ended(&mut self, rank: u32, end: End) {
        let Some(known) = self.ranks.get_mut(rank as usize) else { return };
        if known.phase != RankPhase::Running {
            return;
        }
        known.phase = RankPhase::Ended(end);
        if let Some((status, cause)) = failure(rank, end, known.fatal.as_deref()) {
            if end == End::Crashed && known.fatal.is_none() && self.ending().is_none() {
                self.silent_crash = Some(rank);
            }
            match end {
                End::Exited(_) => self.fail(status, cause),
                _ => self.accident(status, cause),
            }
        }
        self.look_for_absent_ranks();
        let runs = |rank: &KnownOfRank| rank.phase == RankPhase::Running;
        if self.ending().is_none() && !self.ranks.iter().any(runs) {
            self.phase = match self.is_part {
                true => JobPhase::RanksEnded,
                false => JobPhase::Over(JobEnding::success()),
            };
        }
    }

    /// The rank that has ended the job by crashing without a cause that its kernel could tell.
    pub fn silent_crash(&self) -> Option<u32> {
        self.silent_crash
    }

    /// The engine has something to say.
    pub fn engine(&mut self, notice: Notice) {
        match notice {
            Notice::Open if self.phase == JobPhase::Gathering => self.phase = JobPhase::Open,
            Notice::Open | Notice::Waiting => {}
            Notice::Violation { rank, cause } => {
                self.accident(status::PROTOCOL, format!("rank {rank} broke the protocol: {cause}"));
            }
            Notice::Broken(cause) => {
                self.accident(status::HOST, format!("the proxy failed: {cause}"));
            }
            Notice::HostLost { host, why } => {
                self.lose(host, format!("the proxy of host {host} is gone: {why}"));
            }
        }
    }

    /// The proxy of a host has not linked with this one in time.
    pub fn not_linked(&mut self, host: u32, address: &str, patience: Duration) {
        let seconds = patience.as_secs_f64();
        let cause = format!("no link with the proxy at {address} (host {host}) in {seconds} s");
        self.lose(host, cause);
    }

    /// Somebody wants the job to end.
    pub fn kill(&mut self, reason: KillReason) {
        let (status, cause) = match reason {
            KillReason::Interrupted => (status::INTERRUPTED, "interrupted"),
            KillReason::ClientGone => (status::KILLED, "pgas run is gone"),
            KillReason::Killed => (status::KILLED, "killed by pgas kill"),
            KillReason::DaemonEnds => (status::KILLED, "the daemon was told to end"),
        };
        self.fail(status, cause.into());
    }

    /// The job was saved, and ends with that: where, and what to do.
    pub fn saved(&mut self, words: String) {
        self.fail(status::SAVED, words);
    }

    /// The job could not be restored.
    pub fn not_restored(&mut self, why: &str) {
        self.accident(status::HOST, format!("it could not be restored: {why}"));
    }

    /// The job's time is up. A part whose ranks have ended leaves it to the others, who know which
    /// ranks have not.
    pub fn timed_out(&mut self, limit: Duration) {
        if self.ranks_have_ended() {
            return;
        }
        let unfinished: Vec<_> = (0..)
            .zip(&self.ranks)
            .filter(|(_, rank)| rank.phase == RankPhase::Running)
            .map(|(rank, _)| rank)
            .collect();
        let who = match unfinished[..] {
            [] => String::new(),
            [rank] => format!(": rank {rank} had not ended"),
            [first, ..] => {
                format!(": {} ranks had not ended, the first is rank {first}", unfinished.len())
            }
        };
        self.fail(status::TIMEOUT, format!("timed out after {} s{who}", limit.as_secs_f64()));
    }

    /// Whether [`standings`](Self::standings) may show that ranks wait in vain: one has ended
    /// without a failure, and others run. Never while ranks run on other hosts: what those do is
    /// not known here, and they may still come. Such a job waits until its time is up.
    pub fn wants_standings(&self) -> bool {
        self.phase == JobPhase::Open
            && !self.ranks.iter().any(|rank| rank.phase == RankPhase::Elsewhere)
            && self.ranks.iter().any(KnownOfRank::has_left)
            && self.ranks.iter().any(|rank| rank.phase == RankPhase::Running)
    }

    /// How all ranks get on. After [`LOOKS`] that were the same, a rank that sleeps in a wait for
    /// others waits in vain if it is in a collective that a rank has left out, or if all that have
    /// not ended wait so.
    pub fn standings(&mut self, standings: &[RankStanding]) {
        for (known, now) in self.ranks.iter_mut().zip(standings) {
            known.same_looks = match (known.standing == *now, now.wait) {
                (true, Some(_)) => known.same_looks.saturating_add(1),
                (false, Some(_)) => 1,
                (_, None) => 0,
            };
            known.standing = *now;
        }
        if !self.wants_standings() {
            return;
        }
        let ranks = || (0u32..).zip(&self.ranks);
        let running = || ranks().filter(|(_, rank)| rank.phase == RankPhase::Running);
        let is_ahead = |one: u32, other: u32| (one.wrapping_sub(other) as i32) > 0;
        let least = |so_far: (u32, u32), one: (u32, u32)| match is_ahead(so_far.1, one.1) {
            true => one,
            false => so_far,
        };
        let left = ranks().filter(|(_, rank)| rank.has_left());
        let Some((leaver, steps)) =
            left.map(|(number, rank)| (number, rank.standing.steps)).reduce(least)
        else {
            return;
        };
        let all_wait = running().all(|(_, rank)| rank.same_looks >= LOOKS);
        let waiting: Vec<u32> = running()
            .filter(|(_, rank)| {
                rank.same_looks >= LOOKS && (all_wait || is_ahead(rank.standing.steps, steps))
            })
            .map(|(number, _)| number)
            .collect();
        let who = match waiting[..] {
            [] => return,
            [rank] => format!("rank {rank} waits for it"),
            [first, ..] => {
                format!("{} ranks wait for it, the first is rank {first}", waiting.len())
            }
        };
        self.fail(status::PROTOCOL, format!("rank {leaver} left with status 0, but {who}"));
    }

    /// A rank that has ended without attaching leaves all that have attached waiting forever. Of
    /// those of other hosts nothing is known here.
    fn look_for_absent_ranks(&mut self) {
        if self.phase != JobPhase::Gathering || !self.ranks.iter().any(|rank| rank.attached) {
            return;
        }
        let is_absent =
            |rank: &KnownOfRank| matches!(rank.phase, RankPhase::Ended(_)) && !rank.attached;
        if let Some(rank) = self.ranks.iter().position(is_absent) {
            let cause =
                format!("rank {rank} ended before it attached, and other ranks wait for it");
            self.fail(status::PROTOCOL, cause);
        }
    }

    fn rank(&mut self, rank: u32, change: impl FnOnce(&mut KnownOfRank)) {
        if let Some(known) = self.ranks.get_mut(rank as usize) {
            change(known);
        }
    }

    fn fail(&mut self, status: u8, cause: String) {
        if self.ending().is_none() {
            self.phase = JobPhase::Over(JobEnding::failure(status, cause));
        }
    }

    /// The same, against everybody's will.
    fn accident(&mut self, status: u8, cause: String) {
        if self.ending().is_none() {
            let ending = JobEnding::failure(status, cause);
            self.phase = JobPhase::Over(JobEnding { is_accident: true, ..ending });
        }
    }

    /// The proxy of another host is lost. A part whose ranks have ended needs no other host: it may
    /// be one that has been told earlier that the job is over. Hosts whose ranks run lose it too.
    fn lose(&mut self, host: u32, cause: String) {
        if self.ending().is_none() && !self.ranks_have_ended() {
            let ending = JobEnding::failure(status::HOST, cause);
            let lost_host = Some(host);
            self.phase = JobPhase::Over(JobEnding { is_accident: true, lost_host, ..ending });
        }
    }
}

/// The status and the cause of a job in which a rank has ended in this way; `None` for an end that
/// is no failure.
fn failure(rank: u32, end: End, fatal: Option<&str>) -> Option<(u8, String)> {
    Some(match end {
        End::Exited(0) => return None,
        End::Exited(code) => (exit_byte(code), format!("rank {rank} exited with status {code}")),
        End::Signalled(signal) => (
            128u8.saturating_add(u8::try_from(signal).unwrap_or(0)),
            format!("rank {rank} was killed by signal {signal}{}", signal_name(signal)),
        ),
        End::Crashed => (status::CRASHED, crash(rank, fatal.unwrap_or("its kernel left no word"))),
        End::Silent => (status::HOST, format!("rank {rank} powered off without an exit status")),
        End::Stopped => (
            status::HOST,
            format!("rank {rank} stopped: its domain was suspended, rebooted or reset"),
        ),
        End::Vanished => {
            (status::HOST, format!("rank {rank} is gone: its domain was destroyed from outside"))
        }
    })
}

/// What is said of a rank that has crashed.
pub fn crash(rank: u32, cause: &str) -> String {
    format!("rank {rank} crashed: {cause}")
}

/// The part of an exit status that fits in a process's own. Failure stays failure.
fn exit_byte(code: i32) -> u8 {
    match u8::try_from(code) {
        Ok(code) => code,
        Err(_) if code & 0xff != 0 => (code & 0xff) as u8,
        Err(_) => 255,
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(verdict: &Verdict) -> (u8, &str) {
        let ending = verdict.ending().expect("the job has ended");
        (ending.status, ending.cause.as_deref().unwrap_or_default())
    }

    #[test]
    fn all_ranks_must_end_well() {
        let mut verdict = Verdict::new(2);
        verdict.ended(1, End::Exited(0));
        assert_eq!(verdict.ending(), None);
        verdict.ended(0, End::Exited(0));
        assert_eq!(cause(&verdict), (0, ""));
    }

    #[test]
    fn the_first_failure_decides() {
        let mut verdict = Verdict::new(3);
        verdict.ended(2, End::Exited(3));
        verdict.ended(1, End::Signalled(9));
        verdict.kill(KillReason::Interrupted);
        assert_eq!(cause(&verdict), (3, "rank 2 exited with status 3"));
        assert_eq!(verdict.exit_status(2), Some(3));
        assert_eq!(verdict.exit_status(1), None);
    }

    #[test]
    fn failure_stays_failure_in_eight_bits() {
        for (code, status) in [(256, 255), (-1, 255), (259, 3), (255, 255)] {
            let mut verdict = Verdict::new(1);
            verdict.ended(0, End::Exited(code));
            assert_eq!(cause(&verdict).0, status);
        }
    }

    #[test]
    fn a_crash_names_the_kernels_cause() {
        let mut verdict = Verdict::new(2);
        verdict.fatal(1, "panic at main.rs:3: boom".into());
        assert_eq!(verdict.ending(), None, "what a kernel says is no end");
        verdict.ended(1, End::Crashed);
        assert_eq!(cause(&verdict), (status::CRASHED, "rank 1 crashed: panic at main.rs:3: boom"));
        assert_eq!(verdict.silent_crash(), None);
        let mut verdict = Verdict::new(2);
        verdict.ended(0, End::Crashed);
        assert_eq!(cause(&verdict).1, "rank 0 crashed: its kernel left no word");
        assert_eq!(verdict.silent_crash(), Some(0));
        let mut verdict = Verdict::new(1);
        verdict.fatal(0, "only said so".into());
        verdict.ended(0, End::Exited(0));
        assert_eq!(cause(&verdict), (0, ""));
    }

    #[test]
    fn ranks_that_wait_for_one_that_has_ended_are_not_left_waiting() {
        let mut verdict = Verdict::new(2);
        verdict.attached(0);
        verdict.ended(1, End::Exited(0));
        assert_eq!(cause(&verdict).0, status::PROTOCOL);
        assert!(cause(&verdict).1.contains("rank 1"));
        let mut verdict = Verdict::new(2);
        verdict.ended(1, End::Exited(0));
        assert_eq!(verdict.ending(), None);
        verdict.attached(0);
        assert!(cause(&verdict).1.contains("rank 1"));
        let mut verdict = Verdict::new(2);
        verdict.attached(0);
        verdict.attached(1);
        verdict.engine(Notice::Open);
        verdict.ended(1, End::Exited(0));
        assert_eq!(verdict.ending(), None);
    }

    /// A job of three attached ranks of which rank 1 has left.
    fn left_by_one() -> Verdict {
        let mut verdict = Verdict::new(3);
        (0..3).for_each(|rank| verdict.attached(rank));
        verdict.engine(Notice::Open);
        assert!(!verdict.wants_standings());
        verdict.ended(1, End::Exited(0));
        assert!(verdict.wants_standings());
        verdict
    }

    fn standing(steps: u32, wait: Option<u32>) -> RankStanding {
        RankStanding { steps, wait }
    }

    #[test]
    fn a_rank_that_leaves_a_collective_out_fails_those_who_wait_there() {
        let mut verdict = left_by_one();
        let standings = [standing(5, Some(7)), standing(4, None), standing(4, None)];
        for _ in 1..LOOKS {
            verdict.standings(&standings);
            assert_eq!(verdict.ending(), None);
        }
        verdict.standings(&standings);
        assert_eq!(cause(&verdict), (122, "rank 1 left with status 0, but rank 0 waits for it"));
    }

    #[test]
    fn ranks_that_all_wait_wait_in_vain() {
        let mut verdict = left_by_one();
        for _ in 0..LOOKS {
            assert_eq!(verdict.ending(), None);
            verdict.standings(&[standing(4, Some(1)), standing(4, None), standing(4, Some(1))]);
        }
        let expected = "rank 1 left with status 0, but 2 ranks wait for it, the first is rank 0";
        assert_eq!(cause(&verdict), (122, expected));
    }

    #[test]
    fn a_rank_that_nobody_needs_may_leave() {
        let mut verdict = left_by_one();
        for wait in 0..10 * LOOKS {
            // One gets on, though it is found asleep whenever one looks; one computes.
            let now =
                [standing(u32::MAX, Some(2 * wait + 1)), standing(0, None), standing(0, None)];
            verdict.standings(&now);
        }
        for _ in 0..10 * LOOKS {
            // One waits, but not for all: somebody who runs may still come.
            verdict.standings(&[standing(0, Some(1)), standing(0, None), standing(0, None)]);
        }
        assert_eq!(verdict.ending(), None);
        verdict.ended(0, End::Exited(0));
        verdict.ended(2, End::Exited(0));
        assert!(!verdict.wants_standings());
        assert_eq!(cause(&verdict), (0, ""));
    }

    /// A part of a job of four ranks, of which 1 and 2 are here.
    fn part() -> Verdict {
        Verdict::of_part(4, |rank| [1, 2].contains(&rank))
    }

    #[test]
    fn a_part_is_over_when_the_whole_job_is() {
        let mut verdict = part();
        [1, 2].into_iter().for_each(|rank| verdict.attached(rank));
        verdict.engine(Notice::Open);
        verdict.ended(1, End::Exited(0));
        assert!(!verdict.ranks_have_ended() && !verdict.finish());
        verdict.ended(2, End::Exited(0));
        assert!(verdict.ranks_have_ended());
        assert_eq!(verdict.ending(), None);
        assert!(verdict.finish() && !verdict.ranks_have_ended());
        assert_eq!(verdict.ending(), Some(&JobEnding::success()));
        assert_eq!(
            [0, 1, 2, 3].map(|rank| verdict.exit_status(rank)),
            [None, Some(0), Some(0), None]
        );
    }

    #[test]
    fn a_part_of_all_ranks_is_over_when_it_is_told() {
        let mut verdict = Verdict::of_part(1, |_| true);
        verdict.ended(0, End::Exited(0));
        assert!(verdict.ranks_have_ended() && verdict.ending().is_none());
        assert!(verdict.finish());
        assert_eq!(cause(&verdict), (0, ""));
        // A whole job is not to be told.
        let mut verdict = Verdict::new(1);
        assert!(!verdict.finish());
        verdict.ended(0, End::Exited(0));
        assert!(!verdict.ranks_have_ended() && verdict.ending().is_some());
    }

    #[test]
    fn ranks_elsewhere_never_end_here() {
        let mut verdict = part();
        verdict.ended(0, End::Exited(3));
        verdict.ended(3, End::Crashed);
        assert_eq!((verdict.ending(), verdict.exit_status(0)), (None, None));
        verdict.timed_out(Duration::from_secs(5));
        let expected = "timed out after 5 s: 2 ranks had not ended, the first is rank 1";
        assert_eq!(cause(&verdict), (124, expected));
    }

    #[test]
    fn a_failure_ends_a_part_at_once() {
        let mut verdict = part();
        verdict.ended(1, End::Exited(3));
        assert_eq!(cause(&verdict), (3, "rank 1 exited with status 3"));
        // Also while it waits for the others, who know why the time is up.
        let mut verdict = part();
        [1, 2].into_iter().for_each(|rank| verdict.ended(rank, End::Exited(0)));
        verdict.timed_out(Duration::from_secs(5));
        assert!(verdict.ranks_have_ended());
        verdict.kill(KillReason::ClientGone);
        assert_eq!(cause(&verdict), (137, "pgas run is gone"));
        assert!(!verdict.ranks_have_ended());
    }

    #[test]
    fn a_rank_here_that_ended_before_it_attached_fails_those_that_wait_here() {
        let mut verdict = part();
        verdict.attached(2);
        assert_eq!(verdict.ending(), None, "ranks elsewhere may attach there");
        verdict.ended(1, End::Exited(0));
        assert_eq!(cause(&verdict).0, status::PROTOCOL);
        assert!(cause(&verdict).1.contains("rank 1"));
    }

    #[test]
    fn a_part_does_not_say_that_ranks_wait_in_vain() {
        let mut verdict = part();
        [1, 2].into_iter().for_each(|rank| verdict.attached(rank));
        verdict.engine(Notice::Open);
        verdict.ended(1, End::Exited(0));
        assert!(!verdict.wants_standings());
        for _ in 0..2 * LOOKS {
            verdict.standings(&[standing(5, Some(7)); 4]);
        }
        assert_eq!(verdict.ending(), None);
        // Where no rank is elsewhere all is known.
        let mut verdict = Verdict::of_part(2, |_| true);
        [0, 1].into_iter().for_each(|rank| verdict.attached(rank));
        verdict.engine(Notice::Open);
        verdict.ended(1, End::Exited(0));
        assert!(verdict.wants_standings());
    }

    #[test]
    fn a_lost_host_is_named_until_nobody_here_needs_it() {
        let lost = || Notice::HostLost { host: 3, why: "it has hung up".into() };
        let mut verdict = part();
        verdict.engine(lost());
        assert_eq!(cause(&verdict), (123, "the proxy of host 3 is gone: it has hung up"));
        let ending = verdict.ending().unwrap();
        assert_eq!((ending.is_accident, ending.lost_host), (true, Some(3)));
        let mut verdict = part();
        verdict.not_linked(0, "node1:7200", Duration::from_secs(60));
        let expected = "no link with the proxy at node1:7200 (host 0) in 60 s";
        assert_eq!(cause(&verdict), (123, expected));
        assert_eq!(verdict.ending().unwrap().lost_host, Some(0));
        // The first failure decides.
        verdict.engine(lost());
        assert_eq!(cause(&verdict), (123, expected));
        let mut verdict = part();
        verdict.ended(1, End::Crashed);
        verdict.engine(lost());
        assert_eq!((cause(&verdict).0, verdict.ending().unwrap().lost_host), (134, None));
        let mut verdict = part();
        [1, 2].into_iter().for_each(|rank| verdict.ended(rank, End::Exited(0)));
        verdict.engine(lost());
        assert!(verdict.ranks_have_ended() && verdict.finish());
        assert_eq!(cause(&verdict), (0, ""));
    }

    #[test]
    fn other_failures_name_rank_and_cause() {
        let mut verdict = Verdict::new(2);
        verdict.engine(Notice::Violation {
            rank: 1,
            cause: "bad ring entry: unknown opcode 77".into(),
        });
        assert_eq!(
            cause(&verdict),
            (122, "rank 1 broke the protocol: bad ring entry: unknown opcode 77")
        );
        let mut verdict = Verdict::new(2);
        verdict.attach_refused(1, &BadAttach::rank("it is not text"));
        assert_eq!(cause(&verdict), (122, "rank 1 broke the protocol: bad attach: it is not text"));
        let mut verdict = Verdict::new(2);
        verdict.attach_refused(1, &BadAttach::host("no memory"));
        assert_eq!(cause(&verdict), (123, "rank 1 could not be attached: no memory"));
        let mut verdict = Verdict::new(2);
        verdict.ended(1, End::Exited(0));
        verdict.timed_out(Duration::from_secs(5));
        assert_eq!(cause(&verdict), (124, "timed out after 5 s: rank 0 had not ended"));
        let mut verdict = Verdict::new(2);
        verdict.ended(1, End::Signalled(11));
        assert_eq!(cause(&verdict), (139, "rank 1 was killed by signal 11 (SIGSEGV)"));
    }
}

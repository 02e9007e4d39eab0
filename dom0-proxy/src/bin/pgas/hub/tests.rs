//! Tests of the merged job: each rule, and hosts that do well or die at any moment.

use std::collections::VecDeque;

use dom0_proxy::control::{
    ClientRequest, LineReport, OutputPiece, OutputStream, RankSignal, Reply, Summary,
};
use dom0_proxy::error::status;
use proptest::prelude::*;

use super::ending::tests::summary;
use super::merge::{Heard, Merge, Said};

fn merge(hosts: usize) -> Merge {
    let names = ["a", "b", "c"].map(String::from)[..hosts].to_vec();
    Merge::new("job".into(), names, (0..hosts as u32).collect())
}

/// A job that has started on all of its hosts.
fn started(hosts: usize) -> Merge {
    let mut merge = merge(hosts);
    for host in 0..hosts {
        merge.hear(Heard::Reply(host, Reply::Started("job".into())));
    }
    merge
}

fn piece(rank: u32, length: usize) -> OutputPiece {
    OutputPiece { rank, stream: OutputStream::Output, at: 0, bytes: vec![b'x'; length] }
}

fn to_user(reply: Reply) -> Said {
    Said::ToUser(reply)
}

fn to_all(hosts: usize, request: &ClientRequest) -> Vec<Said> {
    (0..hosts).map(|host| Said::ToHost(host, request.clone())).collect()
}

fn ended(status: u8, cause: Option<&str>) -> Reply {
    Reply::Ended(summary(status, cause, None))
}

/// The one summary among what is said.
fn end(said: Vec<Said>) -> Summary {
    let ends = said.into_iter().filter_map(|said| match said {
        Said::ToUser(Reply::Ended(summary)) => Some(summary),
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    assert_eq!(ends.len(), 1);
    ends.into_iter().next().unwrap()
}

#[test]
fn the_job_starts_once_all_hosts_have_it() {
    let mut merge = merge(2);
    let early = Reply::Output(piece(1, 1));
    assert_eq!(merge.hear(Heard::Reply(1, Reply::Started("job".into()))), []);
    assert_eq!(merge.hear(Heard::Reply(1, early.clone())), []);
    let said = merge.hear(Heard::Reply(0, Reply::Started("job".into())));
    assert_eq!(said, [to_user(Reply::Started("job".into())), to_user(early)]);
}

#[test]
fn ranks_that_are_up_are_added() {
    let mut merge = started(2);
    for (host, up, all) in [(0, 2, 2), (1, 1, 3), (0, 3, 4), (1, 1, 4)] {
        assert_eq!(merge.hear(Heard::Reply(host, Reply::Up(up))), [to_user(Reply::Up(all))]);
    }
}

#[test]
fn it_runs_when_all_parts_do() {
    let mut merge = started(2);
    assert_eq!(merge.hear(Heard::Reply(0, Reply::Running)), []);
    assert_eq!(merge.hear(Heard::Reply(0, Reply::Running)), []);
    assert_eq!(merge.hear(Heard::Reply(1, Reply::Running)), [to_user(Reply::Running)]);
}

#[test]
fn what_is_taken_goes_back_to_where_it_came_from() {
    let mut merge = started(2);
    for (host, length) in [(0, 10), (1, 20), (0, 30)] {
        let output = Reply::Output(piece(host as u32, length));
        assert_eq!(merge.hear(Heard::Reply(host, output.clone())), [to_user(output)]);
    }
    let taken =
        |merge: &mut Merge, weight| merge.hear(Heard::Request(ClientRequest::Taken(weight)));
    let told = |host, weight| Said::ToHost(host, ClientRequest::Taken(weight));
    assert_eq!(taken(&mut merge, 1034 + 44), [told(0, 1034), told(1, 44)]);
    assert_eq!(taken(&mut merge, 5000), [told(1, 1000), told(0, 1054)]);
    // A line that was told of goes back the same way.
    merge.hear(Heard::Reply(1, Reply::Saved(LineReport::default())));
    let passed_on = Heard::Request(ClientRequest::TakenReport);
    assert_eq!(merge.hear(passed_on.clone()), [Said::ToHost(1, ClientRequest::TakenReport)]);
    assert_eq!(merge.hear(passed_on), []);
}

#[test]
fn notices_name_their_host_if_there_are_several() {
    let notice = || Reply::Notice("low on memory".into());
    let said = started(2).hear(Heard::Reply(1, notice()));
    assert_eq!(said, [to_user(Reply::Notice("host b: low on memory".into()))]);
    assert_eq!(started(1).hear(Heard::Reply(0, notice())), [to_user(notice())]);
}

#[test]
fn what_the_user_asks_reaches_all_hosts() {
    let mut merge = started(2);
    for request in
        [ClientRequest::Signal(RankSignal::User1), ClientRequest::Leave, ClientRequest::Interrupt]
    {
        assert_eq!(merge.hear(Heard::Request(request.clone())), to_all(2, &request));
    }
    assert_eq!(merge.hear(Heard::Request(ClientRequest::List)), []);
    // Each host has been interrupted already.
    let said = merge.hear(Heard::Reply(1, ended(status::INTERRUPTED, Some("interrupted"))));
    assert_eq!(said, []);
    let said = merge.hear(Heard::Reply(0, ended(status::INTERRUPTED, Some("interrupted"))));
    let summary = end(said);
    assert_eq!(summary.cause.as_deref(), Some("interrupted"));
    assert_eq!(summary.status, status::INTERRUPTED);
}

#[test]
fn memory_of_ranks_goes_when_all_have_ended() {
    let mut merge = started(2);
    assert_eq!(merge.hear(Heard::Reply(1, Reply::RanksEnded)), []);
    assert_eq!(merge.hear(Heard::Reply(1, Reply::RanksEnded)), []);
    let said = merge.hear(Heard::Reply(0, Reply::RanksEnded));
    assert_eq!(said, to_all(2, &ClientRequest::Finish));
    assert_eq!(merge.hear(Heard::Reply(0, ended(0, None))), []);
    let summary = end(merge.hear(Heard::Reply(1, ended(0, None))));
    assert_eq!((summary.job.as_str(), summary.status, summary.cause), ("job", 0, None));
    assert!(merge.is_over());
    assert_eq!(merge.hear(Heard::Reply(1, ended(3, None))), []);
}

#[test]
fn a_failure_ends_the_others() {
    let mut merge = started(3);
    let said = merge.hear(Heard::Reply(1, ended(3, Some("rank 1 ended with 3"))));
    let interrupt = |host| Said::ToHost(host, ClientRequest::Interrupt);
    assert_eq!(said, [interrupt(0), interrupt(2)]);
    let interrupted = || ended(status::INTERRUPTED, Some("interrupted"));
    assert_eq!(merge.hear(Heard::Reply(0, interrupted())), []);
    let summary = end(merge.hear(Heard::Reply(2, interrupted())));
    assert_eq!((summary.status, summary.cause.as_deref()), (3, Some("rank 1 ended with 3")));
}

#[test]
fn a_refusal_ends_the_others_and_names_its_host() {
    let mut merge = merge(2);
    let refusal = Reply::Refused { status: status::HOST, text: "no Xen".into() };
    let said = merge.hear(Heard::Reply(1, refusal));
    assert_eq!(said, [Said::ToHost(0, ClientRequest::Interrupt)]);
    merge.hear(Heard::Reply(0, Reply::Started("job".into())));
    let said = merge.hear(Heard::Reply(0, ended(status::INTERRUPTED, Some("interrupted"))));
    let text = "host b: no Xen".into();
    assert_eq!(said, [to_user(Reply::Refused { status: status::HOST, text })]);
    assert!(merge.is_over());
}

#[test]
fn a_lost_host_ends_the_others_and_is_named() {
    for heard in [
        Heard::Lost(0, "reset".into()),
        Heard::TooLong(0),
        Heard::Reply(0, Reply::Jobs(Vec::new())),
    ] {
        let mut merge = started(2);
        let said = merge.hear(heard.clone());
        let expected = [Said::HangUp(0), Said::ToHost(1, ClientRequest::Interrupt)];
        assert_eq!(said, expected, "{heard:?}");
        // It is not listened to any more.
        assert_eq!(merge.hear(heard), []);
        let said = merge.hear(Heard::Reply(1, ended(status::INTERRUPTED, Some("interrupted"))));
        let summary = end(said);
        assert!(summary.cause.unwrap().starts_with("the proxy of host a is gone: "));
        assert_eq!(summary.status, status::DAEMON_LOST);
    }
}

#[test]
fn a_host_that_is_lost_besides_is_not_concealed() {
    let mut merge = started(2);
    merge.hear(Heard::Reply(0, ended(3, Some("rank 0 ended with 3"))));
    let said = merge.hear(Heard::TooLong(1));
    let line = "the proxy of host b is gone: it has not ended its ranks in time";
    assert_eq!(said[..2], [Said::HangUp(1), to_user(Reply::Notice(line.into()))]);
    assert_eq!(end(said).status, 3);
}

#[test]
fn a_job_that_ends_before_it_has_started_everywhere_has_started_for_the_user() {
    let mut merge = merge(2);
    merge.hear(Heard::Reply(0, Reply::Started("job".into())));
    merge.hear(Heard::Reply(0, Reply::Output(piece(0, 1))));
    merge.hear(Heard::Lost(1, "reset".into()));
    let said = merge.hear(Heard::Reply(0, ended(status::INTERRUPTED, Some("interrupted"))));
    let before = [Reply::Started("job".into()), Reply::Output(piece(0, 1))].map(to_user);
    assert_eq!(said[..2], before);
    assert_eq!(end(said).status, status::DAEMON_LOST);
}

/// What becomes of a host, unless it is interrupted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Ends,
    Fails,
    Dies,
    Refuses,
    Hangs,
}

/// A host's proxy as it behaves.
#[derive(Debug)]
struct Model {
    host: usize,
    fate: Fate,
    /// What it says one after the other, up to its fate.
    script: VecDeque<Reply>,
    has_started: bool,
    has_told: bool,
    is_interrupted: bool,
    may_finish: bool,
    is_over: bool,
    sent: u64,
    taken: u64,
    /// Lengths of what it has written, and of what of it has reached the user.
    written: Vec<usize>,
    shown: Vec<usize>,
}

impl Model {
    fn new(host: usize, fate: Fate, lengths: &[usize]) -> Self {
        let mut script: VecDeque<_> = [Reply::Started("job".into()), Reply::Up(1)].into();
        script.extend(lengths.iter().map(|length| Reply::Output(piece(host as u32, *length))));
        script.insert(script.len().min(3), Reply::Running);
        Self {
            host,
            fate,
            script,
            has_started: false,
            has_told: false,
            is_interrupted: false,
            may_finish: false,
            is_over: false,
            sent: 0,
            taken: 0,
            written: Vec::new(),
            shown: Vec::new(),
        }
    }

    fn take(&mut self, request: &ClientRequest) {
        assert!(!self.is_over, "nothing is said to a host that has ended");
        match request {
            ClientRequest::Interrupt => self.is_interrupted = true,
            ClientRequest::Finish => self.may_finish = true,
            ClientRequest::Taken(weight) => self.taken += weight,
            other => panic!("{other:?}"),
        }
    }

    /// The next thing that is heard of it, if there is any.
    fn step(&mut self) -> Option<Heard> {
        if self.is_over {
            return None;
        }
        if self.fate == Fate::Refuses {
            return self.end(Reply::Refused { status: status::HOST, text: "no".into() });
        }
        if self.is_interrupted && self.has_started {
            return match self.fate {
                Fate::Hangs => self.lose(Heard::TooLong(self.host)),
                _ => self.end(ended(status::INTERRUPTED, Some("interrupted"))),
            };
        }
        if let Some(reply) = self.script.pop_front() {
            self.has_started = true;
            if let Reply::Output(piece) = &reply {
                self.sent += piece.weight();
                self.written.push(piece.bytes.len());
            }
            return Some(Heard::Reply(self.host, reply));
        }
        match self.fate {
            Fate::Fails => self.end(ended(3, Some("a rank ended with 3"))),
            Fate::Dies => self.lose(Heard::Lost(self.host, "reset".into())),
            Fate::Ends if !std::mem::replace(&mut self.has_told, true) => {
                Some(Heard::Reply(self.host, Reply::RanksEnded))
            }
            Fate::Ends if self.may_finish && self.taken == self.sent => self.end(ended(0, None)),
            Fate::Ends | Fate::Hangs | Fate::Refuses => None,
        }
    }

    fn end(&mut self, reply: Reply) -> Option<Heard> {
        self.is_over = true;
        Some(Heard::Reply(self.host, reply))
    }

    fn lose(&mut self, heard: Heard) -> Option<Heard> {
        self.is_over = true;
        Some(heard)
    }
}

/// A user's side, hosts, and the hub between them.
struct World {
    merge: Merge,
    hosts: Vec<Model>,
    /// Weight that the user's side has not said it has taken.
    untaken: u64,
    replies: Vec<Reply>,
    is_interrupted: bool,
}

impl World {
    fn hear(&mut self, heard: Heard) {
        for said in self.merge.hear(heard) {
            match said {
                Said::ToUser(reply) => {
                    if let Reply::Output(piece) = &reply {
                        self.untaken += piece.weight();
                        self.hosts[piece.rank as usize].shown.push(piece.bytes.len());
                    }
                    self.replies.push(reply);
                }
                Said::ToHost(host, request) => {
                    if request == ClientRequest::Finish {
                        assert!(self.hosts.iter().all(|host| host.has_told));
                    }
                    self.hosts[host].take(&request);
                }
                Said::HangUp(host) => assert!(self.hosts[host].is_over),
            }
        }
    }

    fn step(&mut self, host: usize) -> bool {
        let heard = self.hosts[host].step();
        let is_some = heard.is_some();
        heard.into_iter().for_each(|heard| self.hear(heard));
        is_some
    }

    fn take(&mut self, most: u64) -> bool {
        let weight = most.min(self.untaken);
        self.untaken -= weight;
        if weight > 0 {
            self.hear(Heard::Request(ClientRequest::Taken(weight)));
        }
        weight > 0
    }

    fn interrupt(&mut self) {
        self.is_interrupted = true;
        self.hear(Heard::Request(ClientRequest::Interrupt));
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Ends),
        1 => Just(Fate::Fails),
        1 => Just(Fate::Dies),
        1 => Just(Fate::Refuses),
        1 => Just(Fate::Hangs),
    ]
}

proptest! {
    #[test]
    fn there_is_one_end_and_nothing_is_lost(
        hosts in proptest::collection::vec(
            (fate(), proptest::collection::vec(0_usize..2000, 0..6)), 2..4
        ),
        choices in proptest::collection::vec(any::<u16>(), 0..80),
    ) {
        let count = hosts.len();
        let fates: Vec<Fate> = hosts.iter().map(|(fate, _)| *fate).collect();
        let model = |(host, (fate, lengths)): (usize, &(Fate, Vec<usize>))| {
            Model::new(host, *fate, lengths)
        };
        let mut world = World {
            merge: merge(count),
            hosts: hosts.iter().enumerate().map(model).collect(),
            untaken: 0,
            replies: Vec::new(),
            is_interrupted: false,
        };
        for choice in choices {
            match usize::from(choice) % 32 {
                0 => world.interrupt(),
                1..8 => drop(world.take(u64::from(choice))),
                other => drop(world.step(other % count)),
            }
        }
        while !world.merge.is_over() {
            let mut has_gone_on = world.take(700);
            for host in 0..count {
                has_gone_on |= world.step(host);
            }
            if !has_gone_on && !world.merge.is_over() {
                prop_assert!(!world.is_interrupted, "stuck: {:?}", world.hosts);
                prop_assert!(fates.contains(&Fate::Hangs), "stuck: {:?}", world.hosts);
                world.interrupt();
            }
        }
        // Whatever comes then is said to nobody.
        for host in 0..count {
            let late = world.merge.hear(Heard::Lost(host, "late".into()));
            prop_assert_eq!(late, []);
        }
        let (last, before) = world.replies.split_last().unwrap();
        let is_final = |reply: &Reply| matches!(reply, Reply::Ended(_) | Reply::Refused { .. });
        prop_assert!(is_final(last) && !before.iter().any(is_final));
        let is_start = |reply: &Reply| matches!(reply, Reply::Started(_));
        prop_assert_eq!(before.iter().filter(|reply| is_start(reply)).count(), before.len().min(1));
        prop_assert!(before.first().is_none_or(is_start));
        for host in &world.hosts {
            prop_assert!(host.is_over && host.taken <= host.sent);
            if matches!(last, Reply::Ended(_)) {
                prop_assert_eq!(&host.shown, &host.written);
            }
        }
        let is_good = !world.is_interrupted && fates.iter().all(|fate| *fate == Fate::Ends);
        match last {
            Reply::Ended(summary) if is_good => {
                prop_assert_eq!((summary.status, &summary.cause), (0, &None));
                prop_assert!(world.hosts.iter().all(|host| host.taken == host.sent));
            }
            Reply::Ended(summary) if !world.is_interrupted => {
                prop_assert!(summary.status != 0 && summary.status != status::INTERRUPTED);
                prop_assert!(summary.cause.is_some());
            }
            Reply::Refused { text, .. } => {
                prop_assert!(fates.contains(&Fate::Refuses));
                prop_assert!(text.starts_with("host "));
            }
            _ => {}
        }
    }
}

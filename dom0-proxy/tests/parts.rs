//! Parts of jobs over several hosts, as one daemon sees them: the test speaks to it as `pgas` does.

#[path = "support/host.rs"]
mod host;

use std::os::unix::net::UnixStream;
use std::path::Path;

use dom0_proxy::control::{
    ClientRequest, Hello, InputFor, JobSpec, Part, RankKind, Reply, Saving, Summary, VERSION,
    Welcome,
};
use dom0_proxy::inheritance::Inheritance;

use host::{Host, wait_until};

fn test_rank() -> String {
    let path = Path::new(env!("CARGO_BIN_EXE_pgas")).with_file_name("examples").join("test_rank");
    assert!(path.is_file(), "build it first: cargo build -p dom0-proxy --example test_rank");
    path.to_str().unwrap().to_owned()
}

/// A part of job `job`, for host `host`, of ranks that do as `mode` says.
fn part(job: &str, host: u32, placement: &[u32], mode: &str) -> JobSpec {
    // Nobody listens there.
    let addresses = vec!["127.0.0.1:1".into(), "127.0.0.1:2".into()];
    let secret = serde_json::from_str(&format!("{:?}", [7u8; 32])).unwrap();
    let placement = placement.to_vec();
    JobSpec {
        kind: RankKind::Hosted,
        size: placement.len() as u32,
        memory: 16 << 20,
        image: test_rank().into(),
        args: vec![mode.into()],
        files: Vec::new(),
        environment: Vec::new(),
        directory: "/".into(),
        inheritance: Inheritance::default(),
        input: InputFor::Nobody,
        timeout: None,
        saving: None,
        after: None,
        part: Some(Part { job: job.into(), host, placement, addresses, secret }),
    }
}

/// A client of a daemon that has asked for a job.
struct Client(UnixStream);

impl Client {
    fn run(host: &Host, spec: JobSpec) -> Self {
        let stream = UnixStream::connect(host.path().join("proxy.sock")).unwrap();
        message_frame::send(&stream, &Hello { version: VERSION }).unwrap();
        let welcome: Welcome = message_frame::receive(&stream).unwrap().unwrap();
        assert_eq!(welcome.version, VERSION);
        let client = Self(stream);
        client.say(&ClientRequest::Run(spec));
        client
    }

    fn say(&self, request: &ClientRequest) {
        message_frame::send(&self.0, request).unwrap();
    }

    /// What the daemon says next, but for output, which is taken.
    fn hear(&self) -> Reply {
        loop {
            match message_frame::receive(&self.0).unwrap().unwrap() {
                Reply::Output(piece) => self.say(&ClientRequest::Taken(piece.weight())),
                reply => return reply,
            }
        }
    }

    /// All that it says until the job has ended or is refused.
    fn hear_all(&self) -> Vec<Reply> {
        let mut heard = Vec::new();
        loop {
            heard.push(self.hear());
            if let Some(Reply::Ended(_) | Reply::Refused { .. }) = heard.last() {
                return heard;
            }
        }
    }

    fn refused(&self) -> String {
        match &self.hear_all()[..] {
            [Reply::Refused { text, .. }] => text.clone(),
            heard => panic!("{heard:?}"),
        }
    }

    fn ended(&self) -> Summary {
        match self.hear_all().pop() {
            Some(Reply::Ended(summary)) => summary,
            heard => panic!("{heard:?}"),
        }
    }
}

/// Nothing of any job is left but logs.
fn assert_clean(host: &Host, (files, threads): (usize, usize)) {
    wait_until("the end of all records", || {
        std::fs::read_dir(host.path().join("jobs")).unwrap().next().is_none()
    });
    wait_until("that all files and threads are given back", || {
        (host.count("fd"), host.count("task")) == (files, threads)
    });
}

#[test]
fn a_part_whose_ranks_have_ended_waits_to_be_told() {
    let mut host = Host::new("");
    let before = host.idle();
    let client = Client::run(&host, part("abcdef", 1, &[1, 1], "behave"));
    let mut heard = Vec::new();
    while heard.last() != Some(&Reply::RanksEnded) {
        let reply = client.hear();
        assert!(!matches!(reply, Reply::Ended(_) | Reply::Refused { .. }), "{reply:?}");
        heard.push(reply);
    }
    assert_eq!(heard.first(), Some(&Reply::Started("abcdef".into())));
    assert!(heard.contains(&Reply::Up(2)) && heard.contains(&Reply::Running), "{heard:?}");
    assert_eq!(host.jobs(), ["abcdef"]);
    let again = Client::run(&host, part("abcdef", 1, &[1], "behave"));
    assert!(again.refused().starts_with("job abcdef runs here already"));
    client.say(&ClientRequest::Finish);
    let summary = client.ended();
    assert_eq!((summary.status, summary.cause, summary.lost_host), (0, None, None));
    assert!(summary.ranks.iter().all(|rank| rank.status == Some(0) && rank.output.bytes > 0));
    drop((client, again));
    assert_clean(&host, before);
    let logs = Client::run(&host, part("abcdef", 1, &[1], "behave"));
    assert!(logs.refused().ends_with("left its logs: try again"));
    host.assert_daemon_runs();
}

#[test]
fn a_part_of_which_a_rank_fails_ends_at_once() {
    let host = Host::new("");
    // Rank 0 is elsewhere, and never comes.
    let client = Client::run(&host, part("abcdef", 0, &[1, 0, 0], "absent"));
    let summary = client.ended();
    assert_eq!(summary.status, 122, "{summary:?}");
    let cause = summary.cause.unwrap();
    assert_eq!(cause, "rank 1 ended before it attached, and other ranks wait for it");
    assert_eq!(summary.ranks.len(), 3);
    assert_eq!((summary.ranks[0].status, summary.ranks[0].memory), (None, 0));
    let logs = host.path().join("log/abcdef");
    assert!(!logs.join("rank-0.log").exists() && logs.join("rank-2.log").exists());
    assert_eq!(host.jobs(), [""; 0]);
}

#[test]
fn what_one_daemon_ends_of_a_job_is_its_own_part() {
    let [mut one, other] = ["", ""].map(Host::new);
    let stays = Client::run(&one, part("abcdef", 0, &[0, 0], "hang"));
    while stays.hear() != Reply::Up(2) {}
    assert_eq!(Client::run(&other, part("abcdef", 1, &[1, 1], "exit")).ended().status, 3);
    assert_eq!(one.jobs(), ["abcdef"]);
    stays.say(&ClientRequest::Interrupt);
    // None of its ranks was killed with those of the other.
    let summary = stays.ended();
    assert_eq!((summary.status, summary.cause.as_deref()), (130, Some("interrupted")));
    one.assert_daemon_runs();
}

#[test]
fn parts_that_make_no_sense_are_refused_in_one_line() {
    let mut host = Host::new("");
    let behave = |placement: &[u32]| part("abcdef", 0, placement, "behave");
    let saving = Saving { directory: "/x".into(), every: None, keep: 1 };
    for (spec, why) in [
        (behave(&[0, 2]), "rank 1 is said to run on host 2 of 2"),
        (behave(&[1, 1]), "no rank runs on this host"),
        (JobSpec { size: 3, ..behave(&[0, 1]) }, "of 2 ranks where they run, and there are 3"),
        (part("../abc", 0, &[0], "behave"), "not six digits of base 16"),
        (
            JobSpec { saving: Some(saving), ..behave(&[0, 1]) },
            "recovery lines over several hosts are still to come",
        ),
    ] {
        let refused = Client::run(&host, spec).refused();
        assert!(refused.contains(why) && refused.lines().count() == 1, "{refused}");
    }
    assert_eq!(host.jobs(), [""; 0]);
    host.assert_daemon_runs();
}

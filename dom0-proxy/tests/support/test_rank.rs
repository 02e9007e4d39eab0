//! A hosted rank for the proxy's own tests: does what its argument says, if it is the rank to do
//! so.
//!
//! `test_rank MODE [RANK]`: rank RANK (default 1) misbehaves as MODE says, the others behave: they
//! attach and wait for all.

mod raw_rank;

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};
use std::sync::atomic::Ordering;
use std::time::Duration;

use armci_nostd::Sender;
use armci_nostd::wire::Request;
use raw_rank::{END, PUBLIC, RawRank, put, send_attach};

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("${name} is not set: start this with pgas run --hosted"))
}

fn main() -> ExitCode {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let rank: u32 = variable("XENOLITH_RANK").parse().expect("a rank");
    let culprit = match mode.as_str() {
        "intruder" => rank,
        _ => std::env::args().nth(2).map_or(1, |word| word.parse().expect("a rank")),
    };
    println!("rank {rank} is up");
    match mode.as_str() {
        // All of them take two seconds.
        "pace" => {
            let armci = armci_nostd::hosted::attach().expect("attach");
            for _ in 0..200 {
                std::thread::sleep(Duration::from_millis(10));
                armci.barrier().expect("barrier");
            }
            return ExitCode::SUCCESS;
        }
        "early" if rank != culprit => {
            // All talk with each other, and one goes on alone for a while.
            let armci = armci_nostd::hosted::attach().expect("attach");
            armci.barrier().expect("barrier");
            if rank == 0 {
                std::thread::sleep(Duration::from_secs(1));
                armci.send(2, 1, &[1u64]).expect("send");
            } else {
                armci.receive(Sender::Rank(0), Some(1), &mut [0u64]).expect("receive");
            }
            return ExitCode::SUCCESS;
        }
        _ if rank != culprit => {
            let armci = armci_nostd::hosted::attach().expect("attach");
            // Ranks that wait for the culprit; where it behaves they all go on.
            armci.barrier().expect("barrier");
            armci.barrier().expect("barrier");
            return ExitCode::SUCCESS;
        }
        "behave" => {
            let armci = armci_nostd::hosted::attach().expect("attach");
            armci.barrier().expect("barrier");
            armci.barrier().expect("barrier");
        }
        "environment" => {
            let armci = armci_nostd::hosted::attach().expect("attach");
            println!("MARK={:?} directory={:?}", std::env::var("MARK"), std::env::current_dir());
            println!("files={}", variable("XENOLITH_FILES"));
            armci.barrier().expect("barrier");
            armci.barrier().expect("barrier");
        }
        "exit" => {
            let armci = armci_nostd::hosted::attach().expect("attach");
            armci.barrier().expect("barrier");
            eprintln!("last words");
            return ExitCode::from(3);
        }
        "abort" => {
            let armci = armci_nostd::hosted::attach().expect("attach");
            armci.barrier().expect("barrier");
            std::process::abort();
        }
        "leave" | "early" => {
            let armci = armci_nostd::hosted::attach().expect("attach");
            armci.barrier().expect("barrier");
            return ExitCode::SUCCESS;
        }
        "absent" => return ExitCode::SUCCESS,
        "intruder" => {
            // Its second argument is another job.
            let job = std::env::args().nth(2).expect("a job");
            let stream = UnixStream::connect(variable("XENOLITH_SOCKET")).expect("connect");
            send_attach(&stream, &RawRank::new(), &job, 1);
            let mut reply = Vec::new();
            (&stream).read_to_end(&mut reply).expect("an answer");
            println!("{}", String::from_utf8_lossy(&reply));
        }
        "hang" => {
            // A child of its own, which must not outlive the job.
            let mut child = Command::new("sleep").arg("600").spawn().expect("sleep");
            child.wait().expect("sleep");
        }
        "chatter" => loop {
            println!("{}", "chatter ".repeat(20));
        },
        _ => return misbehave(&mode, rank),
    }
    ExitCode::SUCCESS
}

/// Attaches by hand and writes what no rank should.
fn misbehave(mode: &str, number: u32) -> ExitCode {
    let rank = RawRank::new();
    let stream = UnixStream::connect(variable("XENOLITH_SOCKET")).expect("connect");
    let number = if mode == "impostor" { 0 } else { number };
    if mode == "unsealed" {
        let [_, to_proxy, to_rank] = rank.descriptors();
        let frame =
            armci_nostd::wire::attach::encode(&RawRank::message(&variable("XENOLITH_JOB"), number));
        raw_rank::send_with_descriptors(
            &stream,
            &frame.expect("a frame"),
            &[to_proxy, to_proxy, to_rank],
        );
    } else if mode == "large" {
        let mut attach = RawRank::message(&variable("XENOLITH_JOB"), number);
        attach.layout.len = 1 << 40;
        let frame = armci_nostd::wire::attach::encode(&attach).expect("a frame");
        raw_rank::send_with_descriptors(&stream, &frame, &rank.descriptors());
    } else {
        send_attach(&stream, &rank, &variable("XENOLITH_JOB"), number);
    }
    if mode == "twice" {
        let again = UnixStream::connect(variable("XENOLITH_SOCKET")).expect("connect");
        send_attach(&again, &RawRank::new(), &variable("XENOLITH_JOB"), number);
        std::thread::sleep(Duration::from_secs(600));
    }
    raw_rank::wait_until("attachment", || rank.state() == armci_nostd::wire::JobState::Attached);
    match mode {
        "opcode" => rank.submit(&[Request { opcode: 77, ..put(0, PUBLIC, PUBLIC, 8) }]),
        "foreign" => rank.submit(&[put(1000, PUBLIC, PUBLIC, 8)]),
        "range" => rank.submit(&[put(number, END - 4, PUBLIC, 8)]),
        "wrap" => rank.submit(&[put(number, PUBLIC, PUBLIC, u64::MAX - 7)]),
        "jump" => {
            rank.header().submission_tail.0.store(5000, Ordering::Release);
            rank.ring();
        }
        _ => panic!("unknown mode {mode}"),
    }
    std::thread::sleep(Duration::from_secs(600));
    ExitCode::SUCCESS
}

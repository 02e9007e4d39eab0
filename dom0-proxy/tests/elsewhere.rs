//! Jobs over several hosts: an engine each, as if it were another machine, and TCP between them.

#[path = "support/raw_rank.rs"]
mod raw_rank;

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use armci_nostd::shared::lock::TargetLock;
use armci_nostd::wire::{AccKind, Flags, JobState, Opcode, Request, RmwKind, Status};
use dom0_proxy::attach::hosted;
use dom0_proxy::engine::{Engine, Notice, OrderError, Pause, Placement};
use raw_rank::{BASE, END, PUBLIC, RawRank, put, send_attach, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

/// One host of a job, and its ranks with their numbers.
struct Host {
    engine: Engine,
    notices: Receiver<Notice>,
    ranks: Vec<(u32, RawRank)>,
    _streams: Vec<UnixStream>,
}

impl Host {
    fn notice(&self) -> Notice {
        self.notices.recv_timeout(PATIENCE).expect("the engine says something")
    }
}

fn streams() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (dialled, listener.accept().unwrap().0)
}

/// The host of that number, with its ranks, and no connections.
fn host(number: u32, of: &[u32]) -> Host {
    let (tell, notices) = channel();
    let placement = Placement { host: number, of: of.to_vec() };
    let tell = move |notice| drop(tell.send(notice));
    let engine = Engine::start_part("test", placement, Pause::Yield, tell).unwrap();
    let here = (0u32..).zip(of).filter(|(_, host)| **host == number);
    let ranks: Vec<_> = here.map(|(rank, _)| (rank, RawRank::new())).collect();
    let mut streams = Vec::new();
    for (rank, raw) in &ranks {
        let (ours, theirs) = UnixStream::pair().unwrap();
        send_attach(&theirs, raw, "test", *rank);
        engine.attach(*rank, hosted::receive(&ours).unwrap().accept(&ours).unwrap());
        streams.push(theirs);
    }
    Host { engine, notices, ranks, _streams: streams }
}

/// A job that runs, with ranks on hosts as that says.
fn job(of: &[u32]) -> Vec<Host> {
    let count = of.iter().max().unwrap() + 1;
    let hosts: Vec<Host> = (0..count).map(|number| host(number, of)).collect();
    for lower in 0..count {
        for upper in lower + 1..count {
            let (one, other) = streams();
            hosts[lower as usize].engine.link(upper, one);
            hosts[upper as usize].engine.link(lower, other);
        }
    }
    for host in &hosts {
        assert_eq!(host.notice(), Notice::Open);
    }
    hosts
}

fn get(rank: u32, remote: u64, local: u64, len: u64) -> Request {
    Request { opcode: Opcode::Get as u8, ..put(rank, remote, local, len) }
}

fn fence(rank: u32) -> Request {
    Request { opcode: Opcode::Fence as u8, ..put(rank, 0, 0, 0) }
}

#[test]
fn every_operation_is_done_on_another_host_and_answered() {
    let hosts = job(&[0, 1]);
    let ((_, a), (_, b)) = (&hosts[0].ranks[0], &hosts[1].ranks[0]);
    a.set_word(PUBLIC, 11);
    assert_eq!(a.run(put(1, PUBLIC + 64, PUBLIC, 8)).status, Status::Ok as u32);
    a.run(get(1, PUBLIC + 64, PUBLIC + 8, 8));
    assert_eq!(a.word(PUBLIC + 8), 11);
    a.run(Request {
        opcode: Opcode::Accumulate as u8,
        kind: AccKind::Long as u8,
        operand: [3, 0],
        ..put(1, PUBLIC + 64, PUBLIC, 8)
    });
    let add = Request {
        opcode: Opcode::ReadModifyWrite as u8,
        kind: RmwKind::FetchAdd64 as u8,
        operand: [2, 0],
        ..put(1, PUBLIC + 64, 0, 8)
    };
    assert_eq!(a.run(add).value, 44);
    let inline = Request { flags: Flags::INLINE.bits(), operand: [5, 6], ..put(1, PUBLIC, 0, 16) };
    a.run(inline);
    // Done means that the target's memory has it.
    a.run(fence(1));
    assert_eq!((b.word(PUBLIC + 64), b.word(PUBLIC), b.word(PUBLIC + 8)), (46, 5, 6));
    // And the other way round.
    b.run(get(0, PUBLIC, PUBLIC + 128, 8));
    assert_eq!(b.word(PUBLIC + 128), 11);
    b.run(fence(u32::MAX));
    let traffic: Vec<_> = hosts.into_iter().map(|host| host.engine.end()).collect();
    let of_a = traffic[0][0];
    let operations = [of_a.put, of_a.get, of_a.accumulate, of_a.rmw].map(|kind| kind.operations);
    assert_eq!(operations, [2, 1, 1, 1]);
    assert_eq!((traffic[0][1], traffic[1][1].get.bytes), (Default::default(), 8));
}

#[test]
fn long_operations_go_in_pieces_and_keep_their_order() {
    let hosts = job(&[0, 1]);
    let ((_, a), (_, b)) = (&hosts[0].ranks[0], &hosts[1].ranks[0]);
    let length = (END - PUBLIC) / 2 / 8 * 8;
    let back = PUBLIC + length;
    let words = (0..length / 8).map(|index| PUBLIC + 8 * index);
    for round in 1..4 {
        words.clone().for_each(|at| a.set_word(at, at * round));
        // The get comes back with what was put before, and without what is put behind it.
        let zero = Request { flags: Flags::INLINE.bits(), ..put(1, PUBLIC, 0, 8) };
        a.submit(&[put(1, PUBLIC, PUBLIC, length), get(1, PUBLIC, back, length), zero, fence(1)]);
        assert!(a.completions(4).iter().all(|completion| completion.status == 0));
        words.clone().for_each(|at| assert_eq!(a.word(at + length), at * round));
        assert_eq!((b.word(PUBLIC), b.word(PUBLIC + 8)), (0, (PUBLIC + 8) * round));
    }
    // Twice as much is accumulated.
    let accumulate = Request {
        opcode: Opcode::Accumulate as u8,
        kind: AccKind::Long as u8,
        operand: [1, 0],
        ..put(1, PUBLIC, PUBLIC, length)
    };
    a.submit(&[put(1, PUBLIC, PUBLIC, length), accumulate, fence(1)]);
    a.completions(3);
    words.for_each(|at| assert_eq!(b.word(at), 2 * a.word(at)));
}

#[test]
fn more_than_there_is_room_for_comes_all_the_same() {
    let hosts = job(&[0, 1]);
    let (_, a) = &hosts[0].ranks[0];
    let (_, b) = &hosts[1].ranks[0];
    let length = (END - PUBLIC) / 2;
    for round in 1..6u64 {
        a.set_word(PUBLIC, round);
        b.set_word(PUBLIC, 100 + round);
        // Both ways at once, 20 MiB each.
        for (rank, other) in [(a, 1), (b, 0)] {
            let gets = (0..40).map(|_| get(other, PUBLIC, PUBLIC + length, length));
            rank.submit(&gets.collect::<Vec<_>>());
        }
        a.completions(40);
        b.completions(40);
        assert_eq!(a.word(PUBLIC + length), 100 + round);
        assert_eq!(b.word(PUBLIC + length), round);
    }
}

#[test]
fn a_rank_elsewhere_is_woken() {
    let hosts = job(&[0, 1, 0]);
    let (_, a) = &hosts[0].ranks[1];
    let (_, b) = &hosts[1].ranks[0];
    b.fall_asleep();
    let flags = (Flags::INLINE | Flags::NOTIFY).bits();
    a.submit(&[Request { flags, operand: [9, 0], ..put(1, PUBLIC, 0, 8) }]);
    assert!(b.is_woken(PATIENCE));
    assert_eq!(b.word(PUBLIC), 9);
    b.fall_asleep();
    a.submit(&[Request { flags: Flags::NOTIFY.bits(), ..fence(1) }]);
    assert!(b.is_woken(PATIENCE));
    for (rank, host) in [(0, 0), (1, 1), (2, 0)] {
        let (_, raw) = hosts[host].ranks.iter().find(|(number, _)| *number == rank).unwrap();
        assert_eq!(raw.state(), JobState::Attached);
        assert_eq!(raw.header().host.load(Ordering::Relaxed), host as u32);
    }
}

#[test]
fn all_of_three_hosts_reach_each_other() {
    // One after the other, as `--placement cyclic` has it.
    let of = [0, 1, 2, 0, 1, 2];
    let hosts = job(&of);
    let ranks: Vec<&(u32, RawRank)> = hosts.iter().flat_map(|host| &host.ranks).collect();
    for (number, raw) in &ranks {
        for target in 0..of.len() as u32 {
            let operand = [u64::from(*number) + 1, 0];
            let to = PUBLIC + 8 * u64::from(*number);
            let flags = Flags::INLINE.bits();
            raw.submit(&[Request { flags, operand, ..put(target, to, 0, 8) }]);
            raw.completions(1);
        }
        raw.run(fence(u32::MAX));
    }
    for (_, raw) in &ranks {
        for number in 0..of.len() as u64 {
            assert_eq!(raw.word(PUBLIC + 8 * number), number + 1);
        }
    }
}

#[test]
fn what_a_rank_may_not_do_elsewhere_fails_its_own_host_first() {
    let hosts = job(&[0, 1]);
    let (_, a) = &hosts[0].ranks[0];
    a.submit(&[put(1, BASE, PUBLIC, 8)]);
    match hosts[0].notice() {
        Notice::Violation { rank: 0, cause } => assert!(cause.contains("public range"), "{cause}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_host_that_is_gone_ends_the_job_and_is_named() {
    let hosts = [host(0, &[0, 1]), host(1, &[0, 1])];
    let (one, other) = streams();
    let cut = one.try_clone().unwrap();
    hosts[0].engine.link(1, one);
    hosts[1].engine.link(0, other);
    for host in &hosts {
        assert_eq!(host.notice(), Notice::Open);
    }
    cut.shutdown(std::net::Shutdown::Both).unwrap();
    for (host, lost) in hosts.iter().zip([1, 0]) {
        match host.notice() {
            Notice::HostLost { host, .. } => assert_eq!(host, lost),
            other => panic!("{other:?}"),
        }
        wait_until("the failure", || host.ranks[0].1.state() == JobState::Failed);
    }
}

#[test]
fn a_host_that_has_other_ranks_is_refused() {
    let hosts = [host(0, &[0, 1, 1]), host(1, &[0, 0, 1])];
    let (one, other) = streams();
    hosts[0].engine.link(1, one);
    hosts[1].engine.link(0, other);
    match hosts[0].notice() {
        Notice::HostLost { host: 1, why } => assert!(why.contains("other ranks"), "{why}"),
        other => panic!("{other:?}"),
    }
}

/// What was asked for before is done, what is asked for later waits; and both go on.
#[test]
fn a_host_can_be_drained_and_goes_on() {
    let hosts = job(&[0, 1]);
    let ((_, a), (_, b)) = (&hosts[0].ranks[0], &hosts[1].ranks[0]);
    for round in 1..50u64 {
        let length = (END - PUBLIC) / 2;
        let add = Request {
            opcode: Opcode::ReadModifyWrite as u8,
            kind: RmwKind::FetchAdd64 as u8,
            operand: [1, 0],
            ..put(1, PUBLIC, 0, 8)
        };
        let gets = (0..9).map(|_| get(1, PUBLIC + 8, PUBLIC + length, length - 8));
        a.submit(&gets.chain([add]).collect::<Vec<_>>());
        for host in &hosts {
            host.engine.close_gates().unwrap();
        }
        for host in &hosts {
            host.engine.stop_serving().unwrap();
        }
        // Nothing is under way: what was taken is answered, and nothing changes any more.
        let before = b.word(PUBLIC);
        let heads = || a.header().submission_head.0.load(Ordering::Acquire);
        let answers = || a.header().completion_tail.0.load(Ordering::Acquire);
        assert_eq!(heads(), answers());
        b.submit(&[Request {
            operand: [7, 0],
            flags: Flags::INLINE.bits(),
            ..put(0, PUBLIC, 0, 8)
        }]);
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!((b.word(PUBLIC), heads() == answers()), (before, true));
        for host in &hosts {
            host.engine.start_serving().unwrap();
            host.engine.open_gates().unwrap();
        }
        a.completions(10);
        b.completions(1);
        b.run(fence(0));
        assert_eq!((a.word(PUBLIC), b.word(PUBLIC)), (7, round));
    }
}

/// What is asked for in pieces is done whole, or not at all: what is in the ring then is not begun.
#[test]
fn behind_a_drain_no_operation_is_done_in_part() {
    let hosts = job(&[0, 1]);
    let ((_, a), (_, b)) = (&hosts[0].ranks[0], &hosts[1].ranks[0]);
    let length = (END - PUBLIC) / 2 / 8 * 8;
    (0..length / 8).for_each(|index| a.set_word(PUBLIC + 8 * index, 1));
    let add = Request {
        opcode: Opcode::Accumulate as u8,
        kind: AccKind::Long as u8,
        operand: [1, 0],
        ..put(1, PUBLIC, PUBLIC, length)
    };
    const AT_ONCE: usize = 100;
    for round in 1..8u32 {
        a.submit(&[add; AT_ONCE]);
        std::thread::sleep(Duration::from_millis(u64::from(round)));
        for host in &hosts {
            host.engine.close_gates().unwrap();
        }
        for host in &hosts {
            host.engine.stop_serving().unwrap();
        }
        let taken = a.header().submission_head.0.load(Ordering::Acquire);
        let words = (0..length / 8).map(|index| b.word(PUBLIC + 8 * index));
        assert!(words.into_iter().all(|word| word == u64::from(taken)), "{taken} in round {round}");
        for host in &hosts {
            host.engine.start_serving().unwrap();
            host.engine.open_gates().unwrap();
        }
        a.completions(AT_ONCE);
    }
}

/// What was asked for cannot be done as long as a rank there holds its lock.
#[test]
fn who_drains_hears_of_a_host_that_does_not_get_on_and_all_goes_on() {
    let hosts = job(&[0, 1]);
    let ((_, a), (_, b)) = (&hosts[0].ranks[0], &hosts[1].ranks[0]);
    let held = TargetLock(&b.mailbox().lock.0).try_lock(2).unwrap();
    let add = Request {
        opcode: Opcode::ReadModifyWrite as u8,
        kind: RmwKind::FetchAdd64 as u8,
        operand: [5, 0],
        ..put(1, PUBLIC, 0, 8)
    };
    a.submit(&[add]);
    let engine = &hosts[0].engine;
    wait_until("the request's being taken", || {
        a.header().submission_head.0.load(Ordering::Acquire) == 1
    });
    engine.close_gates().unwrap();
    assert_eq!(engine.stop_serving(), Err(OrderError::NotBack(1)));
    // The rings are served again.
    a.submit(&[Request { flags: Flags::INLINE.bits(), ..put(0, PUBLIC + 8, 0, 8) }]);
    a.completions(1);
    drop(held);
    assert_eq!(a.completions(1)[0].value, 0);
    engine.stop_serving().unwrap();
    assert_eq!(b.word(PUBLIC), 5);
}

//! The engine on rings in memory, served for ranks that behave and for ranks that do not.

#[path = "support/raw_rank.rs"]
mod raw_rank;

use std::io::Read;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use armci_nostd::shared::lock::TargetLock;
use armci_nostd::wire::{
    AccKind, COMPLETIONS, Flags, JobState, Opcode, Request, RmwKind, SUBMISSIONS, Status,
};
use dom0_proxy::attach::{MemoryProvider, RankAttachment, hosted, provide_memory};
use dom0_proxy::engine::{Copied, Engine, Notice, OrderError, Pause, ServiceState, Traffic};
use raw_rank::{BASE, END, PUBLIC, RawRank, put, send_attach, wait_until};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::{SendFlags, send};

const PATIENCE: Duration = Duration::from_secs(10);

/// A job whose ranks are raw.
struct Bench {
    engine: Engine,
    notices: Receiver<Notice>,
    ranks: Vec<RawRank>,
    streams: Vec<UnixStream>,
}

fn attachment(rank: &RawRank, number: u32) -> (RankAttachment, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    send_attach(&theirs, rank, "test", number);
    (hosted::receive(&ours).unwrap().accept(&ours).unwrap(), theirs)
}

fn engine(size: u32) -> (Engine, Receiver<Notice>) {
    let (tell, notices) = channel();
    (
        Engine::start("test", size, Pause::Yield, move |notice| drop(tell.send(notice))).unwrap(),
        notices,
    )
}

impl Bench {
    fn new(size: u32) -> Self {
        let (engine, notices) = engine(size);
        let ranks: Vec<_> = (0..size).map(|_| RawRank::new()).collect();
        let mut streams = Vec::new();
        for (number, rank) in (0..).zip(&ranks) {
            let (attachment, stream) = attachment(rank, number);
            engine.attach(number, attachment);
            streams.push(stream);
        }
        let bench = Self { engine, notices, ranks, streams };
        assert_eq!(bench.notice(), Notice::Open);
        bench
    }

    fn notice(&self) -> Notice {
        self.notices.recv_timeout(PATIENCE).expect("the engine says something")
    }

    /// What rank 1 is told to have done wrong.
    fn violation_of_rank_1(&self) -> String {
        match self.notice() {
            Notice::Violation { rank: 1, cause } => cause,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_operation_is_done_answered_and_counted() {
    let bench = Bench::new(2);
    let [a, b] = &bench.ranks[..] else { unreachable!() };
    a.set_word(PUBLIC, 11);
    let done = a.run(put(1, PUBLIC + 64, PUBLIC, 8));
    assert_eq!((done.tag, done.status), (7, Status::Ok as u32));
    assert_eq!(b.word(PUBLIC + 64), 11);
    a.run(Request { opcode: Opcode::Get as u8, ..put(1, PUBLIC + 64, PUBLIC + 8, 8) });
    assert_eq!(a.word(PUBLIC + 8), 11);
    let long = AccKind::Long as u8;
    a.run(Request {
        opcode: Opcode::Accumulate as u8,
        kind: long,
        operand: [3, 0],
        ..put(1, PUBLIC + 64, PUBLIC, 8)
    });
    assert_eq!(b.word(PUBLIC + 64), 11 + 3 * 11);
    let kind = RmwKind::FetchAdd64 as u8;
    let add = Request {
        opcode: Opcode::ReadModifyWrite as u8,
        kind,
        operand: [2, 0],
        local: 0,
        ..put(1, PUBLIC + 64, 0, 8)
    };
    assert_eq!(a.run(add).value, 44);
    assert_eq!(b.word(PUBLIC + 64), 46);
    b.run(Request { opcode: Opcode::Fence as u8, ..put(0, 0, 0, 0) });
    let traffic = bench.engine.end();
    let [of_a, of_b] = traffic[..] else { panic!("two ranks") };
    for (kind, tally) in [of_a.put, of_a.get, of_a.accumulate, of_a.rmw].iter().enumerate() {
        assert_eq!((tally.operations, tally.bytes), (1, 8), "{kind}");
    }
    let all = |of: Traffic| {
        let kinds = [of.put, of.get, of.accumulate, of.rmw, of.other];
        kinds.iter().map(|kind| kind.operations).sum::<u64>()
    };
    assert_eq!((all(of_a), all(of_b), of_b.other.operations), (4, 1, 1));
}

#[test]
fn memory_that_the_host_does_not_have_is_no_ranks_fault() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let process = std::thread::spawn(move || provide_memory(&theirs));
    let watched = ours.try_clone().unwrap();
    let provider = Arc::new(MemoryProvider::new(ours).unwrap());
    let (engine, notices) = engine(2);
    let ranks = [RawRank::new(), RawRank::new()];
    let mut streams = Vec::new();
    for (number, rank) in (0..).zip(&ranks) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        send_attach(&theirs, rank, "test", number);
        let asking = hosted::receive(&ours).unwrap().provided_by(provider.clone());
        engine.attach(number, asking.accept(&ours).unwrap());
        streams.push(theirs);
    }
    assert_eq!(notices.recv_timeout(PATIENCE), Ok(Notice::Open));
    let [a, b] = &ranks;
    a.set_word(PUBLIC, 11);
    a.run(put(1, PUBLIC + (64 << 10), PUBLIC, 8));
    assert_eq!(b.word(PUBLIC + (64 << 10)), 11);
    // Memory runs out: the process that takes it is killed.
    watched.shutdown(Shutdown::Both).unwrap();
    process.join().unwrap();
    a.run(put(1, PUBLIC + (64 << 10), PUBLIC, 8));
    a.submit(&[put(1, END - 8, PUBLIC, 8)]);
    let Ok(Notice::Broken(cause)) = notices.recv_timeout(PATIENCE) else { panic!("it is done") };
    assert!(cause.contains("no memory for the window of rank 1"), "{cause}");
    assert_eq!(b.word(END - 8), 0);
    engine.end();
}

#[test]
fn nobody_is_served_before_all_are_there() {
    let (engine, notices) = engine(2);
    let (a, b) = (RawRank::new(), RawRank::new());
    let (first, _stream_a) = attachment(&a, 0);
    engine.attach(0, first);
    a.submit(&[put(1, PUBLIC, PUBLIC, 8)]);
    assert!(notices.recv_timeout(Duration::from_millis(50)).is_err());
    assert_eq!(a.state(), JobState::Detached);
    let (second, _stream_b) = attachment(&b, 1);
    engine.attach(1, second);
    assert_eq!(notices.recv_timeout(PATIENCE), Ok(Notice::Open));
    assert_eq!((a.state(), b.state()), (JobState::Attached, JobState::Attached));
    a.completions(1);
    engine.end();
}

#[test]
fn ranks_and_engine_wake_each_other() {
    let bench = Bench::new(2);
    let [a, b] = &bench.ranks[..] else { unreachable!() };
    wait_until("sleep", || a.header().proxy_asleep.0.load(Ordering::Relaxed) != 0);
    std::thread::sleep(Duration::from_millis(20));
    a.fall_asleep();
    b.fall_asleep();
    a.submit(&[put(1, PUBLIC, PUBLIC, 8)]);
    assert!(a.is_woken(PATIENCE), "the asking rank sleeps until its completion");
    assert!(!b.is_woken(Duration::from_millis(20)), "nobody asked for the target");
    a.submit(&[Request { flags: Flags::NOTIFY.bits(), ..put(1, PUBLIC, PUBLIC, 8) }]);
    assert!(b.is_woken(PATIENCE), "the target of a notifying put");
    a.completions(2);
    b.fall_asleep();
    b.mailbox().asleep.0.store(0, Ordering::Relaxed);
    a.run(Request { flags: Flags::NOTIFY.bits(), ..put(1, PUBLIC, PUBLIC, 8) });
    assert!(!b.is_woken(Duration::from_millis(20)), "it does not sleep");
    bench.engine.end();
}

#[test]
fn gates_close_behind_the_last_rank() {
    let bench = Bench::new(2);
    let [a, b] = &bench.ranks[..] else { unreachable!() };
    wait_until("open gates", || a.enter().is_some());
    let inside = a.enter().expect("the gates are open from the start");
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| bench.engine.close_gates());
        wait_until("a closing gate", || a.is_shut_out() && b.is_shut_out());
        assert!(b.enter().is_none());
        // Rings are served all the time.
        b.run(put(0, PUBLIC, PUBLIC, 8));
        assert!(!closing.is_finished(), "a rank is still inside");
        drop(inside);
        assert_eq!(closing.join().unwrap(), Ok(()));
    });
    assert!(a.enter().is_none() && b.enter().is_none());
    a.run(put(1, PUBLIC, PUBLIC, 8));
    bench.engine.open_gates().unwrap();
    wait_until("open gates", || a.enter().is_some() && b.enter().is_some());
    bench.engine.end();
}

#[test]
fn what_had_to_be_drained_is_counted() {
    let bench = Bench::new(2);
    let [a, b] = &bench.ranks[..] else { unreachable!() };
    wait_until("open gates", || a.enter().is_some());
    // What comes before does not count.
    b.run(put(0, PUBLIC, PUBLIC, 8));
    let inside = a.enter().expect("the gates are open from the start");
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| bench.engine.close_gates());
        wait_until("closing gates", || a.is_shut_out() && b.is_shut_out());
        b.submit(&[put(0, PUBLIC, PUBLIC, 8), put(0, PUBLIC, PUBLIC, 8)]);
        b.completions(2);
        b.run(put(0, PUBLIC, PUBLIC, 8));
        drop(inside);
        assert_eq!(closing.join().unwrap(), Ok(()));
    });
    bench.engine.stop_serving().unwrap();
    // These wait for the line to be over.
    a.submit(&[put(1, PUBLIC, PUBLIC, 8)]);
    assert_eq!(bench.engine.drained(), Ok(3 + 1));
    bench.engine.start_serving().unwrap();
    bench.engine.open_gates().unwrap();
    a.completions(1);
    bench.engine.close_gates().unwrap();
    bench.engine.stop_serving().unwrap();
    assert_eq!(bench.engine.drained(), Ok(0), "nothing was under way");
    bench.engine.end();
}

#[test]
fn a_quiet_moment_is_one_without_anything_to_drain() {
    let bench = Bench::new(2);
    let [a, b] = &bench.ranks[..] else { unreachable!() };
    let is_quiet = || bench.engine.is_quiet(PATIENCE);
    assert!(is_quiet());
    wait_until("open gates", || a.enter().is_some());
    let inside = a.enter().expect("the gates are open from the start");
    assert!(!is_quiet());
    drop(inside);
    // Answers that a rank has not taken are in its memory.
    b.submit(&[put(0, PUBLIC, PUBLIC, 8)]);
    wait_until("an empty ring", is_quiet);
    b.completions(1);
    // A request that waits for a lock.
    let held = TargetLock(&b.mailbox().lock.0).try_lock(1).unwrap();
    a.submit(&[Request {
        opcode: Opcode::ReadModifyWrite as u8,
        kind: RmwKind::FetchAdd64 as u8,
        ..put(1, PUBLIC, 0, 8)
    }]);
    for _ in 0..20 {
        assert!(!is_quiet());
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(held);
    a.completions(1);
    wait_until("an empty ring", is_quiet);
    bench.engine.close_gates().unwrap();
    assert!(!is_quiet(), "somebody's line is under way");
    bench.engine.open_gates().unwrap();
    assert!(is_quiet());
    bench.engine.end();
}

#[test]
fn all_who_close_the_gates_are_answered() {
    let bench = Bench::new(2);
    let [a, b] = &bench.ranks[..] else { unreachable!() };
    let inside = a.enter().expect("the gates are open from the start");
    std::thread::scope(|scope| {
        let closing = [0, 1].map(|_| scope.spawn(|| bench.engine.close_gates()));
        wait_until("closing gates", || a.is_shut_out() && b.is_shut_out());
        std::thread::sleep(Duration::from_millis(20));
        bench.engine.open_gates().unwrap();
        assert!(b.enter().is_some(), "the gates are open when that returns");
        for closing in closing {
            assert_eq!(closing.join().unwrap(), Err(OrderError::Reopened));
        }
        let closing = [0, 1].map(|_| scope.spawn(|| bench.engine.close_gates()));
        wait_until("closing gates", || a.is_shut_out() && b.is_shut_out());
        drop(inside);
        for closing in closing {
            assert_eq!(closing.join().unwrap(), Ok(()));
        }
    });
    bench.engine.end();
}

impl Bench {
    /// A rank's window, as the engine copies it to a buffer of `room` bytes.
    fn copy(&self, rank: u32, room: usize) -> Vec<u8> {
        self.engine.copy_window(rank, vec![0; room]).unwrap().bytes
    }
}

#[test]
fn behind_stopped_rings_nothing_is_written_and_all_can_be_copied() {
    let bench = Bench::new(2);
    let [a, b] = &bench.ranks[..] else { unreachable!() };
    let not_now = |state| Err(OrderError::NotNow(state));
    assert_eq!(bench.engine.stop_serving(), not_now(ServiceState::Open));
    assert!(bench.engine.copy_window(0, vec![0; 8]).is_err());
    bench.engine.close_gates().unwrap();
    assert!(bench.engine.copy_window(0, vec![0; 8]).is_err());
    bench.engine.stop_serving().unwrap();
    bench.engine.stop_serving().unwrap();
    assert_eq!(bench.engine.open_gates(), not_now(ServiceState::Stopped));

    a.set_word(PUBLIC, 11);
    a.submit(&[put(1, PUBLIC + 64, PUBLIC, 8), put(1, PUBLIC + 72, PUBLIC, 8)]);
    a.fall_asleep();
    b.fall_asleep();
    let before = [0, 1].map(|rank| bench.copy(rank, 1 << 20));
    for _ in 0..20 {
        // However often it is rung for.
        rustix::io::write(&a.to_proxy, &1u64.to_ne_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    for (rank, before) in (0..).zip(&before) {
        assert_eq!(before.len() as u64, END - BASE);
        assert!(bench.copy(rank, 1 << 20) == *before, "the memory of rank {rank} has changed");
        for less in [0, 8, 5000] {
            assert!(bench.copy(rank, less) == before[..less]);
        }
    }
    let word = (PUBLIC - BASE) as usize;
    assert_eq!(before[0][word..word + 8], 11u64.to_ne_bytes());
    // What has changed since a buffer was filled is told.
    let again = |bytes: Vec<u8>| bench.engine.copy_window(0, bytes).unwrap();
    let Copied { bytes, changed, free } = again(before[0].clone());
    assert_eq!((bytes == before[0], changed, free), (true, vec![], vec![]));
    a.set_word(PUBLIC + 4096, 12);
    assert_eq!(again(bytes).changed, [(word / 4096 + 1) as u32]);
    assert_eq!(b.word(PUBLIC + 64), 0);
    assert!(!a.is_woken(Duration::ZERO) && !b.is_woken(Duration::ZERO));
    assert_eq!(bench.engine.copy_window(2, Vec::new()), Err(OrderError::NoRank(2)));

    bench.engine.start_serving().unwrap();
    a.completions(2);
    assert_eq!((b.word(PUBLIC + 64), b.word(PUBLIC + 72)), (11, 11));
    assert!(a.enter().is_none(), "the gates are still closed");
    bench.engine.open_gates().unwrap();
    assert!(a.enter().is_some());
    bench.engine.end();
}

/// Words are all that ranks in Xen have besides; these are processes, so it is for the ended ones
/// to stand still.
#[test]
fn whoever_cannot_stand_still_goes_on() {
    let bench = Bench::new(2);
    let [a, _] = &bench.ranks[..] else { unreachable!() };
    assert_eq!(bench.engine.park(), Err(OrderError::NotNow(ServiceState::Open)));
    bench.engine.close_gates().unwrap();
    bench.engine.stop_serving().unwrap();
    assert_eq!(bench.engine.park(), Err(OrderError::CannotPark(0)));
    assert_eq!(a.header().park.0.load(Ordering::Relaxed), 0, "it is not told to any more");
    bench.engine.ended(0);
    assert_eq!(bench.engine.park(), Err(OrderError::CannotPark(1)));
    bench.engine.ended(1);
    bench.engine.park().unwrap();
    assert_ne!(a.header().park.0.load(Ordering::Relaxed), 0);
    assert_eq!(bench.engine.copy_window(0, vec![0; 8]).map(|copied| copied.bytes.len()), Ok(8));
    assert_eq!(bench.engine.start_serving(), Err(OrderError::NotNow(ServiceState::Parked)));
    bench.engine.go_on().unwrap();
    assert_eq!(a.header().park.0.load(Ordering::Relaxed), 0);
    bench.engine.start_serving().unwrap();
    bench.engine.open_gates().unwrap();
    a.run(put(1, PUBLIC, PUBLIC, 8));
    bench.engine.park().unwrap_err();
    bench.engine.end();
}

#[test]
fn it_ends_while_it_is_stopped() {
    let bench = Bench::new(2);
    bench.engine.close_gates().unwrap();
    bench.engine.stop_serving().unwrap();
    bench.ranks[0].submit(&[put(1, PUBLIC, PUBLIC, 8)]);
    let traffic = bench.engine.end();
    assert_eq!(traffic[0], Traffic::default(), "what was not taken was not done");
}

/// Takes longer than the engine's patience with a lock: 20 s.
#[test]
fn a_lock_is_not_held_too_long_by_the_time_that_nobody_was_served() {
    let bench = Bench::new(2);
    let [a, b] = &bench.ranks[..] else { unreachable!() };
    let held = TargetLock(&a.mailbox().lock.0).try_lock(1).unwrap();
    b.submit(&[Request {
        opcode: Opcode::ReadModifyWrite as u8,
        kind: RmwKind::FetchAdd64 as u8,
        operand: [5, 0],
        ..put(0, PUBLIC, 0, 8)
    }]);
    bench.engine.close_gates().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    bench.engine.stop_serving().unwrap();
    std::thread::sleep(Duration::from_secs(20));
    bench.engine.start_serving().unwrap();
    let notice = bench.notices.recv_timeout(Duration::from_secs(1));
    assert!(notice.is_err(), "the job has failed: {notice:?}");
    drop(held);
    b.completions(1);
    assert_eq!(a.word(PUBLIC), 5);
    bench.engine.end();
}

/// Takes longer than the engine's patience with a lock: 20 s.
#[test]
fn ranks_that_are_stopped_hold_locks_and_gates_as_long_as_they_are() {
    let bench = Bench::new(2);
    let [a, b] = &bench.ranks[..] else { unreachable!() };
    let held = TargetLock(&a.mailbox().lock.0).try_lock(1).unwrap();
    wait_until("open gates", || a.enter().is_some());
    let inside = a.enter().expect("the gates are open from the start");
    b.submit(&[Request {
        opcode: Opcode::ReadModifyWrite as u8,
        kind: RmwKind::FetchAdd64 as u8,
        operand: [5, 0],
        ..put(0, PUBLIC, 0, 8)
    }]);
    bench.engine.ranks_are_stopped(true);
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| bench.engine.close_gates());
        std::thread::sleep(Duration::from_secs(22));
        assert!(bench.notices.try_recv().is_err(), "the job has failed");
        assert!(!closing.is_finished(), "the gates are open again");
        bench.engine.ranks_are_stopped(false);
        drop((held, inside));
        assert_eq!(closing.join().unwrap(), Ok(()));
    });
    b.completions(1);
    assert_eq!(a.word(PUBLIC), 5);
    bench.engine.end();
}

#[test]
fn gates_of_a_job_that_does_not_run_stay_as_they_are() {
    let (engine, _notices) = engine(2);
    let (a, b) = (RawRank::new(), RawRank::new());
    let (first, _stream_a) = attachment(&a, 0);
    let closing = std::thread::scope(|scope| {
        let closing = scope.spawn(|| engine.close_gates());
        engine.attach(0, first);
        closing.join().unwrap()
    });
    assert_eq!(closing, Err(OrderError::NotRunning));
    let (second, _stream_b) = attachment(&b, 1);
    engine.attach(1, second);
    wait_until("open gates", || a.enter().is_some());
    engine.end();
    assert!(a.enter().is_none(), "who is not served is not let in");
}

#[test]
fn a_locked_target_makes_only_those_wait_who_need_its_lock() {
    let bench = Bench::new(3);
    let [a, b, c] = &bench.ranks[..] else { unreachable!() };
    let add = Request {
        opcode: Opcode::ReadModifyWrite as u8,
        kind: RmwKind::FetchAdd64 as u8,
        operand: [5, 0],
        ..put(1, PUBLIC, 0, 8)
    };
    let held = TargetLock(&b.mailbox().lock.0).try_lock(3).unwrap();
    a.submit(&[add, add]);
    c.run(put(1, PUBLIC + 8, PUBLIC, 8));
    assert_eq!(b.word(PUBLIC), 0);
    drop(held);
    assert_eq!(
        a.completions(2).iter().map(|completion| completion.value).collect::<Vec<_>>(),
        [0, 5]
    );
    assert_eq!(b.word(PUBLIC), 10);
    bench.engine.end();
}

/// Takes as long as the engine's patience: 10 s.
#[test]
fn gates_that_a_rank_does_not_leave_are_opened_again() {
    let bench = Bench::new(2);
    let [a, b] = &bench.ranks[..] else { unreachable!() };
    let _inside = b.enter().expect("the gates are open from the start");
    assert_eq!(bench.engine.close_gates(), Err(OrderError::Inside(1)));
    assert!(a.enter().is_some(), "nobody is kept out for a rank that does not leave");
    a.run(put(1, PUBLIC, PUBLIC, 8));
    bench.engine.end();
}

/// Processor time of this process's threads of that name, in clock ticks (1/100 s).
fn ticks(name: &str) -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let stats =
        threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    let of = |stat: String| {
        let (before, after) = stat.rsplit_once(") ")?;
        let mut times = after.split(' ').skip(11).map(|time| time.parse::<u64>().unwrap());
        before.ends_with(name).then(|| times.next().unwrap() + times.next().unwrap())
    };
    stats.filter_map(of).sum()
}

/// Takes as long as the engine's patience: 20 s.
#[test]
fn whoever_never_lets_a_lock_go_fails_the_job() {
    // What the lock of rank 0's memory says; who has done something wrong, and what.
    let cases = [
        (3, 2, "it has held the lock of rank 0's memory"),
        (1, 0, "it has held the lock of rank 0's memory"),
        (77, 0, "the lock of its memory has been held for more than 20 s by no rank (it says 77)"),
        (u32::MAX, 0, "by no rank"),
    ];
    std::thread::scope(|scope| {
        for (holder, culprit, expected) in cases {
            scope.spawn(move || a_lock_is_never_let_go(holder, culprit, expected));
        }
    });
}

/// Rank 1, which is to blame for nothing, waits for that lock.
fn a_lock_is_never_let_go(holder: u32, culprit: u32, expected: &str) {
    let (tell, notices) = channel();
    let name = format!("lock-{holder}");
    let tell = move |notice| drop(tell.send(notice));
    let engine = Engine::start(&name, 3, Pause::Yield, tell).unwrap();
    let ranks: Vec<_> = (0..3).map(|_| RawRank::new()).collect();
    let attached: Vec<_> = (0..).zip(&ranks).map(|(at, rank)| attachment(rank, at)).collect();
    let mut streams = Vec::new();
    for (rank, (attachment, stream)) in (0..).zip(attached) {
        engine.attach(rank, attachment);
        streams.push(stream);
    }
    assert_eq!(notices.recv_timeout(PATIENCE), Ok(Notice::Open));
    let held = TargetLock(&ranks[0].mailbox().lock.0).try_lock(holder).unwrap();
    // It stays held.
    std::mem::forget(held);
    ranks[1].submit(&[Request {
        opcode: Opcode::ReadModifyWrite as u8,
        kind: RmwKind::FetchAdd64 as u8,
        ..put(0, PUBLIC, 0, 8)
    }]);
    // Who needs no lock does not wait for it.
    std::thread::sleep(Duration::from_millis(100));
    ranks[2].run(put(0, PUBLIC, PUBLIC, 8));
    let notice = notices.recv_timeout(4 * PATIENCE).expect("the engine says something");
    let Notice::Violation { rank, cause } = notice else { panic!("{notice:?}") };
    assert!(rank == culprit && cause.contains(expected), "rank {rank}: {cause}");
    let name: String = format!("engine-{name}").chars().take(15).collect();
    let used = ticks(&name);
    assert!(used < 500, "it has taken {} s of processor time", used as f64 / 100.0);
    wait_until("failure", || ranks.iter().all(|rank| rank.state() == JobState::Failed));
    assert!(ranks[0].enter().is_none(), "the gates of a failed job are closed");
    engine.end();
}

#[test]
fn full_rings_are_served_in_order() {
    let bench = Bench::new(2);
    let [a, b] = &bench.ranks[..] else { unreachable!() };
    for round in 0..50 {
        let word = |index: u64| PUBLIC + 8 * index;
        let requests: Vec<_> = (0..u64::from(SUBMISSIONS))
            .map(|index| {
                a.set_word(word(index), round * 1000 + index);
                Request { tag: index as u32, ..put(1, word(index), word(index), 8) }
            })
            .collect();
        a.submit(&requests);
        b.submit(&[put(0, END - 8, PUBLIC, 8)]);
        let done = a.completions(SUBMISSIONS as usize);
        assert!(done.iter().map(|completion| completion.tag).eq(0..SUBMISSIONS));
        assert_eq!(b.word(word(127)), round * 1000 + 127);
        b.completions(1);
    }
    let traffic = bench.engine.end();
    assert_eq!(traffic[0].put.operations, 50 * u64::from(SUBMISSIONS));
}

#[test]
fn a_bad_entry_fails_its_job_and_no_other() {
    let other = Bench::new(2);
    type Case = (&'static str, Request, &'static str);
    let cases: [Case; 12] = [
        ("opcode", Request { opcode: 77, ..put(0, PUBLIC, PUBLIC, 8) }, "unknown opcode 77"),
        ("zero", Request::default(), "unknown opcode 0"),
        ("rank", put(2, PUBLIC, PUBLIC, 8), "no rank 2 in a job of 2"),
        ("large rank", put(u32::MAX, PUBLIC, PUBLIC, 8), "no rank 4294967295"),
        ("past the end", put(0, END - 4, PUBLIC, 8), "outside"),
        ("before the start", put(0, BASE, PUBLIC, 8), "outside"),
        ("wrapping", put(0, PUBLIC, PUBLIC, u64::MAX - 7), "outside"),
        ("wrapping address", put(0, u64::MAX - 3, PUBLIC, 8), "outside"),
        ("own side", put(0, PUBLIC, END - 4, 8), "outside"),
        ("flags", Request { flags: 0x80, ..put(0, PUBLIC, PUBLIC, 8) }, "flags"),
        ("reserved", Request { reserved1: 1, ..put(0, PUBLIC, PUBLIC, 8) }, "reserved"),
        (
            "misaligned",
            Request { opcode: Opcode::ReadModifyWrite as u8, kind: 2, ..put(0, PUBLIC + 4, 0, 8) },
            "multiple of 8",
        ),
    ];
    for (what, request, expected) in cases {
        let bench = Bench::new(2);
        bench.ranks[0].set_word(PUBLIC, 5);
        bench.ranks[1].submit(&[request]);
        let cause = bench.violation_of_rank_1();
        assert!(cause.contains(expected), "{what}: {cause}");
        wait_until("failure", || bench.ranks.iter().all(|rank| rank.state() == JobState::Failed));
        assert_eq!(bench.ranks[0].word(PUBLIC), 5, "{what}: nothing was touched");
        bench.engine.end();
        other.ranks[0].run(put(1, PUBLIC, PUBLIC, 8));
    }
    assert_eq!(other.engine.end()[0].put.operations, 12);
}

#[test]
fn a_doorbell_that_is_full_and_blocks_keeps_nobody() {
    let bench = Bench::new(2);
    let [a, b] = &bench.ranks[..] else { unreachable!() };
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    while send(&a.to_rank, &[0; 4096], flags).is_ok() {}
    while send(&a.to_rank, &[0], flags).is_ok() {}
    let blocking = fcntl_getfl(&a.to_rank).unwrap() - OFlags::NONBLOCK;
    fcntl_setfl(&a.to_rank, blocking).unwrap();
    for _ in 0..3 {
        a.mailbox().asleep.0.store(1, Ordering::Release);
        a.run(put(1, PUBLIC, PUBLIC, 8));
        b.run(put(0, PUBLIC, PUBLIC, 8));
    }
    bench.engine.close_gates().unwrap();
    bench.engine.end();
}

/// More ranks than the messages of which fit between the proxy and one that reads none.
fn with_a_deaf_rank() -> (Engine, Receiver<Notice>, Vec<RawRank>, Vec<UnixStream>) {
    const RANKS: u32 = 40;
    let (engine, notices) = engine(RANKS);
    let (mut ranks, mut streams) = (Vec::new(), Vec::new());
    for number in 0..RANKS {
        let rank = RawRank::new();
        let (attachment, mut stream) = attachment(&rank, number);
        engine.attach(number, attachment);
        ranks.push(rank);
        streams.push(stream.try_clone().unwrap());
        if number != 7 {
            std::thread::spawn(move || stream.read_to_end(&mut Vec::new()));
        }
    }
    (engine, notices, ranks, streams)
}

/// Takes as long as the engine's patience: 10 s.
#[test]
fn a_rank_that_does_not_read_fails_its_job() {
    let (engine, notices, ranks, _streams) = with_a_deaf_rank();
    let notice = notices.recv_timeout(3 * PATIENCE).expect("the engine says something");
    let Notice::Violation { rank: 7, cause } = notice else { panic!("{notice:?}") };
    assert!(cause.contains("does not read"), "{cause}");
    wait_until("failure", || ranks.iter().all(|rank| rank.state() == JobState::Failed));
    engine.end();
}

#[test]
fn it_ends_while_a_rank_does_not_read() {
    let (engine, notices, _ranks, _streams) = with_a_deaf_rank();
    assert!(notices.recv_timeout(Duration::from_millis(200)).is_err());
    let start = Instant::now();
    assert_eq!(engine.close_gates(), Err(OrderError::NotRunning));
    engine.end();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn jumping_indices_fail_the_job() {
    type Jump = (&'static str, fn(&RawRank));
    let jumps: [Jump; 4] = [
        ("submission", |rank| {
            rank.header().submission_tail.0.store(SUBMISSIONS + 1, Ordering::Release)
        }),
        ("submission", |rank| rank.header().submission_tail.0.store(u32::MAX, Ordering::Release)),
        ("submission", |rank| rank.header().submission_tail.0.store(1 << 31, Ordering::Release)),
        ("completion", |rank| {
            rank.header().completion_head.0.store(1000, Ordering::Release);
            let nothing = [put(0, 0, 0, 0); SUBMISSIONS as usize];
            for _ in 0..3 {
                // Whenever it is found out: a failed job's ring is served no more, and would be
                // full the next time.
                if rank.state() == JobState::Failed {
                    break;
                }
                rank.submit(&nothing);
                wait_until("service", || {
                    let header = rank.header();
                    let (tail, head) = (&header.submission_tail.0, &header.submission_head.0);
                    tail.load(Ordering::Acquire) == head.load(Ordering::Acquire)
                        || rank.state() == JobState::Failed
                });
            }
        }),
    ];
    for (ring, jump) in jumps {
        let bench = Bench::new(2);
        jump(&bench.ranks[1]);
        bench.ranks[1].ring();
        let cause = bench.violation_of_rank_1();
        assert!(cause.contains(ring) && cause.contains("jumped"), "{cause}");
        bench.engine.end();
    }
}

#[test]
fn a_rank_that_takes_no_completions_fails_its_job() {
    let bench = Bench::new(2);
    let rank = &bench.ranks[1];
    for _ in 0..=COMPLETIONS {
        rank.submit(&[put(0, 0, 0, 0)]);
        wait_until("service", || {
            let header = rank.header();
            let (tail, head) = (&header.submission_tail.0, &header.submission_head.0);
            tail.load(Ordering::Acquire) == head.load(Ordering::Acquire)
                || rank.state() == JobState::Failed
        });
    }
    assert!(bench.violation_of_rank_1().contains("completion ring"));
    bench.engine.end();
}

#[test]
fn when_it_stops_nothing_is_mapped_or_open() {
    let mappings = |rank: &RawRank| {
        let inode = rustix::fs::fstat(&rank.memfd).unwrap().st_ino;
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines()
            .filter(|line| line.split_ascii_whitespace().nth(4) == Some(&inode.to_string()))
            .count()
    };
    let mut bench = Bench::new(2);
    assert_eq!(mappings(&bench.ranks[0]), 2, "the rank's own and the proxy's");
    bench.engine.end();
    assert_eq!(mappings(&bench.ranks[0]), 1, "the rank's own");
    let mut introductions = Vec::new();
    bench.streams[0].read_to_end(&mut introductions).expect("the connection is closed");
    assert!(!introductions.is_empty(), "a rank is told of the other");
}

#[test]
fn it_stops_while_it_waits_for_ranks() {
    let (engine, _notices) = engine(3);
    let rank = RawRank::new();
    let (attachment, mut stream) = attachment(&rank, 2);
    engine.attach(2, attachment);
    assert_eq!(engine.end().len(), 3);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

//! Jobs that are restored, with domains that are made up.

use std::mem::offset_of;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use armci_nostd::shared::gate::OFFERED;
use armci_nostd::wire::{Header, JobState, Opcode, Request};

use super::{Count, Engine, Notice, OrderError, Pause, ServiceState, Traffic};
use crate::attach::made_up::{APART, LEN, MadeUpDomain, PUBLIC, RUNTIME};

const PATIENCE: Duration = Duration::from_secs(60);

/// A job of domains 40, 41 ..., which all wait, with ten puts served before for each rank.
fn job(size: u32) -> (Engine, Receiver<Notice>, Vec<MadeUpDomain>) {
    let (tell, notices) = channel();
    let before = Traffic { put: Count { operations: 10, bytes: 1000 }, ..Traffic::default() };
    let engine =
        Engine::restore("test", vec![before; size as usize], Pause::Yield, move |notice| {
            let _ = tell.send(notice);
        });
    let engine = engine.unwrap();
    let mut domains = Vec::new();
    for rank in 0..size {
        let (domain, attachment) = MadeUpDomain::new(40 + rank);
        engine.attach(rank, attachment);
        domains.push(domain);
    }
    assert_eq!(notices.recv_timeout(PATIENCE), Ok(Notice::Waiting));
    (engine, notices, domains)
}

fn fill(engine: &Engine, rank: u32, memory: &[u8]) {
    for (number, piece) in memory.chunks(100 << 10).enumerate() {
        let offset = number as u64 * (100 << 10);
        assert_eq!(engine.fill_window(rank, offset, piece.to_vec()).unwrap(), piece);
    }
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come");
        thread::sleep(Duration::from_micros(200));
    }
}

/// What a domain does that is to become a rank.
fn become_rank(domain: &MadeUpDomain) {
    wait_until("the order to go", || domain.go().load(Ordering::Acquire) != 0);
    assert!(domain.rung_for_parking.load(Ordering::Acquire) <= 1);
    assert_eq!(domain.header(offset_of!(Header, park)).load(Ordering::Acquire), 0);
    domain.header(offset_of!(Header, parked)).store(0, Ordering::Release);
    domain.ring();
}

#[test]
fn a_restored_job_goes_on_with_what_lay_in_its_rings() {
    let (engine, notices, domains) = job(2);
    for refused in [engine.open_gates(), engine.start_serving()] {
        assert_eq!(refused, Err(OrderError::NotNow(ServiceState::Parked)));
    }
    // Rank 0 had asked to put 64 bytes into rank 1's memory, and nobody had taken that.
    let request = Request {
        opcode: Opcode::Put as u8,
        rank: 1,
        tag: 77,
        remote: PUBLIC as u64 + 4096,
        local: PUBLIC as u64,
        len: 64,
        ..Request::default()
    };
    let images = [MadeUpDomain::saved(1, Some(request)), MadeUpDomain::saved(2, None)];
    for (rank, image) in (0..).zip(&images) {
        fill(&engine, rank, image);
    }
    for (domain, image) in domains.iter().zip(&images) {
        let memory = domain.read();
        assert!(memory[..APART.start] == image[..APART.start]);
        assert!(memory[APART].iter().all(|byte| *byte == 0), "what lies apart was filled");
        assert!(memory[APART.end..] == image[APART.end..]);
        assert_eq!(domain.go().load(Ordering::Acquire), 0);
    }
    thread::scope(|scope| {
        for domain in &domains {
            scope.spawn(|| become_rank(domain));
        }
        engine.land().unwrap();
    });
    for domain in &domains {
        assert_eq!(domain.told(), [40, 41]);
        assert_eq!(domain.rung_for_parking.load(Ordering::Acquire), 1);
        assert!(domain.rung.load(Ordering::Acquire) >= 1, "nobody has told it to look");
    }
    let late = engine.fill_window(0, 0, vec![0; 8]);
    assert_eq!(late, Err(OrderError::NotNow(ServiceState::Stopped)));
    assert_eq!(domains[1].read()[PUBLIC + 4096], 2, "rings were served too early");
    engine.start_serving().unwrap();
    engine.open_gates().unwrap();
    let completion_tail = domains[0].header(offset_of!(Header, completion_tail));
    wait_until("the put's end", || completion_tail.load(Ordering::Acquire) == 6);
    assert!(domains[1].read()[PUBLIC + 4096..][..64].iter().all(|byte| *byte == 1));
    for domain in &domains {
        let gate = domain.header(offset_of!(Header, gate)).load(Ordering::Acquire);
        assert_ne!(gate & OFFERED, 0, "the gate is {gate:#x}");
        let state = domain.header(offset_of!(Header, state)).load(Ordering::Acquire);
        assert_eq!(state, JobState::Attached as u32);
    }
    let traffic = engine.end();
    assert_eq!(traffic[0].put, Count { operations: 11, bytes: 1064 });
    assert_eq!(traffic[1].put, Count { operations: 10, bytes: 1000 });
    assert!(notices.try_recv().is_err());
}

#[test]
fn a_rank_that_had_ended_is_its_memory_and_stays_where_it_waits() {
    let (engine, _notices, domains) = job(2);
    for (rank, content) in [(0, 1), (1, 2)] {
        fill(&engine, rank, &MadeUpDomain::saved(content, None));
    }
    engine.ended(1);
    thread::scope(|scope| {
        scope.spawn(|| become_rank(&domains[0]));
        engine.land().unwrap();
    });
    assert_eq!(domains[1].go().load(Ordering::Acquire), 0);
    assert_eq!(domains[0].told(), [40, 41], "its memory is still there");
}

#[test]
fn what_is_no_rank_does_not_land() {
    let (engine, _notices, domains) = job(2);
    fill(&engine, 0, &MadeUpDomain::saved(1, None));
    let mut other = MadeUpDomain::saved(2, None);
    other[RUNTIME + 4] ^= 1;
    fill(&engine, 1, &other);
    let error = engine.land().unwrap_err().to_string();
    assert!(error.contains("rank 1") && error.contains("protocol version"), "{error}");
    assert!(domains.iter().all(|domain| domain.go().load(Ordering::Acquire) == 0));
    // One that was not saved where it stood still.
    let (engine, _notices, _domains) = job(1);
    let mut moving = MadeUpDomain::saved(1, None);
    moving[RUNTIME + offset_of!(Header, parked)..][..4].fill(0);
    fill(&engine, 0, &moving);
    let error = engine.land().unwrap_err().to_string();
    assert!(error.contains("did not stand still"), "{error}");
}

#[test]
fn nothing_is_filled_beyond_the_memory_or_of_ranks_that_there_are_not() {
    let (engine, _notices, domains) = job(1);
    let before = domains[0].read();
    for offset in [LEN as u64 - 4, LEN as u64, u64::MAX - 3] {
        let beyond = engine.fill_window(0, offset, vec![1; 8]);
        assert_eq!(beyond, Err(OrderError::TooLarge(0)));
    }
    assert_eq!(engine.fill_window(1, 0, vec![1; 8]), Err(OrderError::NoRank(1)));
    assert!(domains[0].read() == before);
}

#[test]
fn a_job_that_is_being_filled_can_be_ended() {
    let (engine, notices, domains) = job(2);
    fill(&engine, 0, &MadeUpDomain::saved(1, None));
    let orders = engine.orders();
    let traffic = engine.end();
    assert_eq!(traffic[0].put.operations, 10);
    assert_eq!(orders.fill_window(1, 0, vec![1; 8]), Err(OrderError::NotRunning));
    assert_eq!(orders.land(), Err(OrderError::NotRunning));
    assert!(notices.try_recv().is_err());
    drop(domains);
}

#[test]
fn of_a_rank_that_stands_still_what_it_tells_to_be_free_is_not_copied() {
    const PAGE: usize = 4096;
    let (engine, _notices, domains) = job(2);
    for (rank, content) in [(0, 1), (1, 2)] {
        fill(&engine, rank, &MadeUpDomain::saved(content, None));
    }
    // The first free piece has pages 80 to 89 but for its head, the second the last 4 of all.
    let (first, second) = (80 * PAGE - 16, LEN - 4 * PAGE - 64);
    for (at, length, next) in [(first, 10 * PAGE + 32, second), (second, LEN - second, 0)] {
        domains[0].write_word(at, length as u64);
        domains[0].write_word(at + 8, next as u64);
    }
    domains[0].write_word(RUNTIME + offset_of!(Header, free), first as u64);
    thread::scope(|scope| {
        for domain in &domains {
            scope.spawn(|| become_rank(domain));
        }
        engine.land().unwrap();
    });
    // It may have a list that is old while it does not stand still.
    let copy = || engine.copy_window(0, vec![7; LEN + PAGE]).unwrap();
    let moving = copy();
    assert!(moving.free.is_empty() && moving.bytes == domains[0].read());

    for domain in &domains {
        domain.header(offset_of!(Header, parked)).store(1, Ordering::Release);
    }
    engine.park().unwrap();
    let still = copy();
    assert_eq!(still.free, [80..90, LEN as u64 / 4096 - 4..LEN as u64 / 4096]);
    let mut expected = domains[0].read();
    for pages in &still.free {
        expected[pages.start as usize * PAGE..pages.end as usize * PAGE].fill(7);
    }
    assert!(still.bytes == expected);
    let is_free = |page: u64| still.free.iter().any(|run| run.contains(&page));
    let others = (0..LEN as u64 / 4096).filter(|page| !is_free(*page)).map(|page| page as u32);
    assert!(still.changed.iter().copied().eq(others), "{:?}", still.changed);
    // Another has not told.
    assert!(engine.copy_window(1, vec![0; LEN]).unwrap().free.is_empty());
    // What has ended has told that before it went on for the last time.
    engine.ended(0);
    assert!(engine.copy_window(0, vec![0; LEN]).unwrap().bytes == domains[0].read());
}

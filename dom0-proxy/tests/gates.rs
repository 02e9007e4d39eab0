//! Gates closed and opened, and rings stopped and started, under ranks at work. These are threads
//! of this process, and otherwise as any hosted rank.

#[path = "support/thread_ranks.rs"]
mod thread_ranks;

use std::mem::offset_of;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use armci_nostd::wire::{COMPLETIONS, Header, RuntimeArea};
use armci_nostd::{Armci, ReduceOp};
use dom0_proxy::engine::{Engine, OrderError, ServiceState};
use dom0_proxy::recovery::{LineError, Lines};
use thread_ranks::Job;

const RANKS: usize = 3;

/// What a rank has done directly, as it says itself.
fn done_directly(armci: &Armci) -> u64 {
    let tally = &armci.platform().unwrap().area().header.tally;
    [&tally.put, &tally.get, &tally.accumulate, &tally.rmw]
        .iter()
        .map(|kind| kind[0].load(Ordering::Relaxed))
        .sum()
}

/// Puts, accumulates, gets and counts on its neighbour until it is told to stop. The order of its
/// own operations must hold at every moment, whichever way each of them goes.
fn work(armci: &Armci, stop: &AtomicBool, direct: &AtomicU64, all: &AtomicU64) {
    let (rank, size) = (armci.rank(), armci.size());
    let next = (rank + 1) % size;
    let own = armci.malloc::<i64>(2000 * size).unwrap();
    let shared = armci.malloc::<i64>(64).unwrap();
    let place = own.at(next, 2000 * rank);
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        rounds += 1;
        let len = if rounds % 16 == 0 { 2000 } else { 3 };
        armci.put(&vec![rounds; len], place).unwrap();
        armci.accumulate(2, &vec![rounds; len], place).unwrap();
        let mut got = vec![0; len];
        armci.get(&mut got, place).unwrap();
        assert_eq!(got, vec![3 * rounds; len], "round {rounds} of rank {rank}");
        armci.accumulate(1, &[1; 64], shared.at(0, 0)).unwrap();
        armci.fetch_add(shared.at(0, 7), 1).unwrap();
        direct.store(done_directly(armci), Ordering::Relaxed);
        all.store(rounds as u64, Ordering::Relaxed);
    }
    let mut sum = [rounds];
    armci.reduce(ReduceOp::Sum, &mut sum).unwrap();
    let mut counts = [0; 64];
    armci.get(&mut counts, shared.at(0, 0)).unwrap();
    let mut expected = [sum[0]; 64];
    expected[7] *= 2;
    assert_eq!(counts, expected, "no accumulate and no fetch-and-add is lost or done twice");
    // Nobody frees what others still read.
    armci.finalize().unwrap();
}

/// Runs ranks at work, and `interfere` with their engine meanwhile. It can wait until all ranks
/// have got on by a number of rounds, and read what each has done directly.
fn under_ranks_at_work(interfere: impl FnOnce(&Engine, &dyn Fn(u64), &dyn Fn() -> Vec<u64>)) {
    let job = Job::new(RANKS, 4 << 20);
    let stop = AtomicBool::new(false);
    let direct: [AtomicU64; RANKS] = Default::default();
    let all: [AtomicU64; RANKS] = Default::default();
    let read = |counts: &[AtomicU64; RANKS]| {
        counts.iter().map(|count| count.load(Ordering::Relaxed)).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let mut ranks = Vec::new();
        for rank in 0..RANKS {
            let (job, stop, direct, all) = (&job, &stop, &direct[rank], &all[rank]);
            ranks.push(scope.spawn(move || work(&job.rank(rank), stop, direct, all)));
        }
        let engine = job.serve();
        let get_on = |by: u64| {
            let (start, deadline) = (read(&all), Instant::now() + Duration::from_secs(60));
            while read(&all).iter().zip(&start).any(|(now, start)| now - start < by) {
                assert!(Instant::now() < deadline, "the ranks do not get on");
                thread::sleep(Duration::from_micros(100));
            }
        };
        interfere(&engine, &get_on, &|| read(&direct));
        stop.store(true, Ordering::Relaxed);
        ranks.into_iter().for_each(|rank| rank.join().unwrap());
        engine.end();
    });
}

#[test]
fn behind_closed_gates_nothing_is_done_directly_and_nothing_is_lost() {
    under_ranks_at_work(|engine, get_on, counts| {
        for _ in 0..60 {
            get_on(3);
            engine.close_gates().unwrap();
            // Their counts as of a round that began behind the gate.
            get_on(2);
            let before = counts();
            get_on(3);
            assert_eq!(counts(), before, "something was done directly behind closed gates");
            engine.open_gates().unwrap();
            get_on(2);
            assert!(
                counts().iter().zip(&before).all(|(now, before)| now > before),
                "the gates did not open"
            );
        }
    });
}

/// What the proxy writes in a rank's runtime area, all of it.
fn proxys_words(engine: &Engine, rank: u32) -> Vec<u8> {
    let words = [
        offset_of!(Header, state),
        offset_of!(Header, gate),
        offset_of!(Header, submission_head),
        offset_of!(Header, completion_tail),
        offset_of!(Header, proxy_asleep),
    ];
    let area = engine.copy_window(rank, vec![0; size_of::<RuntimeArea>()]).unwrap().bytes;
    let ring = &area[offset_of!(RuntimeArea, completions)..][..16 * COMPLETIONS as usize];
    words.into_iter().flat_map(|at| &area[at..at + 4]).chain(ring).copied().collect()
}

#[test]
fn behind_stopped_rings_nobody_gets_on_and_nothing_is_lost() {
    under_ranks_at_work(|engine, get_on, _| {
        for _ in 0..60 {
            get_on(2);
            engine.close_gates().unwrap();
            get_on(1);
            engine.stop_serving().unwrap();
            let of_all = || (0..RANKS as u32).map(|rank| proxys_words(engine, rank));
            let before: Vec<_> = of_all().collect();
            // Until all ranks wait for what they have asked for.
            let asks = |rank| {
                let header = engine.copy_window(rank, vec![0; size_of::<Header>()]).unwrap().bytes;
                let word = |at: usize| &header[at..at + 4];
                word(offset_of!(Header, submission_tail))
                    != word(offset_of!(Header, submission_head))
            };
            let deadline = Instant::now() + Duration::from_secs(60);
            while !(0..RANKS as u32).all(asks) {
                assert!(Instant::now() < deadline, "a rank asks for nothing");
                thread::sleep(Duration::from_micros(100));
            }
            thread::sleep(Duration::from_millis(1));
            assert!(of_all().eq(before), "the proxy has written what ranks see");
            engine.start_serving().unwrap();
            get_on(1);
            engine.open_gates().unwrap();
        }
    });
}

#[test]
fn a_job_is_held_and_released_at_any_moment() {
    under_ranks_at_work(|engine, get_on, _| {
        let lines = Lines::new(engine.orders(), 0);
        for round in 0..60 {
            get_on(round % 3);
            lines.hold(false).unwrap();
            lines.hold(false).unwrap();
            assert!(lines.is_held());
            let refused = OrderError::NotNow(ServiceState::Stopped);
            assert_eq!(engine.open_gates(), Err(refused));
            lines.release().unwrap();
            assert_eq!(lines.release(), Err(LineError::NotHeld));
            get_on(1);
        }
        // Processes do not stand still; they go on as if nobody had asked.
        let cannot = LineError::Engine(OrderError::CannotPark(0));
        assert_eq!(lines.hold(true), Err(cannot));
        assert!(!lines.is_held());
        get_on(2);
        lines.hold(false).unwrap();
        lines.release().unwrap();
    });
}

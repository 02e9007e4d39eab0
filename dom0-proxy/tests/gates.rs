//! Gates closed and opened under ranks at work, which are threads of this process and otherwise as
//! any hosted rank.

#[path = "support/thread_ranks.rs"]
mod thread_ranks;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use armci_nostd::{Armci, ReduceOp};
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

#[test]
fn behind_closed_gates_nothing_is_done_directly_and_nothing_is_lost() {
    let job = Job::new(RANKS, 4 << 20);
    let stop = AtomicBool::new(false);
    let direct: [AtomicU64; RANKS] = Default::default();
    let all: [AtomicU64; RANKS] = Default::default();
    thread::scope(|scope| {
        let mut ranks = Vec::new();
        for rank in 0..RANKS {
            let (job, stop, direct, all) = (&job, &stop, &direct[rank], &all[rank]);
            ranks.push(scope.spawn(move || work(&job.rank(rank), stop, direct, all)));
        }
        let engine = job.serve();
        let rounds = || all.iter().map(|rounds| rounds.load(Ordering::Relaxed)).collect::<Vec<_>>();
        // Until every rank has got on by as many rounds.
        let get_on = |by: u64| {
            let (start, deadline) = (rounds(), Instant::now() + Duration::from_secs(60));
            while rounds().iter().zip(&start).any(|(now, start)| now - start < by) {
                assert!(Instant::now() < deadline, "the ranks do not get on");
                thread::sleep(Duration::from_micros(100));
            }
        };
        for _ in 0..60 {
            get_on(3);
            engine.close_gates().unwrap();
            // Their counts as of a round that began behind the gate.
            get_on(2);
            let counts =
                || direct.iter().map(|count| count.load(Ordering::Relaxed)).collect::<Vec<_>>();
            let before = counts();
            get_on(3);
            assert_eq!(counts(), before, "something was done directly behind closed gates");
            engine.open_gates();
            get_on(2);
            assert!(
                counts().iter().zip(&before).all(|(now, before)| now > before),
                "the gates did not open"
            );
        }
        stop.store(true, Ordering::Relaxed);
        ranks.into_iter().for_each(|rank| rank.join().unwrap());
        engine.stop();
    });
}

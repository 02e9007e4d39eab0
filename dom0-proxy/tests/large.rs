//! Lengths and distances that 32 bits do not hold.

#[path = "support/thread_ranks.rs"]
mod thread_ranks;

use std::thread;

use armci_nostd::{Armci, Strides};
use thread_ranks::Job;

const GIB: usize = 1 << 30;

/// Runs on two ranks with windows of 6 GiB, of which nothing is there before it is used.
fn on_two_ranks(work: impl Fn(&Armci) + Sync) {
    let job = Job::new(2, 6 * GIB);
    thread::scope(|scope| {
        let ranks: Vec<_> = (0..2).map(|rank| (&job, &work, rank)).collect();
        let ranks =
            ranks.into_iter().map(|(job, work, rank)| scope.spawn(move || work(&job.rank(rank))));
        let ranks: Vec<_> = ranks.collect();
        let engine = job.serve();
        ranks.into_iter().for_each(|rank| rank.join().unwrap());
        engine.end();
    });
}

/// In each way that operations can go.
fn in_both_ways(armci: &Armci, work: impl Fn()) {
    for directly in [true, false] {
        armci.reach_directly(directly);
        armci.barrier().unwrap();
        work();
        armci.barrier().unwrap();
    }
}

#[test]
fn places_and_distances_beyond_4_gib() {
    on_two_ranks(|armci| {
        let global = armci.malloc::<u64>(5 * GIB / 8).unwrap();
        let other = 1 - armci.rank();
        in_both_ways(armci, || {
            let last = 5 * GIB / 8 - 3;
            armci.put(&[1, 2, 3], global.at(other, last)).unwrap();
            assert_eq!(armci.fetch_add(global.at(other, last), 10).unwrap(), 1);
            let shape = Strides { counts: &[2, 2], local: &[2], remote: &[9 * GIB / 16] };
            armci.put_strided(&[4, 5, 6, 7], global.at(other, 8), &shape).unwrap();
            assert_eq!(armci.get_value(global.at(other, 9 + 9 * GIB / 16)).unwrap(), 7);
            let mut back = [0; 3];
            armci.get(&mut back, global.at(other, last)).unwrap();
            assert_eq!(back, [11, 2, 3]);
        });
    });
}

#[test]
fn more_than_2_gib_in_one_operation() {
    on_two_ranks(|armci| {
        let global = armci.malloc::<u64>(1 << 17).unwrap();
        let other = 1 - armci.rank();
        in_both_ways(armci, || {
            // The same mebibyte over and over.
            let source = vec![3; 1 << 17];
            let shape = Strides { counts: &[1 << 17, 2100], local: &[0], remote: &[0] };
            armci.put_strided(&source, global.at(other, 0), &shape).unwrap();
            assert_eq!(armci.get_value(global.at(other, (1 << 17) - 1)).unwrap(), 3);
        });
    });
}

/// Needs as much memory as it puts, so it is left out where there is little.
#[test]
fn more_than_2_gib_in_one_piece() {
    const LEN: usize = 2 * GIB + 4096;
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let available = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB"));
    if available.and_then(|kib| kib.parse::<usize>().ok()).is_none_or(|kib| kib < 5 << 20) {
        eprintln!("less than 5 GiB of memory are available: not tried");
        return;
    }
    on_two_ranks(|armci| {
        let global = armci.malloc::<u8>(LEN + 8).unwrap();
        if armci.rank() == 0 {
            // Zeros that nobody has written take no memory.
            let mut source = vec![0; LEN];
            (source[0], source[LEN - 1]) = (1, 2);
            armci.put(&source, global.at(1, 0)).unwrap();
            let mut ends = [0; 2];
            armci.get(&mut ends, global.at(1, LEN - 1)).unwrap();
            assert_eq!(ends, [2, 0]);
            assert_eq!(armci.get_value(global.at(1, 0)).unwrap(), 1);
        }
        armci.barrier().unwrap();
    });
}

//! A few tools at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Does `work` for all indices below `count`, a few at a time.
pub fn in_parallel(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..workers().min(count) {
            scope.spawn(|| {
                while let index = next.fetch_add(1, Ordering::Relaxed)
                    && index < count
                {
                    work(index);
                }
            });
        }
    });
}

/// How many tools to run at a time: most of their work is in one lock of Xen's tools.
pub fn workers() -> usize {
    thread::available_parallelism().map_or(1, usize::from).clamp(1, 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_the_work_is_done_once() {
        let done: Vec<_> = (0..17).map(|_| AtomicUsize::new(0)).collect();
        in_parallel(done.len(), |index| {
            done[index].fetch_add(1, Ordering::Relaxed);
        });
        assert!(done.iter().all(|times| times.load(Ordering::Relaxed) == 1));
        in_parallel(0, |_| panic!("there is nothing to do"));
    }
}

//! How many processors hosts get.
//!
//! Where emulated processors have to take turns on real ones, a host of two is slower than a host
//! of one: a job of sixteen ranks beside four busy loops took 38 to 51 s and 18 to 23 s, on two
//! real processors. They are taken to spin when they wait for each other, as long as somebody
//! else's turn takes.

use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Processors of a host on a machine that has them.
const BEST: u32 = 2;
/// Of the processor time that hosts could use, what the machine must have to spare, in percent.
const ENOUGH: u32 = 80;
/// How long a look takes.
const LOOK: Duration = Duration::from_millis(250);
/// Looks that must find the machine busy: what is over in a moment does not count.
const LOOKS: u32 = 4;
/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(500);

/// How many processors each host is to have, as busy as this machine is now.
pub fn of_each(hosts: usize) -> u32 {
    let wanted = BEST as usize * hosts;
    for look in 0..LOOKS {
        if look > 0 {
            thread::sleep(PAUSE);
        }
        if given(wanted) * 100 >= LOOK * ENOUGH * wanted as u32 {
            return BEST;
        }
    }
    1
}

/// The processor time that this number of threads gets during a look.
fn given(threads: usize) -> Duration {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(given_to_one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_default()).sum()
    })
}

/// The processor time that this thread gets during a look.
fn given_to_one() -> Duration {
    let taken = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let (since, start) = (taken(), Instant::now());
    while start.elapsed() < LOOK {
        std::hint::spin_loop();
    }
    taken().saturating_sub(since).min(LOOK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_machine_has_more_to_give_than_it_has() {
        let one = given(1);
        assert!(one > Duration::ZERO && one <= LOOK, "{one:?}");
        let processors = thread::available_parallelism().unwrap().get();
        let all = given(4 * processors);
        assert!(all <= (LOOK * processors as u32).mul_f64(1.5), "{all:?} on {processors}");
    }

    #[test]
    fn hosts_that_no_machine_has_processors_for_get_one_each() {
        let processors = thread::available_parallelism().unwrap().get();
        assert_eq!(of_each(4 * processors), 1);
    }
}

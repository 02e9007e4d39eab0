//! How much to measure, and what comes out of it.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

/// Operations of a batch, even if the clock says that they cost nothing.
const MOST_OPERATIONS: u64 = 100_000_000;

/// What one row may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// About how long a batch takes; long against the clock's resolution.
    pub batch: Duration,
    /// Batches, if there is time for them.
    pub batches: usize,
    /// After this no further batch is begun.
    pub row: Duration,
}

/// What to measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How much.
    pub effort: Effort,
    /// Everything by the proxy, also what could be done directly.
    pub by_proxy: bool,
    /// Only the barrier.
    pub only_barrier: bool,
    /// No operations of more bytes; none: as many as there are rows for.
    pub longest: Option<usize>,
}

/// The time of one operation, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// In the middle one of the batches.
    pub median_ns: f64,
    /// In the quickest.
    pub min_ns: f64,
}

impl Default for Effort {
    fn default() -> Self {
        Self { batch: Duration::from_micros(2000), batches: 15, row: Duration::from_millis(400) }
    }
}

impl Options {
    /// From the application's arguments.
    pub fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        for option in args.chunks(2) {
            let word = option.get(1).map_or("", String::as_str);
            let number = |most: u64| {
                let value = word.parse::<u64>().ok().filter(|value| (1..=most).contains(value));
                value.ok_or_else(|| format!("{} needs a number from 1 to {most}", option[0]))
            };
            match (option[0].as_str(), word) {
                ("--batch-us", _) => {
                    options.effort.batch = Duration::from_micros(number(10_000_000)?)
                }
                ("--batches", _) => options.effort.batches = number(10_000)? as usize,
                ("--row-ms", _) => options.effort.row = Duration::from_millis(number(600_000)?),
                ("--longest", _) => options.longest = Some(number(1 << 30)? as usize),
                ("--way", "direct") => options.by_proxy = false,
                ("--way", "proxy") => options.by_proxy = true,
                ("--rows", "all") => options.only_barrier = false,
                ("--rows", "barrier") => options.only_barrier = true,
                _ => {
                    return Err(
                        "usage: bench [--batch-us N] [--batches N] [--row-ms N] [--longest BYTES] \
                        [--way direct|proxy] [--rows all|barrier]"
                            .to_string(),
                    );
                }
            }
        }
        Ok(options)
    }
}

impl Effort {
    /// Measures `batch`, which does a number of operations and returns how long they took.
    pub fn measure<E>(
        &self,
        now: impl Fn() -> Duration,
        mut batch: impl FnMut(u64) -> Result<Duration, E>,
    ) -> Result<Sample, E> {
        let start = now();
        let spent = || now().saturating_sub(start);
        // The first operation of all may cost a thousand times what the others do, where code is
        // translated when it first runs.
        batch(1)?;
        let mut count = 1;
        let mut last = batch(count)?;
        while last < self.batch / 2 && spent() < self.row / 4 && count < MOST_OPERATIONS {
            count = self.next_count(count, last);
            last = batch(count)?;
        }
        let mut times = Vec::with_capacity(self.batches);
        let mut attempts = 0;
        while times.is_empty() || (times.len() < self.batches && spent() < self.row) {
            let took = batch(count)?;
            attempts += 1;
            // Under emulation a processor's clock may be ahead of the one that a domain moves to,
            // and then stands still for a while.
            if !took.is_zero() || attempts >= 4 * self.batches {
                times.push(took.as_nanos() as f64 / count as f64);
            }
        }
        Ok(Sample::of(times))
    }

    /// From how long a batch of `count` took, how many to try next.
    fn next_count(&self, count: u64, took: Duration) -> u64 {
        let fitting = u128::from(count) * self.batch.as_nanos() / took.as_nanos().max(1);
        // Not more than ten times as many: first operations are slow, and clocks coarse.
        (fitting as u64).clamp(count + 1, count.saturating_mul(10).max(count + 1))
    }
}

impl Sample {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self { median_ns: times[times.len() / 2], min_ns: times[0] }
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;
    use core::convert::Infallible;

    use super::*;

    /// Measures an operation of a known cost on a clock that only operations move.
    fn measure(effort: Effort, cost: Duration) -> (Sample, u64) {
        let (time, operations) = (Cell::new(Duration::ZERO), Cell::new(0));
        let sample = effort.measure(
            || time.get(),
            |count| {
                let took = cost * count as u32;
                time.set(time.get() + took);
                operations.set(operations.get() + count);
                Ok::<_, Infallible>(took)
            },
        );
        let Ok(sample) = sample;
        (sample, operations.get())
    }

    #[test]
    fn the_cost_comes_out_whatever_it_is() {
        for cost in [1, 70, 5_000, 900_000, 50_000_000] {
            let (sample, _) = measure(Effort::default(), Duration::from_nanos(cost));
            assert_eq!(sample, Sample { median_ns: cost as f64, min_ns: cost as f64 });
        }
    }

    #[test]
    fn a_row_ends_in_time() {
        let slow = Duration::from_millis(300);
        let (_, operations) = measure(Effort::default(), slow);
        assert!(operations <= 3, "{operations} operations of 300 ms in a row of 400 ms");
    }

    #[test]
    fn a_batch_in_which_the_clock_stood_still_does_not_count() {
        let (time, batches) = (Cell::new(Duration::ZERO), Cell::new(0));
        let sample = Effort::default().measure(
            || time.get(),
            |count| {
                batches.set(batches.get() + 1);
                let took = if batches.get() % 3 == 0 {
                    Duration::ZERO
                } else {
                    Duration::from_nanos(100 * count)
                };
                time.set(time.get() + took);
                Ok::<_, Infallible>(took)
            },
        );
        assert_eq!(sample, Ok(Sample { median_ns: 100.0, min_ns: 100.0 }));
    }

    #[test]
    fn a_clock_that_never_moves_ends_the_row_too() {
        let sample =
            Effort::default().measure(|| Duration::ZERO, |_| Ok::<_, Infallible>(Duration::ZERO));
        assert!(sample.is_ok());
    }

    #[test]
    fn the_middle_and_the_quickest_are_reported() {
        assert_eq!(Sample::of([9.0, 2.0, 4.0].into()), Sample { median_ns: 4.0, min_ns: 2.0 });
    }

    #[test]
    fn options_are_read_or_refused() {
        let parse = |text: &str| {
            Options::parse(&text.split_whitespace().map(String::from).collect::<Vec<_>>())
        };
        assert_eq!(parse(""), Ok(Options::default()));
        let effort =
            Effort { batch: Duration::from_micros(50), batches: 3, row: Duration::from_millis(7) };
        assert_eq!(
            parse("--row-ms 7 --batches 3 --batch-us 50"),
            Ok(Options { effort, ..Options::default() })
        );
        let proxy =
            Options { by_proxy: true, only_barrier: true, longest: Some(99), ..Options::default() };
        assert_eq!(parse("--way proxy --rows barrier --longest 99"), Ok(proxy));
        for bad in [
            "--row-ms",
            "--row-ms 0",
            "--batches x",
            "--size 3",
            "12",
            "--way",
            "--way there",
            "--longest 0",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

//! The cost of one-sided operations: rank 0 works on the memory of rank 1, all other ranks wait in
//! a barrier.
//!
//! `bench [--batch-us 2000] [--batches 15] [--row-ms 400] [--longest BYTES] [--way direct|proxy]
//! [--rows all|barrier]`: prints a table that machines read, `bench,op,bytes,median_ns,min_ns`, a
//! line an operation and size. A *batch* is as many operations as take about `--batch-us`; the
//! median and the minimum are those of the batches, for one operation. A row ends after `--row-ms`
//! even if there have been fewer batches, so that the table is also complete where everything is
//! slow.
//!
//! Rows: `memcpy` (between two pieces of rank 0's own window, the yardstick), `put`, `get`, `acc`
//! (accumulate of f64), `nbput` (non-blocking puts, [`BURST`] under way), `strided` (a put of 4 KiB
//! in rows of 64 bytes, to rows at distances of 128), `fetch-add`, `fetch-add-busy` (while the
//! target computes), `lock` (and unlock, of a mutex on rank 1), and `barrier` (of all ranks;
//! `barrier-N` where there are N, not two). A batch of puts or accumulates ends with a fence, whose
//! cost is shared by its operations. What was moved is checked after every row.

#![cfg_attr(xenolith_guest, no_std, no_main)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod effort;

use alloc::format;
use alloc::string::String;
use core::hint::black_box;
use core::time::Duration;

use guest_kernel::armci::{Armci, Error, Global, Mutexes, Strides};
use guest_kernel::{Exit, clock, println};

use effort::{Effort, Options, Sample};

/// Bytes of an operation. All are multiples of 8, for accumulates.
const SIZES: [usize; 10] =
    [8, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20];
/// Non-blocking operations under way.
const BURST: u64 = 64;
/// Longer non-blocking puts say nothing that blocking ones do not.
const BURST_LONGEST: usize = 4 << 10;
/// Elements of a row of a strided put, and from one row to the next at the target.
const ROW: usize = 8;
const PITCH: usize = 16;
/// How long the target of `fetch-add-busy` computes.
const BUSY: Duration = Duration::from_millis(200);
/// Most of its operations between two looks at the clock.
const BUSY_BATCH: u64 = 1024;
/// Bytes of a strided put.
const STRIDED: usize = 4 << 10;

guest_kernel::main!(run);

/// Why there is no complete table.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Armci(#[from] Error),
    #[error("wrong data after {op} of {bytes} bytes")]
    WrongData { op: &'static str, bytes: usize },
}

fn run() -> Exit {
    let armci = guest_kernel::armci();
    let reason = match Options::parse(guest_kernel::args()) {
        Ok(_) if armci.size() < 2 => String::from("needs two ranks: start it with `pgas run -n 2`"),
        Ok(options) => match benchmark(armci, &options) {
            Ok(()) => return Exit::SUCCESS,
            Err(failure) => {
                println!("bench: rank {}: {failure}", armci.rank());
                return Exit::FAILURE;
            }
        },
        Err(reason) => reason,
    };
    if armci.rank() == 0 {
        println!("bench: {reason}");
    }
    Exit::from(2)
}

fn benchmark(armci: &Armci, options: &Options) -> Result<(), Failure> {
    let effort = &options.effort;
    armci.reach_directly(!options.by_proxy);
    if armci.rank() == 0 {
        println!("bench,op,bytes,median_ns,min_ns");
    }
    if !options.only_barrier {
        operations(armci, options)?;
    }
    barriers(armci, effort)?;
    Ok(())
}

/// All rows in which rank 0 works on rank 1.
fn operations(armci: &Armci, options: &Options) -> Result<(), Failure> {
    let effort = &options.effort;
    let sizes = || {
        SIZES.into_iter().filter(|bytes| options.longest.is_none_or(|longest| *bytes <= longest))
    };
    let longest = sizes().max().unwrap_or(0).max(STRIDED / ROW * PITCH) / size_of::<f64>();
    // In front what is worked on, behind it what rank 0 works with; the proxy reaches both.
    let target = armci.malloc::<f64>(longest)?;
    let buffers = armci.malloc::<f64>(2 * longest)?;
    let counter = armci.malloc::<i64>(1)?;
    let mutexes = Mutexes::create(armci, 1)?;
    if armci.rank() == 0 {
        // SAFETY: no pointer to this rank's part is ever given away; only the operations below
        // touch it.
        let (source, destination) = unsafe { buffers.as_mut_slice() }.split_at_mut(longest);
        let mut pair =
            Pair { armci, effort, target: &target, counter: &counter, source, destination };
        for bytes in sizes() {
            pair.rows(bytes)?;
        }
        pair.strided()?;
        pair.fetch_add()?;
        let sample = effort.measure(clock::now, |count| {
            timed(|| {
                (0..count).try_for_each(|_| {
                    mutexes.lock(armci, 0, 1)?;
                    mutexes.unlock(armci, 0, 1)
                })
            })
        })?;
        print_row("lock", 0, sample);
        armci.barrier()?;
        pair.fetch_add_while_busy()?;
    } else {
        armci.barrier()?;
        compute_for(BUSY);
    }
    armci.barrier()?;
    mutexes.destroy(armci)?;
    armci.free(counter)?;
    armci.free(buffers)?;
    armci.free(target)?;
    Ok(())
}

/// Does nothing for ARMCI for so long.
fn compute_for(time: Duration) {
    let start = clock::now();
    let mut number = 1.0;
    while clock::now().saturating_sub(start) < time {
        for _ in 0..10_000 {
            number = black_box(number * 1.000_000_1 + 1e-9);
        }
    }
}

fn print_row(op: &str, bytes: usize, sample: Sample) {
    println!("xenolith,{op},{bytes},{:.1},{:.1}", sample.median_ns, sample.min_ns);
}

/// Rank 0 with what it needs to work on rank 1.
struct Pair<'a> {
    armci: &'a Armci,
    effort: &'a Effort,
    target: &'a Global<f64>,
    counter: &'a Global<i64>,
    source: &'a mut [f64],
    destination: &'a mut [f64],
}

impl Pair<'_> {
    /// All rows of one size.
    fn rows(&mut self, bytes: usize) -> Result<(), Failure> {
        self.memcpy(bytes)?;
        self.put("put", bytes, |armci, source, target, count| {
            (0..count).try_for_each(|_| armci.put(source, target.at(1, 0)))
        })?;
        self.get(bytes)?;
        self.accumulate(bytes)?;
        if bytes <= BURST_LONGEST {
            self.put("nbput", bytes, |armci, source, target, count| {
                let bursts = (0..count).step_by(BURST as usize).map(|done| BURST.min(count - done));
                bursts.into_iter().try_for_each(|burst| {
                    armci.nonblocking(|nb| {
                        (0..burst).try_for_each(|_| nb.put(source, target.at(1, 0)).map(drop))
                    })
                })
            })?;
        }
        Ok(())
    }

    fn memcpy(&mut self, bytes: usize) -> Result<(), Failure> {
        let len = elements(bytes);
        self.mark_source("memcpy", bytes);
        let (source, destination) = (&self.source[..len], &mut self.destination[..len]);
        let sample = self.effort.measure(clock::now, |count| {
            timed(|| {
                for _ in 0..count {
                    black_box(&mut *destination).copy_from_slice(black_box(source));
                }
                Ok(())
            })
        })?;
        self.finish_row("memcpy", bytes, sample)
    }

    fn put(
        &mut self,
        op: &'static str,
        bytes: usize,
        puts: impl Fn(&Armci, &[f64], &Global<f64>, u64) -> Result<(), Error>,
    ) -> Result<(), Failure> {
        let len = elements(bytes);
        self.mark_source(op, bytes);
        let source = &self.source[..len];
        let sample = self.effort.measure(clock::now, |count| {
            timed(|| {
                puts(self.armci, source, self.target, count)?;
                self.armci.fence(1)
            })
        })?;
        self.armci.get(&mut self.destination[..len], self.target.at(1, 0))?;
        self.finish_row(op, bytes, sample)
    }

    fn get(&mut self, bytes: usize) -> Result<(), Failure> {
        let len = elements(bytes);
        self.mark_source("get", bytes);
        self.armci.put(&self.source[..len], self.target.at(1, 0))?;
        let destination = &mut self.destination[..len];
        let sample = self.effort.measure(clock::now, |count| {
            timed(|| (0..count).try_for_each(|_| self.armci.get(destination, self.target.at(1, 0))))
        })?;
        self.finish_row("get", bytes, sample)
    }

    fn accumulate(&mut self, bytes: usize) -> Result<(), Failure> {
        let len = elements(bytes);
        self.source[..len].fill(0.0);
        self.armci.put(&self.source[..len], self.target.at(1, 0))?;
        self.source[..len].fill(1.0);
        let source = &self.source[..len];
        let mut done = 0;
        let sample = self.effort.measure(clock::now, |count| {
            done += count;
            timed(|| {
                (0..count)
                    .try_for_each(|_| self.armci.accumulate(1.0, source, self.target.at(1, 0)))?;
                self.armci.fence(1)
            })
        })?;
        self.armci.get(&mut self.destination[..len], self.target.at(1, 0))?;
        self.source[..len].fill(done as f64);
        self.finish_row("acc", bytes, sample)
    }

    fn strided(&mut self) -> Result<(), Failure> {
        let (len, rows) = (elements(STRIDED), elements(STRIDED) / ROW);
        self.mark_source("strided", STRIDED);
        let shape = Strides { counts: &[ROW, rows], local: &[ROW], remote: &[PITCH] };
        let source = &self.source[..len];
        let sample = self.effort.measure(clock::now, |count| {
            timed(|| {
                (0..count).try_for_each(|_| {
                    self.armci.put_strided(source, self.target.at(1, 0), &shape)
                })?;
                self.armci.fence(1)
            })
        })?;
        self.armci.get_strided(&mut self.destination[..len], self.target.at(1, 0), &shape)?;
        self.finish_row("strided", STRIDED, sample)
    }

    fn fetch_add(&mut self) -> Result<(), Failure> {
        let mut done = 0;
        let sample = self.effort.measure(clock::now, |count| {
            done += count;
            timed(|| {
                (0..count)
                    .try_for_each(|_| self.armci.fetch_add(self.counter.at(1, 0), 1).map(drop))
            })
        })?;
        if self.armci.fetch_add(self.counter.at(1, 0), 0)? != done as i64 {
            return Err(Failure::WrongData { op: "fetch-add", bytes: 8 });
        }
        print_row("fetch-add", 8, sample);
        Ok(())
    }

    /// As many as can be done while the target computes, or one if it takes until the target does
    /// something else.
    fn fetch_add_while_busy(&mut self) -> Result<(), Failure> {
        let (start, mut done, mut batch) = (clock::now(), 0u64, 1);
        let took = loop {
            // More and more between two looks at the clock, whose cost is to be nobody's.
            for _ in 0..batch {
                self.armci.fetch_add(self.counter.at(1, 0), 1)?;
            }
            done += batch;
            batch = (2 * batch).min(BUSY_BATCH);
            let took = clock::now().saturating_sub(start);
            if took >= BUSY * 9 / 10 {
                break took;
            }
        };
        let each = took.as_nanos() as f64 / done as f64;
        print_row("fetch-add-busy", 8, Sample { median_ns: each, min_ns: each });
        Ok(())
    }

    /// Numbers that no earlier row has left anywhere.
    fn mark_source(&mut self, op: &str, bytes: usize) {
        let mark = op.bytes().fold(bytes, |mark, letter| mark * 31 + usize::from(letter)) as f64;
        self.source
            .iter_mut()
            .enumerate()
            .for_each(|(index, element)| *element = mark + index as f64);
    }

    /// Prints the row if what has arrived is what was sent.
    fn finish_row(&self, op: &'static str, bytes: usize, sample: Sample) -> Result<(), Failure> {
        let len = elements(bytes);
        if self.destination[..len] != self.source[..len] {
            return Err(Failure::WrongData { op, bytes });
        }
        print_row(op, bytes, sample);
        Ok(())
    }
}

fn elements(bytes: usize) -> usize {
    bytes / size_of::<f64>()
}

/// All ranks make as many barriers as rank 0 says.
fn barriers(armci: &Armci, effort: &Effort) -> Result<(), Error> {
    let batch = |count: u64| {
        let mut count = [count];
        armci.broadcast(0, &mut count)?;
        timed(|| (0..count[0]).try_for_each(|_| armci.barrier())).map(|time| (count[0], time))
    };
    if armci.rank() == 0 {
        let sample = effort.measure(clock::now, |count| batch(count).map(|(_, time)| time))?;
        match armci.size() {
            2 => print_row("barrier", 0, sample),
            size => print_row(&format!("barrier-{size}"), 0, sample),
        }
        batch(0)?;
    } else {
        while batch(0)?.0 > 0 {}
    }
    Ok(())
}

/// How long `work` takes.
fn timed(work: impl FnOnce() -> Result<(), Error>) -> Result<Duration, Error> {
    let start = clock::now();
    work()?;
    Ok(clock::now().saturating_sub(start))
}

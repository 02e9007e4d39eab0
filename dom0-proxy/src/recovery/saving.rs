//! One line on its way to an image: copies, times, and whoever writes the image.

use std::fs;
use std::time::{Duration, Instant};

use super::host::{Host, RankCopy};
use super::line_error::LineError;
use super::protocol::Epoch;
use crate::engine::Traffic;

/// Writes an image. Dropping it before its commit leaves nothing behind.
pub trait ImageWriter {
    /// All ranks stand still, and nothing is under way: what is to be known of them besides their
    /// memory is to be found out now, quickly.
    fn reached(&mut self);

    /// Writes the image of this line, so that it would survive a power cut.
    ///
    /// # Errors
    /// Why not, in one line for the user.
    fn write(&mut self, epoch: Epoch, ranks: &[RankCopy]) -> Result<(), String>;

    /// Makes it an image, all of it or nothing.
    ///
    /// # Errors
    /// Why not, in one line for the user.
    fn commit(&mut self) -> Result<(), String>;
}

/// How long each part of a line took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineTimes {
    /// Until nothing was under way any more.
    pub line: Duration,
    /// Until all ranks stood still.
    pub park: Duration,
    /// Copying their memory.
    pub copy: Duration,
    /// From the closing of the gates until the ranks went on, or were left as they were.
    pub stall: Duration,
    /// Writing the image and making it durable.
    pub write: Duration,
    /// The commit.
    pub commit: Duration,
}

/// A line that is to become an image.
pub(super) struct Save<'a> {
    images: &'a mut dyn ImageWriter,
    pub(super) copies: Vec<RankCopy>,
    closed_at: Instant,
    pub(super) times: LineTimes,
}

impl<'a> Save<'a> {
    /// Makes room for copies of the ranks' memory while they still run, in `copies` as far as that
    /// goes: memory that has just been taken from the system is slow.
    pub(super) fn new(
        host: &dyn Host,
        images: &'a mut dyn ImageWriter,
        mut copies: Vec<RankCopy>,
    ) -> Result<Self, LineError> {
        let layouts = host.layouts()?;
        let needed: u64 = layouts.iter().map(|layout| layout.len).sum();
        let there = copies.iter().map(|copy| copy.memory.capacity() as u64).sum();
        let (more, available) = (needed.saturating_sub(there), available_memory());
        if more > available {
            return Err(LineError::NoMemory { needed: more >> 20, available: available >> 20 });
        }
        copies.truncate(layouts.len());
        copies.resize_with(layouts.len(), || RankCopy {
            layout: layouts[0],
            traffic: Traffic::default(),
            memory: Vec::new(),
        });
        for (copy, layout) in copies.iter_mut().zip(layouts) {
            copy.layout = layout;
            copy.memory.resize(layout.len as usize, 0);
        }
        Ok(Self { images, copies, closed_at: Instant::now(), times: LineTimes::default() })
    }

    pub(super) fn close(&mut self, host: &dyn Host) -> Result<(), LineError> {
        self.closed_at = Instant::now();
        timed(&mut self.times.line, || host.close())?;
        Ok(())
    }

    pub(super) fn open(&mut self, host: &dyn Host) -> Result<(), LineError> {
        let opened = host.open();
        self.times.stall = self.closed_at.elapsed();
        Ok(opened?)
    }

    /// Has the ranks stand still, and copies them.
    pub(super) fn copy(&mut self, host: &dyn Host) -> Result<(), LineError> {
        timed(&mut self.times.park, || host.park())?;
        self.images.reached();
        let traffic = host.traffic()?;
        let copies = (0..).zip(&mut self.copies).zip(traffic);
        timed(&mut self.times.copy, || {
            for ((rank, copy), traffic) in copies {
                copy.traffic = traffic;
                let there = copy.memory.len();
                copy.memory = host.copy(rank, std::mem::take(&mut copy.memory))?;
                if copy.memory.len() != there {
                    return Err(LineError::Image(format!("rank {rank} has lost memory")));
                }
            }
            Ok(())
        })?;
        // Until it goes on, if it does.
        self.times.stall = self.closed_at.elapsed();
        Ok(())
    }

    pub(super) fn write(&mut self, epoch: Epoch) -> Result<(), LineError> {
        let (images, copies) = (&mut self.images, &self.copies);
        timed(&mut self.times.write, || images.write(epoch, copies)).map_err(LineError::Image)
    }

    pub(super) fn commit(&mut self) -> Result<(), LineError> {
        let images = &mut self.images;
        timed(&mut self.times.commit, || images.commit()).map_err(LineError::Image)
    }
}

/// Does it, and notes how long that took.
fn timed<T>(time: &mut Duration, work: impl FnOnce() -> T) -> T {
    let since = Instant::now();
    let done = work();
    *time = since.elapsed();
    done
}

/// Bytes that Linux could give to this process, as far as it says so.
fn available_memory() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    available_in(&meminfo).unwrap_or(u64::MAX)
}

fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_says_what_is_available() {
        let said = "MemTotal:        8052008 kB\nMemAvailable:    7000000 kB\nBuffers: 1 kB\n";
        assert_eq!(available_in(said), Some(7_000_000 << 10));
        assert_eq!(available_in("MemFree: 5 kB\n"), None);
    }
}

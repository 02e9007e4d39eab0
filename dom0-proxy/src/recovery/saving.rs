//! One line on its way to an image: copies, times, and whoever writes the image.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use armci_nostd::serve::Window;
use armci_nostd::wire::attach::WindowLayout;

use super::host::{Host, RankCopy};
use super::line_error::LineError;
use super::protocol::Epoch;
use super::room::Room;
use crate::engine::{Copied, OrderError};
use crate::images::PAGE;

// What is copied tells of the pages that are stored.
const _: () = assert!(Window::PAGE == PAGE);

/// Writes an image. Dropping it before its commit leaves nothing behind.
pub trait ImageWriter {
    /// All ranks stand still, and nothing is under way: what is to be known of them besides their
    /// memory is to be found out now, quickly.
    fn reached(&mut self);

    /// Begins the image of this line.
    ///
    /// # Errors
    /// Why not, in one line for the user.
    fn begin(&mut self, epoch: Epoch) -> Result<(), String>;

    /// Writes a rank, and keeps with the copy what it finds out about its pages. Ranks come in
    /// their order.
    ///
    /// # Errors
    /// Why not, in one line for the user.
    fn rank(&mut self, rank: u32, copy: &mut RankCopy) -> Result<(), String>;

    /// Ends the image, which would survive a power cut then.
    ///
    /// # Errors
    /// Why not, in one line for the user.
    fn finish(&mut self) -> Result<(), String>;

    /// Makes it an image, all of it or nothing.
    ///
    /// # Errors
    /// Why not, in one line for the user.
    fn commit(&mut self) -> Result<(), String>;
}

/// What a line took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineFigures {
    /// When the gates were closed, since 1970.
    pub at: Duration,
    /// From then until nothing was under way any more.
    pub line: Duration,
    /// Operations that had to be brought to their end for that.
    pub drained: u64,
    /// Until all ranks stood still.
    pub park: Duration,
    /// Copying their memory; writing it besides, if it was [written through](Self::through).
    pub copy: Duration,
    /// From the closing of the gates until the ranks went on, or were left as they were.
    pub stall: Duration,
    /// For how long of that each rank stood still; nothing is known if the job ended meanwhile.
    pub stalls: Vec<Duration>,
    /// Writing the image and making it durable.
    pub write: Duration,
    /// The commit.
    pub commit: Duration,
    /// Whether the ranks stood still until all of them were written, since there was no memory for
    /// copies of all of them at a time.
    pub through: bool,
}

/// A line that is to become an image.
pub(super) struct Save<'a> {
    images: &'a mut dyn ImageWriter,
    layouts: Vec<WindowLayout>,
    /// Of each rank; if they are written through, of one at a time.
    pub(super) copies: Vec<RankCopy>,
    closed_at: Instant,
    pub(super) figures: LineFigures,
}

impl<'a> Save<'a> {
    /// The copies go where there is `room`.
    pub(super) fn new(images: &'a mut dyn ImageWriter, room: Room) -> Self {
        let Room { layouts, copies, through } = room;
        let figures = LineFigures { through, ..LineFigures::default() };
        Self { images, layouts, copies, closed_at: Instant::now(), figures }
    }

    pub(super) fn close(&mut self, host: &dyn Host) -> Result<(), LineError> {
        self.closed_at = Instant::now();
        self.figures.at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.figures.drained = timed(&mut self.figures.line, || host.close())?;
        Ok(())
    }

    pub(super) fn open(&mut self, host: &dyn Host) -> Result<(), LineError> {
        let opened = host.open();
        self.figures.stall = self.closed_at.elapsed();
        Ok(opened?)
    }

    /// Has the ranks stand still, and copies them.
    pub(super) fn copy(&mut self, host: &dyn Host, epoch: Epoch) -> Result<(), LineError> {
        timed(&mut self.figures.park, || host.park())?;
        self.images.reached();
        let Self { images, layouts, copies, figures, .. } = self;
        let through = figures.through;
        let ranks = (0..).zip(&*layouts).zip(host.traffic()?);
        timed(&mut figures.copy, || {
            if through {
                images.begin(epoch).map_err(LineError::Image)?;
            }
            for ((rank, layout), traffic) in ranks {
                let copy = &mut copies[if through { 0 } else { rank as usize }];
                (copy.layout, copy.traffic) = (*layout, traffic);
                copy.memory.resize(layout.len as usize);
                copy.memory.change(|buffer| {
                    let Copied { bytes, changed, free } = host.copy(rank, buffer)?;
                    copy.free = free;
                    Ok::<_, OrderError>((bytes, changed))
                })?;
                if copy.memory.bytes().len() as u64 != layout.len {
                    return Err(LineError::Image(format!("rank {rank} has lost memory")));
                }
                if through {
                    images.rank(rank, copy).map_err(LineError::Image)?;
                }
            }
            Ok(())
        })?;
        // Until it goes on, if it does.
        self.figures.stall = self.closed_at.elapsed();
        Ok(())
    }

    pub(super) fn write(&mut self, host: &dyn Host, epoch: Epoch) -> Result<(), LineError> {
        // What was copied is good, whatever has become of the job.
        self.figures.stalls = host.stood_still().unwrap_or_default();
        let Self { images, copies, figures, .. } = self;
        let through = figures.through;
        let write = || {
            if !through {
                images.begin(epoch)?;
                (0..).zip(copies).try_for_each(|(rank, copy)| images.rank(rank, copy))?;
            }
            images.finish()
        };
        timed(&mut figures.write, write).map_err(LineError::Image)
    }

    pub(super) fn commit(&mut self) -> Result<(), LineError> {
        let images = &mut self.images;
        timed(&mut self.figures.commit, || images.commit()).map_err(LineError::Image)
    }
}

/// Does it, and notes how long that took.
fn timed<T>(time: &mut Duration, work: impl FnOnce() -> T) -> T {
    let since = Instant::now();
    let done = work();
    *time = since.elapsed();
    done
}

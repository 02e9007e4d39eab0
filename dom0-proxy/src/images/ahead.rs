//! Reading all of an image before any of it is used.

use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;

use super::chunk::{PAGE, PageBytes};
use super::error::Result;
use super::image::Image;

impl Image {
    /// Reads each chunk once, by a thread a processor, so that whatever is damaged shows now. The
    /// chunks are kept, and not read again, unless they have more than `room` bytes.
    ///
    /// # Errors
    /// [`ImagesError`](super::ImagesError).
    pub fn read_ahead(&mut self, room: u64) -> Result<()> {
        let chunks = self.chunks();
        let is_room = u64::from(chunks) * PAGE as u64 <= room;
        let mut kept = vec![[0; PAGE]; if is_room { chunks as usize } else { 0 }];
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let share = (chunks as usize).div_ceil(threads).max(1);
        let image = &*self;
        thread::scope(|scope| {
            let mut places = kept.chunks_mut(share);
            let reads = (0..chunks).step_by(share).map(|first| {
                let numbers = first..chunks.min(first.saturating_add(share as u32));
                let places = places.next().unwrap_or_default();
                scope.spawn(move || image.again()?.read(numbers, places))
            });
            let reads: Vec<_> = reads.collect();
            reads
                .into_iter()
                .try_for_each(|read| read.join().unwrap_or_else(|panic| resume_unwind(panic)))
        })?;
        if is_room {
            self.keep(kept);
        }
        Ok(())
    }

    /// Reads these chunks, and puts them where there is a place for them.
    fn read(&mut self, numbers: Range<u32>, places: &mut [PageBytes]) -> Result<()> {
        let mut places = places.iter_mut();
        for number in numbers {
            let chunk = self.chunk(number)?;
            if let Some(place) = places.next() {
                *place = *chunk;
            }
        }
        Ok(())
    }
}

//! The thread that makes the domains of a restored job its ranks.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::{io, thread};

use super::event::JobEvent;
use super::saved::{SavedJob, refused};
use crate::engine::{EngineOrders, OrderError};
use crate::error::Result;
use crate::images::{PAGE, Page};

/// How much is filled at a time.
const PIECE: usize = 1 << 20;

/// Starts it, when all domains wait for their memory. It says [`JobEvent::Landed`] when the job
/// goes on, or cannot.
pub fn start(
    job: &str,
    saved: Arc<SavedJob>,
    engine: EngineOrders,
    events: Sender<JobEvent>,
) -> io::Result<()> {
    let thread = thread::Builder::new().name(format!("restore-{job}"));
    let restore = move || {
        let result = restore(&saved, &engine).map_err(|error| error.to_string());
        // A job that has ended does not care.
        let _ = events.send(JobEvent::Landed(result));
    };
    thread.spawn(restore).map(drop)
}

fn restore(saved: &SavedJob, engine: &EngineOrders) -> Result<(), RestoreError> {
    let mut image = saved.take_image()?;
    let mut filler = Filler::new(engine);
    for rank in 0..saved.spec().size {
        image
            .for_each_page(rank, |number, page| filler.take(rank, number, page))
            .map_err(refused)?;
    }
    filler.finish()?;
    drop(image);
    // They are their memory, and stay where they wait.
    saved.ended().for_each(|(rank, _)| engine.ended(rank));
    engine.land()?;
    engine.start_serving()?;
    Ok(engine.open_gates()?)
}

/// Why a job was not restored.
#[derive(Debug, thiserror::Error)]
enum RestoreError {
    #[error("{0}")]
    Image(#[from] crate::Error),
    #[error("{0}")]
    Engine(#[from] OrderError),
}

/// What memory is filled by.
trait Memory {
    /// Fills bytes of a rank's window, and gives the buffer back.
    fn fill(&self, rank: u32, offset: u64, bytes: Vec<u8>) -> Result<Vec<u8>, OrderError>;
}

impl Memory for EngineOrders {
    fn fill(&self, rank: u32, offset: u64, bytes: Vec<u8>) -> Result<Vec<u8>, OrderError> {
        self.fill_window(rank, offset, bytes)
    }
}

/// Puts pages together to larger pieces. After an error it takes what comes, and does nothing.
struct Filler<'a> {
    memory: &'a dyn Memory,
    /// Pages that follow each other.
    piece: Vec<u8>,
    rank: u32,
    /// Where the piece begins.
    offset: u64,
    error: Option<OrderError>,
}

impl<'a> Filler<'a> {
    fn new(memory: &'a dyn Memory) -> Self {
        Self { memory, piece: Vec::with_capacity(PIECE), rank: 0, offset: 0, error: None }
    }

    fn take(&mut self, rank: u32, number: u64, page: Page<'_>) {
        let bytes: &[u8; PAGE] = match page {
            Page::Data(bytes) => bytes,
            // Memory of a new domain may be anything.
            Page::Zero => &[0; PAGE],
            Page::Free => return,
        };
        let offset = number * PAGE as u64;
        let goes_on = (self.rank, self.offset + self.piece.len() as u64) == (rank, offset);
        if !goes_on || self.piece.len() + PAGE > PIECE {
            self.flush();
            (self.rank, self.offset) = (rank, offset);
        }
        self.piece.extend_from_slice(bytes);
    }

    fn flush(&mut self) {
        let piece = std::mem::take(&mut self.piece);
        if !piece.is_empty() && self.error.is_none() {
            match self.memory.fill(self.rank, self.offset, piece) {
                Ok(buffer) => self.piece = buffer,
                Err(error) => self.error = Some(error),
            }
        }
        self.piece.clear();
    }

    fn finish(mut self) -> Result<(), OrderError> {
        self.flush();
        self.error.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Two ranks of 600 pages of garbage, and how often something was filled.
    struct MadeUp(RefCell<(Vec<Vec<u8>>, u32)>);

    impl Memory for MadeUp {
        fn fill(&self, rank: u32, offset: u64, bytes: Vec<u8>) -> Result<Vec<u8>, OrderError> {
            let (memory, pieces) = &mut *self.0.borrow_mut();
            let place = memory.get_mut(rank as usize).ok_or(OrderError::NoRank(rank))?;
            place[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
            *pieces += 1;
            Ok(bytes)
        }
    }

    #[test]
    fn all_pages_are_filled_but_those_of_no_use() {
        const PAGES: usize = 600;
        let memory = MadeUp(RefCell::new((vec![vec![0xee; PAGES * PAGE]; 2], 0)));
        let mut filler = Filler::new(&memory);
        let content = |rank: u32, number: usize| match number % 50 {
            49 => None,
            other => Some((other as u8).wrapping_mul(rank as u8 + 3)),
        };
        for (rank, number) in (0..2).flat_map(|rank| (0..PAGES).map(move |it| (rank, it))) {
            let page = content(rank, number).map(|byte| [byte; PAGE]);
            filler.take(
                rank,
                number as u64,
                match &page {
                    None => Page::Free,
                    Some([0, ..]) => Page::Zero,
                    Some(bytes) => Page::Data(bytes),
                },
            );
        }
        filler.finish().unwrap();
        let (memory, pieces) = memory.0.into_inner();
        for (rank, memory) in (0..).zip(memory) {
            for (number, page) in memory.chunks(PAGE).enumerate() {
                let byte = content(rank, number).unwrap_or(0xee);
                assert!(page.iter().all(|it| *it == byte), "page {number} of rank {rank}");
            }
        }
        assert_eq!(pieces, 24);
    }

    #[test]
    fn pages_without_a_gap_go_in_large_pieces() {
        let memory = MadeUp(RefCell::new((vec![vec![0xee; 600 * PAGE]; 2], 0)));
        let mut filler = Filler::new(&memory);
        for (rank, number) in (0..2).flat_map(|rank| (0..600).map(move |it| (rank, it))) {
            filler.take(rank, number, Page::Zero);
        }
        filler.finish().unwrap();
        let (memory, pieces) = memory.0.into_inner();
        assert!(memory.iter().flatten().all(|byte| *byte == 0));
        assert_eq!(pieces, 6);
    }

    #[test]
    fn what_cannot_be_filled_is_told_once() {
        let memory = MadeUp(RefCell::new((Vec::new(), 0)));
        let mut filler = Filler::new(&memory);
        for number in 0..600 {
            filler.take(4, number, Page::Data(&[1; PAGE]));
        }
        assert_eq!(filler.finish(), Err(OrderError::NoRank(4)));
    }
}

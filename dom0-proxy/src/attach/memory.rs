//! The memory of a rank, as whoever serves the rank must have it.

use std::io;
use std::ops::Range;

/// Keeps a rank's memory mapped until it is dropped.
pub trait RankMemory: Send {
    /// Sees to it that these bytes, counted from the first of the window, are there, so that the
    /// daemon is not the one to take memory from the host. To be called before they are touched.
    ///
    /// # Errors
    /// There is not enough memory.
    fn provide(&self, _range: Range<u64>) -> io::Result<()> {
        Ok(())
    }
}

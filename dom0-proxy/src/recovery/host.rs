//! What a line does on one host: the rings and gates of its ranks, and copies of their memory.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use armci_nostd::wire::attach::WindowLayout;

use super::available_memory::available_memory;
use crate::engine::{Copied, EngineOrders, OrderError, Traffic};
use crate::images::PageMemory;

/// A rank as it was at a line, but for how it had ended if it had.
#[derive(Clone, Debug)]
pub struct RankCopy {
    /// Where its memory was.
    pub layout: WindowLayout,
    /// What had been served for it, without what it had done directly.
    pub traffic: Traffic,
    /// Its window, from the first byte to the last.
    pub memory: PageMemory,
    /// The numbers of the pages that hold nothing it needs, and were not copied: ascending.
    pub free: Vec<Range<u64>>,
}

/// The ranks of one host, as a line needs them.
pub(super) trait Host: fmt::Debug + Send + Sync {
    /// Whether nothing seems to be under way now, if that can be told within `patience`.
    fn is_quiet(&self, patience: Duration) -> bool;

    /// Brings all that is under way to its end, and takes nothing new. How many operations that
    /// were.
    fn close(&self) -> Result<u64, OrderError>;

    /// Undoes [`close`](Self::close), as far as it came, and what stands still goes on.
    fn open(&self) -> Result<(), OrderError>;

    /// Has the ranks stand still.
    fn park(&self) -> Result<(), OrderError>;

    /// For how long each rank stood still, or does by now.
    fn stood_still(&self) -> Result<Vec<Duration>, OrderError>;

    /// Where the ranks' memory is.
    fn layouts(&self) -> Result<Vec<WindowLayout>, OrderError>;

    /// What was served for each rank.
    fn traffic(&self) -> Result<Vec<Traffic>, OrderError>;

    /// Copies a rank's window, which is as long as the buffer, but for free pages.
    fn copy(&self, rank: u32, buffer: Vec<u8>) -> Result<Copied, OrderError>;

    /// Bytes of memory that there are for copies.
    fn available_memory(&self) -> u64;
}

impl Host for EngineOrders {
    fn is_quiet(&self, patience: Duration) -> bool {
        Self::is_quiet(self, patience)
    }

    fn close(&self) -> Result<u64, OrderError> {
        self.close_gates()?;
        self.stop_serving()?;
        self.drained()
    }

    fn open(&self) -> Result<(), OrderError> {
        self.go_on()?;
        self.start_serving()?;
        self.open_gates()
    }

    fn park(&self) -> Result<(), OrderError> {
        Self::park(self)
    }

    fn stood_still(&self) -> Result<Vec<Duration>, OrderError> {
        Self::stood_still(self)
    }

    fn layouts(&self) -> Result<Vec<WindowLayout>, OrderError> {
        Self::layouts(self)
    }

    fn traffic(&self) -> Result<Vec<Traffic>, OrderError> {
        Self::traffic(self)
    }

    fn copy(&self, rank: u32, buffer: Vec<u8>) -> Result<Copied, OrderError> {
        self.copy_window(rank, buffer)
    }

    fn available_memory(&self) -> u64 {
        available_memory()
    }
}

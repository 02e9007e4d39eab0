//! What a line does on one host: the rings and gates of its ranks, and copies of their memory.

use std::fmt;

use armci_nostd::wire::attach::WindowLayout;

use crate::engine::{EngineOrders, OrderError, Traffic};

/// A rank as it was at a line, but for how it had ended if it had.
#[derive(Clone, Debug)]
pub struct RankCopy {
    /// Where its memory was.
    pub layout: WindowLayout,
    /// What had been served for it, without what it had done directly.
    pub traffic: Traffic,
    /// Its window, from the first byte to the last.
    pub memory: Vec<u8>,
}

/// The ranks of one host, as a line needs them.
pub(super) trait Host: fmt::Debug + Send + Sync {
    /// Brings all that is under way to its end, and takes nothing new.
    fn close(&self) -> Result<(), OrderError>;

    /// Undoes [`close`](Self::close), as far as it came, and what stands still goes on.
    fn open(&self) -> Result<(), OrderError>;

    /// Has the ranks stand still.
    fn park(&self) -> Result<(), OrderError>;

    /// Where the ranks' memory is.
    fn layouts(&self) -> Result<Vec<WindowLayout>, OrderError>;

    /// What was served for each rank.
    fn traffic(&self) -> Result<Vec<Traffic>, OrderError>;

    /// Copies a rank's window, which is as long as the buffer.
    fn copy(&self, rank: u32, buffer: Vec<u8>) -> Result<Vec<u8>, OrderError>;
}

impl Host for EngineOrders {
    fn close(&self) -> Result<(), OrderError> {
        self.close_gates()?;
        self.stop_serving()
    }

    fn open(&self) -> Result<(), OrderError> {
        self.go_on()?;
        self.start_serving()?;
        self.open_gates()
    }

    fn park(&self) -> Result<(), OrderError> {
        Self::park(self)
    }

    fn layouts(&self) -> Result<Vec<WindowLayout>, OrderError> {
        Self::layouts(self)
    }

    fn traffic(&self) -> Result<Vec<Traffic>, OrderError> {
        Self::traffic(self)
    }

    fn copy(&self, rank: u32, buffer: Vec<u8>) -> Result<Vec<u8>, OrderError> {
        self.copy_window(rank, 0, buffer)
    }
}

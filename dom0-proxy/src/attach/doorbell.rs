//! What wakes a rank and its proxy.

use std::os::fd::BorrowedFd;

/// Wakes the rank, and is woken by it.
pub trait Doorbell: Send {
    /// Wakes the rank, now or when it next blocks. Never blocks.
    fn ring(&self);

    /// Readable, edge by edge, when the rank has rung. Ranks may share one.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Takes note of the ringing of all ranks that share the descriptor, so that the next is seen.
    /// False if there may be more that will not be seen: then this is to be called again soon.
    /// Never blocks, and takes no longer however often a rank rings.
    fn acknowledge(&self) -> bool;
}

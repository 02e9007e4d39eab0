//! What a job needs of its ranks, however they run.

use crate::control::RankSignal;
use crate::error::Result;

/// The ranks of one job.
pub trait Ranks: Send {
    /// Starts all of them, and returns when they are started or on their way. What happens to them
    /// comes as events.
    fn start(&mut self) -> Result<()>;

    /// Passes a signal on to all of them, where ranks take signals.
    fn signal(&mut self, signal: RankSignal);

    /// Starts no more of them, and attaches no more; processes are killed. The job's memory is
    /// given back next.
    fn stop(&mut self);

    /// Ends all that are left, at once. When this returns nothing of them is left on the host.
    /// Called after [`stop`](Self::stop), when none of their memory is mapped any more.
    ///
    /// # Errors
    /// What may be left after all.
    fn end(&mut self) -> Result<()>;
}

//! Serves the rings of one job.
//!
//! One thread a job: jobs cannot harm each other. The thread waits until all ranks are attached, so
//! that no operation can meet an absent target; then it tells them and serves them in turn, a batch
//! each. While there is work it polls; then it asks to be woken, looks once more, and blocks.
//!
//! Ranks of one host reach each other's memory by themselves while their
//! [gates](armci_nostd::shared::gate) are open, and ask only for what they cannot do. The engine
//! opens the gates when all are attached, and closes them for whoever needs memory that stands
//! still.
//!
//! With the gates closed the rings can be stopped too, between two rounds. Then all that is under
//! way is in the ranks' memory. Ranks that are domains can be told to stand still besides; then all
//! that they are can be copied.
//!
//! The engine of a job that is restored begins with ranks that stand still: domains whose memory is
//! to be filled, before they land and are served.
//!
//! The first thing that a rank does wrong fails the job: all ranks are told, nothing more is done
//! for them, and the job hears who did what.
//!
//! ```text
//! handle     what the job holds: orders to the thread
//! worker     the thread: gathers ranks, takes orders, serves, blocks
//! rounds     entries taken from the rings, done, answered
//! elsewhere  ranks on other hosts: what they are asked for, through the fabric
//! placement  which ranks run where
//! service    what is done for the ranks, and how that may change: no I/O
//! gates      closed and opened for all ranks
//! parking    ranks that stand still
//! copied     copies of their memory, without what they tell to be free
//! patience   how long to poll before blocking
//! placement  which ranks are on which host
//! doorbells  where to block: all doorbells of the job
//! ```

mod copied;
mod doorbells;
mod elsewhere;
mod free_memory;
mod gates;
mod handle;
#[cfg(test)]
mod landing_tests;
mod notice;
mod order;
mod parking;
mod patience;
mod placement;
mod rounds;
mod service;
mod traffic;
mod worker;

pub use copied::Copied;
pub use handle::{Engine, EngineOrders};
pub use notice::Notice;
pub use patience::Pause;
pub use placement::Placement;
pub use service::{OrderError, ServiceState};
pub use traffic::{Count, Traffic};

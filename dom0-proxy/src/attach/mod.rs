//! How ranks attach: their memory mapped here, and a doorbell in each direction.
//!
//! - [`hosted`]: a Linux process passes a memfd and two doorbells through a Unix socket;
//! - [`domain`]: a domain grants its pages and offers an event channel, in one xenstore node.
//!
//! - [`domain`] too, in a node of another name: one that waits to become a rank that was saved.
//!
//! All end in an [`RankAttachment`], which is all that whoever serves a rank knows of it.

mod area;
mod attachment;
mod bad_attach;
mod card;
pub mod domain;
mod doorbell;
mod fleet;
pub mod hosted;
mod introductions;
mod landing;
#[cfg(test)]
pub(crate) mod made_up;
mod memory;
mod provided;
mod shared_memory;

pub(crate) use area::{DirectTally, RankStanding};
pub use attachment::RankAttachment;
pub use bad_attach::BadAttach;
pub(crate) use fleet::{AttachedRank, Fleet};
pub(crate) use introductions::{Introductions, Told};
pub use landing::Landing;
pub use memory::RankMemory;
pub use provided::{MemoryProvider, provide_memory};
pub use shared_memory::SharedMemory;

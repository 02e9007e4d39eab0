//! A rank as a Linux process: the same ring on a memfd, an eventfd and a pair of sockets as
//! doorbells, attached through a Unix socket.

mod attach;
mod error;
pub mod frame;
mod mapped_rank;
mod platform;
mod rank;
#[cfg_attr(not(feature = "capi"), allow(dead_code, reason = "only calls of C take turns"))]
pub(crate) mod threads;
mod window;

pub use attach::{attach, attach_as};
pub use error::HostedError;
pub use rank::HostedRank;

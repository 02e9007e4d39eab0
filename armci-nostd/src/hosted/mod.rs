//! A rank as a Linux process: the same ring on a memfd, doorbells by eventfd, attached through a
//! Unix socket.

mod attach;
mod error;
pub mod frame;
mod peer;
mod platform;
pub(crate) mod threads;
mod window;

pub use attach::{HostedRank, attach, attach_as};
pub use error::HostedError;

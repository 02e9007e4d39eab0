//! The rank: its place in the job, and how it reaches its proxy and the other ranks.

pub(crate) mod attachment;
mod doorbell;
pub mod neighbours;
pub(crate) mod park;
pub(crate) mod place;
#[allow(unsafe_code, reason = "ARMCI's `Platform` is an unsafe trait")]
mod platform;

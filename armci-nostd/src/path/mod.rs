//! How a rank reaches the memory of the others: directly, or by the proxy.
//!
//! All of it works on a rank's [`Paths`](paths::Paths) and knows nothing of groups, messages or
//! allocations. An [`operation`](rows::Operation) is a sequence of rows. [`dispatch`] does each row
//! on a [`visit`] to the target's memory where there is a way, and gives the rest to [`by_proxy`].

pub(crate) mod acquaintance;
mod bounce;
pub(crate) mod by_proxy;
pub(crate) mod dispatch;
pub(crate) mod link;
pub(crate) mod neighbour;
pub(crate) mod paths;
pub(crate) mod platform;
pub(crate) mod rows;
pub(crate) mod sharing;
pub(crate) mod visit;

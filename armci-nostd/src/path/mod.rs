//! How a rank's operations reach the memory of others: directly, or by the proxy.

pub(crate) mod direct;
pub(crate) mod link;
pub(crate) mod platform;
pub(crate) mod transfer;

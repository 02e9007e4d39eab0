//! How proxies, and `pgas` and proxies, know that the other side belongs to them.

mod secret;

pub use secret::Secret;

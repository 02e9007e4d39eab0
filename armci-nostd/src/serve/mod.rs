//! The proxy's side of a request: what is checked, and what is done.

pub mod memory;

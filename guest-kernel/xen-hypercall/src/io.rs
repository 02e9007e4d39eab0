//! Rings that a guest shares with a backend (`io/`).

pub mod console;
pub mod xenstore;

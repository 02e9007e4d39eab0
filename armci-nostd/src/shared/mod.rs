//! What lies in memory that two sides use at once: the rings, the doorbell's word, the gate and the
//! lock. Each is an algorithm on atomics, apart from the memory it works on, so that loom can check
//! it.

pub mod gate;
pub mod lock;
pub mod ring;
mod sync;

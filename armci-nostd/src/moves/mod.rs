//! What happens to bytes: the raw moves, by pointers that somebody else has checked.
//!
//! Whoever moves bytes calls these: the proxy for a request, a rank in the memory of a neighbour,
//! and C programs in memory that no other rank can reach. The memory is shared with running ranks,
//! so it is reached by raw pointers only, and nothing that is read from it decides where something
//! is written.

pub(crate) mod accumulate;
pub(crate) mod copy;
pub(crate) mod rmw;

//! What applications use: typed global memory, and operations that borrow what they move.

pub(crate) mod allocation;
pub(crate) mod armci;
pub(crate) mod flag;
pub(crate) mod global;
pub(crate) mod mutex;
pub(crate) mod nonblocking;
pub(crate) mod notification;
pub(crate) mod one_sided;
pub(crate) mod segment;
pub(crate) mod strided;

//! What applications use.

pub(crate) mod allocation;
pub(crate) mod armci;
pub(crate) mod flag;
pub(crate) mod global;
pub(crate) mod mutex;
pub(crate) mod nonblocking;
pub(crate) mod one_sided;
pub(crate) mod strided;

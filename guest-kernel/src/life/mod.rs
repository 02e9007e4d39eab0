//! The life of a domain: boot, suspension, end.

pub(crate) mod boot;
#[cfg(feature = "c")]
mod c_program;
pub(crate) mod fatal;
mod parts;
pub(crate) mod suspension;

pub use boot::{args, exit, files};
#[cfg(feature = "c")]
pub use c_program::run_c_program;

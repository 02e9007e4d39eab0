//! The life of a domain: boot, suspension, end. Nothing below ends the domain: errors come up to
//! here as values.

mod application;
mod boot;
#[cfg(feature = "c")]
mod c_program;
mod end;
mod fatal;
mod parts;
mod suspension;
mod toolstack;

pub use application::{args, armci};
#[cfg(feature = "c")]
pub use c_program::run_c_program;
pub use end::exit;

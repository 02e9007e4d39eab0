//! What the proxy does for one request: a [check](check::check), which touches no memory and makes
//! a checked value of it, and its [application](apply::apply) to memory.
//!
//! Requests are hostile until they are checked. The check needs only the [`Bounds`](bounds::Bounds)
//! of the ranks' memory, not the memory: so it can also be made for a target on another host. The
//! memory itself, a [`Window`](window::Window) for each rank, is shared with running ranks.

pub mod apply;
pub mod bounds;
pub mod check;
pub mod window;

pub use apply::{Busy, Own, apply};
pub use bounds::{Bounds, LayoutError};
pub use check::{Checked, Effect, Work, check, check_from_elsewhere};
pub use window::Window;

#[cfg(test)]
mod tests;

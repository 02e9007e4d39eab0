//! What faces Xen: events, time, the console, grants, xenstore.

pub(crate) mod boot_info;
pub mod clock;
pub(crate) mod console;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod grants;
pub(crate) mod hypercalls;
pub(crate) mod idle;
pub(crate) mod part;
pub mod xenstore;

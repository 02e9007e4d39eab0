//! What faces Xen: events, time, the console, grants, xenstore. Each is a [part](part::Part).

pub(crate) mod boot_info;
pub mod clock;
pub(crate) mod console;
pub(crate) mod error;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod grants;
pub mod hold;
pub(crate) mod hypercalls;
pub(crate) mod idle;
pub(crate) mod part;
pub(crate) mod processor;
pub mod stdin;
pub mod xenstore;

//! To be written.
#![cfg_attr(xenolith_guest, no_std)]

extern crate alloc;

pub use armci_nostd as armci;

#[cfg(xenolith_guest)]
mod arch;
mod byte_ring;
mod command_line;
mod cpio;
mod exit;
mod fault;
mod file;
#[cfg(xenolith_guest)]
mod guest;
#[cfg(not(xenolith_guest))]
mod hosted;
mod macros;
mod memory_map;
mod pvclock;
mod xenstore_client;
mod xenstore_wire;

pub use exit::{Exit, Outcome};
pub use file::{File, file};
#[cfg(not(xenolith_guest))]
pub use hosted::{args, armci, clock, exit, files};
#[cfg(xenolith_guest)]
pub use guest::{args, armci, clock, exit, files, xenstore};

/// What the macros expand to; not for applications.
#[doc(hidden)]
pub mod expansion {
    #[cfg(not(xenolith_guest))]
    pub use crate::hosted::{eprint, print, start};
    #[cfg(xenolith_guest)]
    pub use crate::guest::console::{print, print as eprint};
}

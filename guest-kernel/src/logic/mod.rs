//! What needs no machine: parsers, ring arithmetic, and decisions. The same in both builds, so that
//! it is tested as any Rust is; a hosted program has no use for it.

#![cfg_attr(not(xenolith_guest), allow(dead_code, reason = "only the kernel uses it"))]

pub(crate) mod abilities;
pub(crate) mod byte_ring;
pub(crate) mod command_line;
pub(crate) mod cpio;
pub(crate) mod fault;
pub(crate) mod grant_blocks;
#[cfg(any(feature = "c", test))]
pub(crate) mod linux_abi;
pub(crate) mod look_again;
pub(crate) mod memory_map;
#[cfg(any(feature = "c", test))]
pub(crate) mod open_files;
#[cfg(any(feature = "c", test))]
pub(crate) mod page_blocks;
pub(crate) mod pvclock;
pub(crate) mod runs;
pub(crate) mod shutdown_requests;
pub(crate) mod xenstore_client;
pub(crate) mod xenstore_wire;

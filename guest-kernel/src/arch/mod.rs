//! The machine: everything of the kernel that the compiler cannot check.
//!
//! The `unsafe` of the kernel is in this room, behind functions that are safe to call, and the
//! other rooms are ordinary safe Rust. (But for two things that cannot be here: `rank/platform.rs`
//! implements an unsafe trait of ARMCI's, and `life` gives names to the linker.) What makes it
//! sound, in short:
//!
//! - There is one virtual CPU, so what runs with interrupts off runs alone ([`lock::IrqLock`]).
//! - Virtual addresses are guest-physical addresses ([`paging`]), so an address can go to Xen as it
//!   is.
//! - Memory that Xen or another domain may change at any moment is only seen through atomics
//!   ([`shared_page`]).

#![allow(unsafe_code)]

pub(crate) mod boot_memory;
#[cfg(feature = "c")]
pub(crate) mod c_library;
#[cfg(feature = "c")]
pub(crate) mod c_memory;
pub(crate) mod cpu;
pub(crate) mod cpuid;
mod descriptors;
mod entry;
pub(crate) mod foreign;
pub(crate) mod fpu;
pub(crate) mod heap;
mod holes;
pub(crate) mod hypercall_page;
pub(crate) mod image;
pub(crate) mod landing;
pub(crate) mod lock;
mod memory_functions;
pub(crate) mod paging;
mod register_state;
pub(crate) mod runtime_area;
pub(crate) mod shared_page;
pub(crate) mod stack;
pub(crate) mod standstill;
#[cfg(feature = "c")]
pub(crate) mod system_call;
pub(crate) mod trap;
mod unwind;

pub(crate) use entry::become_the_kernel;

//! The machine: everything of the kernel that the compiler cannot check.
//!
//! All `unsafe` of the kernel is in this module and below, behind functions that are safe to call;
//! the modules of `guest` are ordinary safe Rust. What makes it sound, in short:
//!
//! - There is one virtual CPU, so what runs with interrupts off runs alone ([`lock::IrqLock`]).
//! - Virtual addresses are guest-physical addresses ([`paging`]), so an address can go to Xen as it
//!   is.
//! - Memory that Xen or another domain may change at any moment is only seen through atomics
//!   ([`memory::shared`]).

#![allow(unsafe_code)]

pub(crate) mod armci_port;
mod boot;
#[cfg(feature = "c")]
pub(crate) mod c_program;
pub(crate) mod cpu;
mod descriptors;
pub(crate) mod foreign;
mod fpu;
pub(crate) mod heap;
pub(crate) mod lock;
pub(crate) mod memory;
mod memory_functions;
pub(crate) mod paging;
pub(crate) mod stack;
#[cfg(feature = "c")]
pub(crate) mod system_call;
pub(crate) mod trap;
mod unwind;
pub(crate) mod xen;

pub(crate) use boot::become_the_kernel;

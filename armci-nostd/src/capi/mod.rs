//! ARMCI 1.x for C: the functions that `include/armci.h`, `message.h` and `armcix.h` declare.
//!
//! A thin layer over [`Armci`](crate::Armci), which only converts and checks. What can be known to
//! be wrong (null pointers, negative counts, ranks and groups that do not exist, addresses that no
//! rank has allocated) is refused with a number below zero before anything moves; where C has no
//! way to return an error the job ends with one line. Nothing unwinds into C.
//!
//! The functions proper have ARMCI's profiling names, `PARMCI_x`; each `ARMCI_x` is a weak alias,
//! so that a tool can take its place.
//!
//! The first call that needs the rank attaches it to its job: with the feature `hosted` as a Linux
//! process, elsewhere by the [`System`] that the kernel exports as `xenolith_armci_system`. The
//! kernel refers to none of this, so that programs without ARMCI are linked without it.
//!
//! # Safety
//! As in C: every pointer must be null or valid for what the headers say is done with it, strings
//! end with a zero. Threads may call at any time; they take turns.

#![allow(non_snake_case, reason = "the names are those of C")]
#![allow(clippy::missing_safety_doc, reason = "it is said once, for all of them, above")]

mod alias;
mod allocations;
mod calls;
mod convert;
mod groups;
mod handles;
mod known_memory;
mod mutex_sets;
mod receives;
mod reduction;
mod refusal;
mod runtime;
mod scope;
mod shapes;
mod system;
mod task;
mod transfer;

pub use calls::{
    allocation::*, collective::*, communicator::*, group::*, handle::*, message::*, mutex::*,
    order::*, pack::*, reduce::*, rmw::*, start::*, transfer::*, value::*, whereabouts::*,
};
pub use {handles::*, shapes::*, system::*};

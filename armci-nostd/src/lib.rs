//! ARMCI for ranks of a PGAS job: one-sided operations on the memory of other ranks, with or
//! without an operating system.
//!
//! A rank ([`Armci`]) asks its proxy for operations through a ring in shared memory and owns no
//! network hardware. The layers, from the top:
//!
//! - [`Armci`], [`Global`] and [`Nonblocking`]: what applications use; slices and `Result`, no raw
//!   pointers;
//! - [`wire`] and [`shared`]: what rank and proxy say to each other, and how;
//! - [`serve`]: what the proxy does for one request, with every check before any access;
//! - [`Port`]: how a rank reaches its proxy, implemented by `guest-kernel` for a Xen guest and by
//!   [`hosted`] for a Linux process.
//!
//! The names and semantics are ARMCI's (J. Nieplocha, B. Carpenter, "ARMCI: A Portable Remote
//! Memory Copy Library for Distributed Array Libraries and Compiler Run-time Systems", 1999, and
//! its user's manual): a blocking put is complete locally when it returns, a fence completes it at
//! the target, operations of one rank on one target are ordered, and accumulates and
//! read-modify-writes are atomic.

#![no_std]
extern crate no_std_compat as std;
/// Threads and clocks, for tests.
#[cfg(test)]
extern crate std as real_std;

pub mod shared;

#[cfg(not(loom))]
mod api;
#[cfg(all(feature = "capi", not(loom)))]
pub mod capi;
#[cfg(all(test, not(loom)))]
mod double;
#[cfg(not(loom))]
mod element;
#[cfg(not(loom))]
mod error;
#[cfg(all(feature = "hosted", not(loom)))]
pub mod hosted;
#[cfg(not(loom))]
mod moves;
#[cfg(not(loom))]
mod path;
#[cfg(not(loom))]
pub mod serve;
#[cfg(not(loom))]
mod team;
#[cfg(not(loom))]
pub mod wire;

#[cfg(not(loom))]
pub use {
    api::allocation::Local,
    api::armci::Armci,
    api::global::{Global, GlobalPtr},
    api::mutex::Mutexes,
    api::nonblocking::{Handle, Nonblocking},
    api::one_sided::{Piece, PieceMut},
    api::segment::{Segment, SegmentPart},
    api::strided::{Level, MAX_STRIDES, Rows, Strides},
    element::{Accumulate, Complex, Element, Reduce, ReduceOp, RmwWord},
    error::{Error, Fault, ProxyGone, Side},
    path::by_proxy::Pending,
    path::paths::Paths,
    path::platform::{Awaited, Platform, PublicView, View},
    path::rows::{Operation, Row},
    team::group::Group,
    team::message::{Received, Sender},
    team::world::World,
};

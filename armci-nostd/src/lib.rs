//! ARMCI for ranks of a PGAS job: one-sided operations on the memory of other ranks, with or
//! without an operating system.
//!
//! A rank ([`Armci`]) asks its proxy for operations through a ring in shared memory and owns no
//! network hardware. The layers, from the top:
//!
//! - [`Armci`], [`Global`] and [`Nonblocking`]: what applications use; slices and `Result`, no raw
//!   pointers;
//! - [`wire`] and [`ring`]: what rank and proxy say to each other, and how;
//! - [`memory`]: what the proxy does for one request, with every check before any access;
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

pub mod gate;
pub mod lock;
pub mod ring;
mod sync;

#[cfg(not(loom))]
mod allocation;
#[cfg(not(loom))]
mod armci;
#[cfg(all(feature = "capi", not(loom)))]
pub mod capi;
#[cfg(not(loom))]
mod collective;
#[cfg(not(loom))]
mod direct;
#[cfg(not(loom))]
mod element;
#[cfg(not(loom))]
mod flag;
#[cfg(not(loom))]
mod global;
#[cfg(not(loom))]
mod group;
#[cfg(all(feature = "hosted", not(loom)))]
pub mod hosted;
#[cfg(not(loom))]
mod link;
#[cfg(not(loom))]
pub mod memory;
#[cfg(not(loom))]
mod message;
#[cfg(not(loom))]
mod mutex;
#[cfg(not(loom))]
mod nonblocking;
#[cfg(not(loom))]
mod one_sided;
#[cfg(not(loom))]
mod port;
#[cfg(not(loom))]
mod strided;
#[cfg(not(loom))]
mod transfer;
#[cfg(not(loom))]
pub mod wire;

#[cfg(not(loom))]
pub use {
    allocation::{Local, Part, Segment},
    armci::{Armci, Error},
    collective::ReduceOp,
    element::{Accumulate, Complex, Element, Reduce, RmwWord},
    global::{Global, GlobalPtr},
    group::Group,
    message::{Received, Sender},
    mutex::Mutexes,
    nonblocking::{Handle, Nonblocking},
    one_sided::{Piece, PieceMut},
    port::{Awaited, Port, ProxyGone, View},
    strided::{Level, MAX_STRIDES, Rows, Strides},
    transfer::{Operation, Pending, Row},
};

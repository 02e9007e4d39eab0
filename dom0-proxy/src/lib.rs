//! Serves the ranks of PGAS jobs, in domain 0 of a Xen host or on any Linux.
//!
//! A rank owns no network hardware: it asks for one-sided operations through a ring in its memory,
//! and the proxy, which has the memory of all ranks mapped, does them. Two programs are made of
//! this library: the daemon `dom0-proxy`, which owns jobs and serves their ranks, and the user's
//! command `pgas`.
//!
//! - [`daemon`]: listens for `pgas` and for hosted ranks;
//! - [`job`]: a job's life, from creating its ranks to leaving nothing behind;
//! - [`engine`]: serves the rings of one job;
//! - [`ports`]: how ranks attach, as domains or as Linux processes;
//! - [`xen`], [`xl`]: Xen's devices and store, and its command;
//! - [`control`], [`frame`]: what `pgas` and the daemon say to each other.

pub mod control;
pub mod daemon;
pub mod engine;
pub mod error;
pub mod frame;
pub mod job;
pub mod ports;
pub mod recovery;
pub mod run_dir;
pub mod xen;
pub mod xl;

pub use error::{Error, Result};

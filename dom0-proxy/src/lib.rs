//! Serves the ranks of PGAS jobs, in domain 0 of a Xen host or on any Linux.
//!
//! A rank owns no network hardware: it asks for one-sided operations through a ring in its memory,
//! and the proxy, which has the memory of all ranks mapped, does them. Two programs are made of
//! this library: the daemon `dom0-proxy`, which owns jobs and serves their ranks, and the user's
//! command `pgas`.
//!
//! - [`daemon`]: listens for `pgas` and for hosted ranks;
//! - [`job`]: a job's life, from creating its ranks to leaving nothing behind;
//! - [`control`]: what `pgas` and the daemon say to each other, in the frames of `message_frame`;
//! - [`inheritance`]: what hosted ranks have from their `pgas`, such as limits;
//! - [`recovery`]: how proxies agree on a recovery line;
//! - [`engine`]: serves the rings of one job;
//! - [`attach`]: how ranks attach, as domains or as Linux processes;
//! - [`xen`], [`xl`]: Xen's devices and store, and its command;
//! - [`run_dir`]: the daemon's folders;
//! - [`images`]: saved images of whole jobs.
//!
//! Each of these knows only those below it: `docs/architecture.md` has the picture.

pub mod attach;
pub mod control;
pub mod daemon;
pub mod engine;
pub mod error;
pub mod fabric;
pub mod images;
pub mod inheritance;
pub mod job;
pub mod membership;
pub mod recovery;
pub mod run_dir;
pub mod xen;
pub mod xl;

pub use error::{Error, Result};

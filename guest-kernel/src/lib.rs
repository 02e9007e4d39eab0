//! A small kernel that runs one application as a Xen PVH domain, and the same application as a
//! Linux process.
//!
//! # For applications
//!
//! An application is ordinary Rust with two lines of ceremony:
//!
//! ```
//! #![cfg_attr(xenolith_guest, no_std, no_main)]
//! use guest_kernel::{Exit, println};
//!
//! guest_kernel::main!(run);
//!
//! fn run() -> Exit {
//!     let armci = guest_kernel::armci();
//!     println!("hello from {} of {}", armci.rank(), armci.size());
//!     Exit::SUCCESS
//! }
//! ```
//!
//! There are two builds of it. Any ordinary cargo build makes a Linux program, a *hosted* rank, and
//! this crate is a thin layer over `std`. image-builder builds it with `--cfg xenolith_guest`: then
//! this crate is the kernel, and the result an image that Xen boots. Both offer [`main!`],
//! [`args`], [`files`] and [`file()`], [`println!`] and its siblings, [`clock`], [`exit`] and
//! [`armci()`]; [`armci`](mod@armci) is the crate armci-nostd.
//!
//! # Inside the kernel
//!
//! Code knows only what is below it; `docs/architecture.md` has the picture, which a test checks,
//! and says how the kernel boots, uses memory, is suspended, and arrives in a new domain.
//!
//! | room | what is in it |
//! |---|---|
//! | `life` | boot, the table of parts, suspension, the end |
//! | `linux` | Linux's system calls, for C programs |
//! | `rank` | the place in the job, the attachment to the proxy, memory of neighbours |
//! | `xen` | what faces Xen: events, clock, console, grants, xenstore, each a *part* |
//! | `arch` | the machine: entry, paging, descriptors, exceptions, registers, heap; the kernel's `unsafe` |
//! | `logic` | what needs no machine: parsers, ring arithmetic, decisions; compiled in both builds, so tested as any Rust is |
//!
//! Below all of it is the crate `xen_hypercall`: typed hypercalls and Xen's public structures.

#![cfg_attr(xenolith_guest, no_std)]
#![deny(unsafe_code)]

extern crate alloc;

pub use armci_nostd as armci;

#[cfg(xenolith_guest)]
mod arch;
#[cfg(not(xenolith_guest))]
mod hosted;
#[cfg(xenolith_guest)]
mod life;
#[cfg(all(xenolith_guest, feature = "c"))]
mod linux;
#[cfg(xenolith_guest)]
mod rank;
#[cfg(xenolith_guest)]
mod xen;

mod exit_status;
mod file;
#[cfg(all(test, not(xenolith_guest)))]
#[path = "arch/holes.rs"]
#[allow(unsafe_code, reason = "part of `arch`, here for its tests")]
mod holes;
#[cfg(any(xenolith_guest, test))]
mod logic;
mod macros;
#[cfg(all(test, not(xenolith_guest)))]
#[path = "arch/memory_functions.rs"]
#[allow(unsafe_code, reason = "part of `arch`, here for its tests")]
mod memory_functions;
mod outcome;
#[cfg(all(test, not(xenolith_guest)))]
#[path = "arch/register_state.rs"]
#[allow(unsafe_code, reason = "part of `arch`, here for its tests")]
mod register_state;
mod stdin_error;

pub use exit_status::Exit;
pub use file::File;
#[cfg(not(xenolith_guest))]
pub use hosted::{args, armci, clock, exit, files, stdin};
#[cfg(all(xenolith_guest, feature = "c"))]
pub use life::run_c_program;
#[cfg(xenolith_guest)]
pub use life::{args, armci, exit};
pub use outcome::Outcome;
/// What ARMCI builds on, for programs that try it; not for applications.
#[cfg(xenolith_guest)]
#[doc(hidden)]
pub use rank::neighbours;
pub use stdin_error::StdinError;
#[cfg(xenolith_guest)]
pub use xen::files::files;
#[cfg(xenolith_guest)]
pub use xen::xenstore;

/// Time.
#[cfg(xenolith_guest)]
pub mod clock {
    pub use crate::xen::clock::now;
    pub use crate::xen::idle::sleep;
}

/// Standard input, of ranks that have one: `pgas run --stdin`.
#[cfg(xenolith_guest)]
pub mod stdin {
    pub use crate::xen::stdin::read;
}

/// The content of the file of this name, if the application was started with one.
pub fn file(name: &str) -> Option<&'static [u8]> {
    file::content_of(name, files())
}

/// What the macros expand to; not for applications.
#[doc(hidden)]
pub mod expansion {
    #[cfg(not(xenolith_guest))]
    pub use crate::hosted::{eprint, print, start};
    #[cfg(xenolith_guest)]
    pub use crate::xen::console::{print, print as eprint};
}

//! Turns applications written for guest-kernel into bootable Xenolith images.
//!
//! - [`image`]: seal an image, verify one, read what it says about itself. dom0-proxy uses it to
//!   refuse a corrupt image.
//! - [`compile`]: cargo, driven so that an ordinary package comes out as a bare PVH executable.
//! - [`c`]: the same for a C program, by gcc.
//! - [`strip`]: the part of an executable that Xen loads, and nothing else.
//! - [`xl_config`]: the configuration with which plain `xl create` boots an image; how xl wants
//!   strings, and how the guest wants its [`command_line`].
//! - [`mebibytes`]: amounts of memory as users write them.
//! - [`build`]: all of the above in one step.
//! - [`explain`]: addresses of a backtrace, told as functions and lines.
//! - [`install_c`]: ARMCI for C programs that run as Linux processes.
//! - [`publish`], [`turn`], [`output`]: what is right for any tool: whole files, one build at a
//!   time, and a quiet end when nobody listens.
//!
//! # An application outside the project's workspace
//! It needs a dependency and four lines; see this crate's README.

#![forbid(unsafe_code)]

pub mod build;
pub mod c;
mod cargo;
pub mod command_line;
pub mod compile;
pub mod explain;
mod halts;
pub mod image;
pub mod install_c;
pub mod mebibytes;
mod note;
pub mod output;
pub mod publish;
pub mod strip;
pub mod turn;
pub mod xl_config;

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
//! | layer | where | |
//! |---|---|---|
//! | calling Xen | `xen_hypercall` | typed hypercalls and ABI structures, no policy |
//! | the machine | `arch` | entry, paging, descriptors, exceptions, FPU, heap; all `unsafe` of the kernel is here |
//! | the kernel | `guest` | console, events, clock, xenstore, grants, neighbours, power, the rank's attachment; safe Rust |
//! | what needs no machine | `logic` | parsers, ring arithmetic, decisions: compiled in both builds, so tested as any Rust is |
//!
//! ## C programs
//!
//! With the feature `c` (of the package `xenolith-c`, which `image-builder build-c` links C
//! programs with) the kernel also stands in for Linux, as far as a C library needs it: musl's
//! static `libc.a`, as it is, makes Linux's system calls by the instruction `syscall`, and
//! `arch::system_call` takes them to `guest::linux`. One privileged process of one thread: memory
//! by the page from the heap, the console as a terminal that is written to, boot modules as files,
//! clocks, the exit status. There are no signals (raising one that kills ends the domain as
//! crashed), threads, other processes, files to write. Each system call that is not there is told
//! once, as `xenolith: there is no system call N here`. Images without C have none of this.
//!
//! ## Memory
//!
//! Virtual addresses are guest-physical addresses, so an address can be given to Xen, to the proxy
//! and to other ranks as it is. Every piece has the rights it needs and no more; nothing is both
//! writable and executable.
//!
//! ```text
//!          0  page 0                not mapped: a null pointer faults
//!     0x1000  page tables, runtime area (rings to the proxy), FPU state     rw-
//!    0x29000  guard page            not mapped: a stack overflow faults
//!    0x2a000  main stack, grows down from 1 MiB (856 KiB)                   rw-
//!   0x100000  the image: constants and notes                                r--
//!             code and the hypercall page                                   r-x
//!             data, zeroed data, interrupt stacks with guard pages          rw-
//!             what Xen left: start information, boot modules                rw-
//!             heap, to the end of RAM: the ranks' public memory             rw-
//!   end of RAM, rounded up to 2 MiB
//!             window: the page shared with Xen, grant frames                rw-
//!             foreign memory, below 0xf0000000: what neighbours share       rw-
//! 0xfeff8000  pages of the toolstack: console and xenstore rings            rw-
//! ```
//!
//! Up to the image's end pages are of 4 KiB, above it RAM is mapped by pages of 2 MiB. All RAM is
//! granted to domain 0 when the rank attaches, but other ranks are let into the heap only. Foreign
//! memory is mapped by pages of 4 KiB, with an unmapped page behind each piece; its page tables
//! come from the heap when it is first used, and stay. It lies below 4 GiB because `xl save` looks
//! at every frame number up to the highest that was ever used.
//!
//! ## Boot
//!
//! ```text
//! Xen          start information in EBX, 32 bits, no paging
//! arch::boot   tables for the first and fourth GiB, SSE on, 64 bits, hypercall page
//! guest        memory map -> plan; page tables, runtime area, FPU, descriptor tables; to the main stack
//!              heap
//! guest::part  every part: connect; then every part: resume(NewDomain)
//!                hypercalls, event channels, clock, console, grant table, neighbours' memory, xenstore, power,
//!                attachment
//!              interrupts on, command line, "up ..." to xenstore (alone: on the console), boot modules -> files
//! application  ...
//! guest        leave the job, console read to its end, exit status to xenstore, power off
//! ```
//!
//! Booting *is* being resumed in a new domain: the same calls in the same order as after `xl
//! restore`, so the way back is tried at every boot. What does not travel (the shared page, event
//! channels, grants, rings) is made in `resume`; what does (memory) in `connect`.
//!
//! ## Events and suspension
//!
//! There is one virtual CPU. Xen injects one interrupt, the upcall, which may come at any
//! instruction and runs on a stack of its own with the whole FPU state saved. Only xenstore and the
//! toolstack's suspend port call it: it hands their events to the parts, and at its end serves what
//! the toolstack asks for. So a suspension needs no cooperation of the application, which may be
//! computing. Memory of other domains is unmapped before; who is using it at that moment holds the
//! suspension off until it has done. All other ports (console, doorbell) stay masked.
//!
//! The kernel waits by SCHEDOP_poll, with interrupts off, all ports masked, and a deadline if there
//! is one: that needs neither an interrupt nor a timer, and has no moment between looking and
//! sleeping in which an event could slip by. What has come is dealt with when the poll returns, a
//! suspension too.
//!
//! ## The end
//!
//! A panic or an exception prints one line `xenolith: fatal: rank R: CAUSE`, then registers and the
//! return addresses on the stack (for addr2line and the image's ELF file), the cause goes to xenstore,
//! and the domain ends as crashed.

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

mod exit;
mod file;
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

pub use exit::Exit;
pub use file::File;
#[cfg(not(xenolith_guest))]
pub use hosted::{args, armci, clock, exit, files};
#[cfg(all(xenolith_guest, feature = "c"))]
pub use life::run_c_program;
#[cfg(xenolith_guest)]
pub use life::{args, armci, exit};
pub use outcome::Outcome;
/// What ARMCI builds on, for programs that try it; not for applications.
#[cfg(xenolith_guest)]
#[doc(hidden)]
pub use rank::neighbours;
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

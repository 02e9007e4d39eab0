//! What the C functions need of the system that they are on.

#[cfg(feature = "hosted")]
use core::ffi::{c_char, c_int, c_void};
#[cfg(feature = "hosted")]
use std::{prelude::v1::*, sync::OnceLock, time::Instant};

use crate::api::armci::Armci;
#[cfg(feature = "hosted")]
pub(super) use crate::hosted::threads::Turn;

/// The turn of the only thread that there is.
#[cfg(not(feature = "hosted"))]
pub(super) struct Turn;

#[cfg(not(feature = "hosted"))]
impl Turn {
    pub(super) fn take() -> Self {
        Self
    }
}

/// What the C functions need of the system that they are on.
#[derive(Clone, Copy, Debug)]
pub struct System {
    /// This rank of its job, attached if it is not yet; ends the rank if it cannot be.
    pub rank: fn() -> &'static Armci,
    /// Shows the user a line about an error.
    pub say: fn(&str),
    /// Ends this rank with an exit status.
    pub end: fn(u8) -> !,
    /// Seconds since some time in the past.
    pub seconds: fn() -> f64,
}

/// Linux.
#[cfg(feature = "hosted")]
pub(super) static SYSTEM: System = System {
    rank: attach,
    say: |line| std::eprintln!("{line}"),
    end: |status| std::process::exit(status.into()),
    seconds: || {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_secs_f64()
    },
};

#[cfg(all(not(feature = "hosted"), not(test)))]
unsafe extern "Rust" {
    /// The kernel.
    #[link_name = "xenolith_armci_system"]
    pub(super) safe static SYSTEM: System;
}

/// No system at all, for tests of other things.
#[cfg(all(not(feature = "hosted"), test))]
pub(super) static SYSTEM: System =
    System { rank: || unreachable!(), say: |_| (), end: |_| unreachable!(), seconds: || 0.0 };

/// Attaches this process to its job.
#[cfg(feature = "hosted")]
fn attach() -> &'static Armci {
    match crate::hosted::attach() {
        Ok(armci) => {
            if armci.platform().is_some() {
                show_lines_at_once();
            }
            Box::leak(Box::new(armci))
        }
        Err(error) => {
            std::eprintln!("ARMCI: {error}");
            std::process::exit(1)
        }
    }
}

/// Output goes through a pipe to the user, for which C would collect it until the end; then the
/// last words of a rank that is ended with its job would be lost.
#[cfg(feature = "hosted")]
fn show_lines_at_once() {
    /// Linux's `_IOLBF`.
    const LINES: c_int = 1;
    unsafe extern "C" {
        #[allow(non_upper_case_globals, reason = "the C library's name")]
        static stdout: *mut c_void;
        fn setvbuf(stream: *mut c_void, buffer: *mut c_char, mode: c_int, size: usize) -> c_int;
    }
    // SAFETY: as the C library declares them; it locks the stream while it changes it.
    unsafe { setvbuf(stdout, core::ptr::null_mut(), LINES, 0) };
}

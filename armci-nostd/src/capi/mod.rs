//! ARMCI 1.x for C: the functions that `include/armci.h`, `message.h` and `armcix.h` declare.
//!
//! A thin layer over [`Armci`], which only converts and checks. What can be known to be wrong (null
//! pointers, negative counts, ranks and groups that do not exist, addresses that no rank has
//! allocated) is refused with a number below zero before anything moves; where C has no way to
//! return an error the job ends with one line. Nothing unwinds into C.
//!
//! The functions proper have ARMCI's profiling names, `PARMCI_x`; each `ARMCI_x` is a weak alias,
//! so that a tool can take its place.
//!
//! The first call that needs the rank attaches it to its job: with the feature `hosted` as a Linux
//! process, elsewhere by the [`Host`] that the kernel exports as `xenolith_armci_host`. The kernel
//! refers to none of this, so that programs without ARMCI are linked without it.
//!
//! # Safety
//! As in C: every pointer must be null or valid for what the headers say is done with it, strings
//! end with a zero, and calls come from one thread at a time.

#![allow(non_snake_case, reason = "the names are those of C")]
#![allow(clippy::missing_safety_doc, reason = "it is said once, for all of them, above")]

use core::ffi::{CStr, c_char, c_int};
use core::fmt::Display;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use std::prelude::v1::*;

use crate::api::armci::Armci;
use crate::error::Error;
use crate::error::Fault;

mod group;
mod handle;
mod memory;
mod message;
mod mutex;
mod order;
mod reduce;
mod start;
mod transfer;

pub use {
    group::*, handle::*, memory::*, message::*, mutex::*, order::*, reduce::*, start::*,
    transfer::*,
};

/// What the C functions need of the system they are on.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// This rank of its job, attached if it is not yet; ends the rank if it cannot be.
    pub rank: fn() -> &'static Armci,
    /// Shows the user a line about an error.
    pub say: fn(&str),
    /// Ends this rank with an exit status.
    pub end: fn(u8) -> !,
    /// Seconds since some time in the past.
    pub seconds: fn() -> f64,
}

/// Null, or a [`Runtime`] that lives for ever.
static RUNTIME: AtomicPtr<Runtime> = AtomicPtr::new(null_mut());

/// What the C functions remember.
struct Runtime {
    armci: &'static Armci,
    host: Host,
    start: start::Started,
    memory: memory::Memory,
    handles: handle::Handles,
    groups: group::Groups,
    mutexes: mutex::Sets,
    order: order::Notices,
}

impl Runtime {
    fn new(host: Host) -> Self {
        let armci = (host.rank)();
        Self {
            armci,
            host,
            start: Default::default(),
            memory: Default::default(),
            handles: Default::default(),
            groups: Default::default(),
            mutexes: Default::default(),
            order: order::Notices::new(armci.size()),
        }
    }

    /// The runtime, if this process is a rank.
    fn get() -> Option<&'static Self> {
        // SAFETY: null, or from `attach`, which never frees what it has stored. One thread at a
        // time calls, as the module says.
        unsafe { RUNTIME.load(Ordering::Acquire).as_ref() }
    }

    /// The runtime; attaches this process if it is no rank yet.
    fn attached() -> &'static Self {
        match Self::get() {
            Some(runtime) => runtime,
            None => Self::attach(),
        }
    }

    fn attach() -> &'static Self {
        let runtime = Box::leak(Box::new(Self::new(start::HOST)));
        RUNTIME.store(runtime, Ordering::Release);
        runtime
    }

    /// The runtime, between `ARMCI_Init` and `ARMCI_Finalize`.
    fn ready() -> Result<&'static Self, Refusal> {
        Self::get().filter(|runtime| runtime.start.is_initialised()).ok_or(Refusal::NotInitialised)
    }

    /// A rank of the world.
    fn rank(&self, proc: c_int) -> Result<usize, Refusal> {
        usize::try_from(proc)
            .ok()
            .filter(|&rank| rank < self.armci.size())
            .ok_or(Refusal::Rank(proc))
    }

    /// Ends the job with a line.
    fn die(&self, what: impl Display) -> ! {
        self.end(1, what)
    }

    fn end(&self, status: u8, what: impl Display) -> ! {
        (self.host.say)(&format!("rank {}: {what}", self.armci.rank()));
        (self.host.end)(status)
    }
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("a null pointer for memory of this rank")]
    Local,
    #[error("a null pointer, or memory that no rank has allocated")]
    Remote,
    #[error("a remote address that is not a multiple of {0}")]
    Misaligned(usize),
    #[error("a negative length, or one that is no whole number of elements")]
    Length,
    #[error("a shape with too many levels, or without its counts or strides")]
    Shape,
    #[error("no rank {0}")]
    Rank(c_int),
    #[error("no such group")]
    Group,
    #[error("no such operation or type")]
    Operation,
    #[error("no such mutexes, or there are some already")]
    Mutexes,
    #[error("it was called before ARMCI_Init or after ARMCI_Finalize")]
    NotInitialised,
    #[error("{0}")]
    Armci(#[from] Error),
}

impl Refusal {
    /// The header's number for it.
    fn code(self) -> c_int {
        match self {
            Self::Local => -1,
            Self::Remote | Self::Misaligned(_) => -2,
            Self::Length => -3,
            Self::Shape => -4,
            Self::Rank(_) | Self::Group | Self::Operation | Self::Mutexes => -5,
            Self::NotInitialised => -8,
            Self::Armci(error) => match error {
                Error::OutOfBounds { .. }
                | Error::Refused(Fault::Range { .. } | Fault::Misaligned { .. }) => -2,
                Error::Shape(_) => -4,
                Error::NoRank { .. } | Error::Group(_) | Error::Mutex { .. } => -5,
                Error::OutOfMemory { .. } => -7,
                // There is no job any more in which anything could go on; the user has been told
                // why.
                Error::JobFailed | Error::ProxyGone(_) => match Runtime::get() {
                    Some(runtime) => (runtime.host.end)(1),
                    None => -6,
                },
                _ => -6,
            },
        }
    }
}

/// What a function returns that can be refused.
fn code(outcome: Result<(), Refusal>) -> c_int {
    outcome.map_or_else(Refusal::code, |()| 0)
}

/// For a function that has no way to return an error: ends the job instead.
fn or_die<T>(function: &str, outcome: Result<T, Refusal>) -> T {
    match outcome {
        Ok(value) => value,
        Err(refusal) => {
            // Ends quietly if the job has failed already.
            refusal.code();
            Runtime::attached().die(format_args!("{function}: {refusal}"))
        }
    }
}

/// A string of C.
///
/// # Safety
/// Null, or a string that ends with a zero.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: by the caller.
    String::from_utf8_lossy(unsafe { CStr::from_ptr(string) }.to_bytes()).into_owned()
}

/// A length, count or size of C.
fn length(value: impl TryInto<usize>) -> Result<usize, Refusal> {
    value.try_into().map_err(|_| Refusal::Length)
}

/// `len` bytes of C, to read.
///
/// # Safety
/// `start` must be null or valid for reads of `len` bytes, which nobody changes meanwhile.
unsafe fn bytes<'a>(start: *const core::ffi::c_void, len: usize) -> Result<&'a [u8], Refusal> {
    match (len, start.is_null()) {
        (0, _) => Ok(&[]),
        (_, true) => Err(Refusal::Local),
        // SAFETY: by the caller.
        (_, false) => Ok(unsafe { core::slice::from_raw_parts(start.cast(), len) }),
    }
}

/// `len` bytes of C, to write.
///
/// # Safety
/// `start` must be null or valid for reads and writes of `len` bytes, which nobody else uses
/// meanwhile.
unsafe fn bytes_mut<'a>(
    start: *mut core::ffi::c_void,
    len: usize,
) -> Result<&'a mut [u8], Refusal> {
    match (len, start.is_null()) {
        (0, _) => Ok(&mut []),
        (_, true) => Err(Refusal::Local),
        // SAFETY: by the caller.
        (_, false) => Ok(unsafe { core::slice::from_raw_parts_mut(start.cast(), len) }),
    }
}

/// Makes weak aliases: functions that jump to others, in whose place a program may have its own.
/// (Rust has no stable way to say "weak".)
macro_rules! weak_aliases {
    ($($alias:ident => $function:ident;)*) => {
        $(
            #[cfg(target_arch = "x86_64")]
            core::arch::global_asm!(
                concat!(".pushsection .text.", stringify!($alias), ",\"ax\",@progbits"),
                concat!(".weak ", stringify!($alias)),
                concat!(".type ", stringify!($alias), ",@function"),
                concat!(stringify!($alias), ":"),
                concat!("jmp ", stringify!($function), "@PLT"),
                concat!(".size ", stringify!($alias), ", . - ", stringify!($alias)),
                ".popsection",
            );
            #[cfg(target_arch = "aarch64")]
            core::arch::global_asm!(
                concat!(".pushsection .text.", stringify!($alias), ",\"ax\",@progbits"),
                concat!(".weak ", stringify!($alias)),
                concat!(".type ", stringify!($alias), ",@function"),
                concat!(stringify!($alias), ":"),
                concat!("b ", stringify!($function)),
                concat!(".size ", stringify!($alias), ", . - ", stringify!($alias)),
                ".popsection",
            );
        )*
    };
}
use weak_aliases;

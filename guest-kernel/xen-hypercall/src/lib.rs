//! Typed Xen hypercalls and the public ABI structures that go with them, for x86-64 guests.
//!
//! This crate has no policy: it decides nothing, keeps no state, allocates nothing. There is a
//! module per hypercall, named as Xen names it, with a function per operation; structures shared
//! with Xen or with a backend have their sizes and offsets asserted at compile time. Xen's own C
//! names are doc aliases, so that a search for `XENMEM_add_to_physmap` finds
//! [`memory_op::add_to_physmap`]. Each fact names the public header that it comes from
//! (`xen/include/public/...` in Xen's tree).
//!
//! Functions take the means of calling Xen as a [`Hypercall`], so the same code runs over the
//! [hypercall page](page::HypercallPage) in a guest and over a recording double in a test.
//!
//! ```
//! use xen_hypercall::{Hypercall, Number, event_channel_op, event_channel_op::Port};
//!
//! /// Agrees to everything.
//! struct Agreeable;
//!
//! // SAFETY: no memory is touched.
//! unsafe impl Hypercall for Agreeable {
//!     unsafe fn call(&self, _: Number, _: [u64; 5]) -> i64 {
//!         0
//!     }
//! }
//!
//! assert_eq!(event_channel_op::send(&Agreeable, Port(3)), Ok(()));
//! ```

#![no_std]

#[cfg(test)]
extern crate std;

#[cfg(test)]
mod recorder;

pub mod console_io;
pub mod elfnote;
mod error;
pub mod event_channel_op;
pub mod grant_table_op;
pub mod hvm_op;
pub mod io;
pub mod memory_op;
#[cfg(target_arch = "x86_64")]
pub mod page;
pub mod sched_op;
pub mod shared_info;
pub mod start_info;
pub mod xen_version;

pub use error::{Error, Result};

/// A hypercall's number (`xen.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Number {
    /// Changes to a domain's memory.
    #[doc(alias = "__HYPERVISOR_memory_op")]
    MemoryOp = 12,
    /// What Xen this is.
    #[doc(alias = "__HYPERVISOR_xen_version")]
    XenVersion = 17,
    /// Xen's own console.
    #[doc(alias = "__HYPERVISOR_console_io")]
    ConsoleIo = 18,
    /// Sharing pages with other domains.
    #[doc(alias = "__HYPERVISOR_grant_table_op")]
    GrantTableOp = 20,
    /// Blocking, yielding, shutting down.
    #[doc(alias = "__HYPERVISOR_sched_op")]
    SchedOp = 29,
    /// Event channels.
    #[doc(alias = "__HYPERVISOR_event_channel_op")]
    EventChannelOp = 32,
    /// Parameters of a hardware-assisted domain.
    #[doc(alias = "__HYPERVISOR_hvm_op")]
    HvmOp = 34,
}

/// A domain's number (`xen.h`).
#[doc(alias = "domid_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct DomainId(pub u16);

impl DomainId {
    /// The control domain.
    pub const DOM0: DomainId = DomainId(0);
    /// Numbers from this one on are no domain's, but have meanings of their own.
    #[doc(alias = "DOMID_FIRST_RESERVED")]
    pub const FIRST_RESERVED: DomainId = DomainId(0x7ff0);
    /// The calling domain, whichever that is.
    #[doc(alias = "DOMID_SELF")]
    pub const SELF: DomainId = DomainId(0x7ff0);
}

/// A page's number in the guest's own physical address space.
#[doc(alias = "xen_pfn_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Gfn(pub u64);

impl Gfn {
    /// The page that holds this guest-physical address.
    pub const fn containing(address: u64) -> Self {
        Gfn(address / PAGE_SIZE as u64)
    }

    /// The guest-physical address of the page's first byte.
    pub const fn address(self) -> u64 {
        self.0 * PAGE_SIZE as u64
    }
}

/// Bytes in a page.
#[doc(alias = "XEN_PAGE_SIZE")]
pub const PAGE_SIZE: usize = 4096;

/// A way of calling Xen.
///
/// # Safety
/// `call` must not change the caller's memory except as the hypercall's definition says.
pub unsafe trait Hypercall {
    /// Makes one hypercall and returns what Xen left in RAX.
    ///
    /// # Safety
    /// The arguments must be right for the hypercall: pointers among them must be valid for what
    /// Xen does with them, and an operation that changes the caller's memory map must be one that
    /// the caller is prepared for.
    unsafe fn call(&self, number: Number, arguments: [u64; 5]) -> i64;
}

// SAFETY: forwards.
unsafe impl<H: Hypercall + ?Sized> Hypercall for &H {
    unsafe fn call(&self, number: Number, arguments: [u64; 5]) -> i64 {
        // SAFETY: the caller's promise.
        unsafe { (**self).call(number, arguments) }
    }
}

/// Calls an operation whose argument is one structure, which Xen reads and may fill in.
///
/// # Safety
/// `T` must be the structure that `operation` of `number` takes, and its pointers, if any, valid.
unsafe fn with_argument<T>(
    xen: &(impl Hypercall + ?Sized),
    number: Number,
    operation: u32,
    argument: &mut T,
) -> i64 {
    let pointer = core::ptr::from_mut(argument) as u64;
    // SAFETY: the structure is borrowed mutably for the length of the call; the rest is the
    // caller's promise.
    unsafe { xen.call(number, [u64::from(operation), pointer, 0, 0, 0]) }
}

/// As [`with_argument`], for operations that take a count of structures behind the pointer.
///
/// # Safety
/// As [`with_argument`].
unsafe fn with_one_argument<T>(
    xen: &(impl Hypercall + ?Sized),
    number: Number,
    operation: u32,
    argument: &mut T,
) -> i64 {
    // SAFETY: the caller's promise.
    unsafe { with_arguments(xen, number, operation, core::slice::from_mut(argument)) }
}

/// As [`with_one_argument`], for a batch of structures.
///
/// # Safety
/// As [`with_argument`].
unsafe fn with_arguments<T>(
    xen: &(impl Hypercall + ?Sized),
    number: Number,
    operation: u32,
    arguments: &mut [T],
) -> i64 {
    let pointer = arguments.as_mut_ptr() as u64;
    // SAFETY: the slice is borrowed mutably for the length of the call; the rest is the caller's
    // promise.
    unsafe { xen.call(number, [u64::from(operation), pointer, arguments.len() as u64, 0, 0]) }
}

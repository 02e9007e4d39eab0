//! The page that Xen and the guest share for events and time (`xen.h`, `arch-x86/xen.h`).
//!
//! All fields are atomics, because Xen changes them at any moment.

use core::mem::offset_of;
use core::sync::atomic::{AtomicI8, AtomicU8, AtomicU32, AtomicU64};

/// Virtual CPUs with a place in the page itself.
#[doc(alias = "XEN_LEGACY_MAX_VCPUS")]
pub const VCPUS: usize = 32;

/// Ports that the two-level scheme can carry on x86-64.
#[doc(alias = "EVTCHN_2L_NR_CHANNELS")]
pub const PORTS: usize = 64 * 64;

/// What a virtual CPU needs to turn its time-stamp counter into system time.
///
/// `version` is odd while Xen changes the rest.
#[doc(alias = "vcpu_time_info")]
#[derive(Debug, Default)]
#[repr(C)]
pub struct VcpuTimeInfo {
    /// Odd during a change, another number after it.
    pub version: AtomicU32,
    pad0: u32,
    /// The counter's value at `system_time`.
    pub tsc_timestamp: AtomicU64,
    /// Nanoseconds at `tsc_timestamp`.
    pub system_time: AtomicU64,
    /// Nanoseconds a tick, as a fraction of 2^32, after the shift.
    pub tsc_to_system_mul: AtomicU32,
    /// Left shift of ticks before the multiplication; right if negative.
    pub tsc_shift: AtomicI8,
    /// `XEN_PVCLOCK_*`.
    pub flags: AtomicU8,
    pad1: [u8; 2],
}

const _: () = assert!(size_of::<VcpuTimeInfo>() == 32);
const _: () = assert!(offset_of!(VcpuTimeInfo, tsc_to_system_mul) == 24);

/// One virtual CPU's part of the page.
#[doc(alias = "vcpu_info")]
#[derive(Debug)]
#[repr(C)]
pub struct VcpuInfo {
    /// Set by Xen when an event is pending; cleared by the guest before it looks.
    pub evtchn_upcall_pending: AtomicU8,
    /// Not used by hardware-assisted guests, which have the interrupt flag.
    pub evtchn_upcall_mask: AtomicU8,
    /// Which words of `evtchn_pending` to look at.
    pub evtchn_pending_sel: AtomicU64,
    arch: [u64; 2],
    /// The clock.
    pub time: VcpuTimeInfo,
}

const _: () = assert!(size_of::<VcpuInfo>() == 64);
const _: () = assert!(offset_of!(VcpuInfo, evtchn_pending_sel) == 8);
const _: () = assert!(offset_of!(VcpuInfo, time) == 32);

/// The page, as far as a hardware-assisted guest uses it.
#[doc(alias = "shared_info")]
#[derive(Debug)]
#[repr(C)]
pub struct SharedInfo {
    /// A part for each virtual CPU.
    pub vcpu_info: [VcpuInfo; VCPUS],
    /// A bit a port: set by Xen, cleared by the guest.
    pub evtchn_pending: [AtomicU64; 64],
    /// A bit a port: set and cleared by the guest.
    pub evtchn_mask: [AtomicU64; 64],
    /// Odd while Xen changes the wall clock.
    pub wc_version: AtomicU32,
    /// Seconds of the Unix time at system time zero, low half.
    pub wc_sec: AtomicU32,
    /// Nanoseconds of it.
    pub wc_nsec: AtomicU32,
    /// Seconds, high half.
    pub wc_sec_hi: AtomicU32,
}

const _: () = assert!(offset_of!(SharedInfo, evtchn_pending) == 2048);
const _: () = assert!(offset_of!(SharedInfo, evtchn_mask) == 2560);
const _: () = assert!(offset_of!(SharedInfo, wc_version) == 3072);
const _: () = assert!(offset_of!(SharedInfo, wc_sec_hi) == 3084);

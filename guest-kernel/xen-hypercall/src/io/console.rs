//! The console's page (`io/console.h`).

use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, AtomicU32};

use crate::PAGE_SIZE;

/// Two byte rings. Indices run freely; their low bits are the place in the ring.
#[doc(alias = "xencons_interface")]
#[derive(Debug)]
#[repr(C)]
pub struct ConsoleInterface {
    /// Bytes to the guest.
    pub input: [AtomicU8; 1024],
    /// Bytes from the guest.
    pub output: [AtomicU8; 2048],
    /// Read so far of `input`, by the guest.
    pub in_cons: AtomicU32,
    /// Written so far to `input`, by the backend.
    pub in_prod: AtomicU32,
    /// Read so far of `output`, by the backend.
    pub out_cons: AtomicU32,
    /// Written so far to `output`, by the guest.
    pub out_prod: AtomicU32,
}

/// Standard input of a rank, beside the console, on which only people type. The console's own ring
/// has no end, and xenconsoled writes to it.
#[derive(Debug)]
#[repr(C)]
pub struct StandardInput {
    /// A ring of bytes to the guest. Indices run freely; their low bits are the place in the ring.
    pub bytes: [AtomicU8; 256],
    /// Written so far, by the daemon.
    pub produced: AtomicU32,
    /// Read so far, by the guest.
    pub consumed: AtomicU32,
    /// Not 0 when nothing more will be written.
    pub ended: AtomicU32,
    /// Not 0 when the guest has asked for input. Until then nobody takes any from the user.
    pub wanted: AtomicU32,
}

/// The whole page. Xen uses its beginning; its end is an agreement between our kernel and the
/// daemon, whoever reads the console.
#[derive(Debug)]
#[repr(C)]
pub struct ConsolePage {
    /// The rings.
    pub interface: ConsoleInterface,
    unused: [AtomicU8; 732],
    /// What the rank reads.
    pub stdin: StandardInput,
    /// While this is not 0 the guest is to write nothing more: the backend would take it, and drop
    /// what its own reader does not take.
    pub hold: AtomicU32,
}

const _: () = assert!(size_of::<ConsolePage>() == PAGE_SIZE);
const _: () = assert!(offset_of!(ConsolePage, hold) == PAGE_SIZE - 4);
const _: () = assert!(offset_of!(ConsolePage, stdin) == PAGE_SIZE - 4 - 272);
const _: () = assert!(offset_of!(ConsoleInterface, in_cons) == 3072);
const _: () = assert!(size_of::<ConsoleInterface>() == 3088);

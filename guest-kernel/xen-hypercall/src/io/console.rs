//! The console's page (`io/console.h`).

use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, AtomicU32};

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

const _: () = assert!(offset_of!(ConsoleInterface, in_cons) == 3072);
const _: () = assert!(size_of::<ConsoleInterface>() == 3088);

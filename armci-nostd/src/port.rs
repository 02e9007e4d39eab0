//! How a rank reaches its proxy: all that differs between a unikernel and a Linux process.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::wire::RuntimeArea;

/// The proxy is gone: its end of the connection has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the proxy is gone")]
pub struct ProxyGone;

/// A rank's side of an attachment.
///
/// # Safety
/// [`area`](Self::area) must return the same area each time, and `alloc` memory of its own that stays valid until it
/// is given to `dealloc`, as [`GlobalAlloc`](core::alloc::GlobalAlloc) does.
pub unsafe trait Port {
    /// The memory shared with the proxy.
    fn area(&self) -> &'static RuntimeArea;

    /// Rings the proxy's doorbell.
    fn notify(&self);

    /// Blocks until the rank's own doorbell has rung since the last call. May return early.
    fn wait(&self) -> Result<(), ProxyGone>;

    /// A short pause after `looks` looks that found nothing. False where it is better to block than to look again.
    fn pause(&self, looks: u32) -> bool;

    /// Whether the bytes at `address` lie in the window, so that the proxy can reach them.
    fn contains(&self, address: usize, len: usize) -> bool;

    /// Zeroed memory in the public part of the window, which other ranks can reach.
    fn alloc(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// Gives memory of [`alloc`](Self::alloc) back.
    ///
    /// # Safety
    /// `memory` must come from `alloc` of this port with the same layout, and not be used afterwards.
    unsafe fn dealloc(&self, memory: NonNull<u8>, layout: Layout);
}

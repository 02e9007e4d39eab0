//! Blocking, yielding and shutting down (`sched.h`).

use crate::event_channel_op::Port;
use crate::{Error, Hypercall, Number, Result, with_argument};

/// Why a domain shuts down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ShutdownReason {
    /// Done.
    #[doc(alias = "SHUTDOWN_poweroff")]
    Poweroff = 0,
    /// Start me again.
    #[doc(alias = "SHUTDOWN_reboot")]
    Reboot = 1,
    /// Save me: see [`suspend`].
    #[doc(alias = "SHUTDOWN_suspend")]
    Suspend = 2,
    /// Something went wrong.
    #[doc(alias = "SHUTDOWN_crash")]
    Crash = 3,
}

/// Where a domain finds itself after [`suspend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// The suspension was cancelled, or was a checkpoint: nothing is lost.
    InSameDomain,
    /// In a domain new to us: memory and processor are as before, all that Xen kept for the old
    /// domain is gone.
    InNewDomain,
}

mod operation {
    pub(super) const YIELD: u32 = 0;
    pub(super) const SHUTDOWN: u32 = 2;
    pub(super) const POLL: u32 = 3;
}

/// The number of [`poll`], for whoever calls it in assembly.
pub const POLL: u32 = operation::POLL;
/// Bytes of [`poll`]'s argument.
pub const POLL_SIZE: usize = size_of::<Poll>();

/// Lets another virtual CPU run.
#[doc(alias = "SCHEDOP_yield")]
pub fn yield_now(xen: &(impl Hypercall + ?Sized)) {
    // SAFETY: the operation takes no argument.
    unsafe { xen.call(Number::SchedOp, [u64::from(operation::YIELD), 0, 0, 0, 0]) };
}

#[doc(alias = "sched_poll")]
#[repr(C)]
struct Poll {
    ports: *const Port,
    count: u32,
    timeout: u64,
}

const _: () = assert!(size_of::<Poll>() == 24);

/// Writes the argument of a [`poll`] without a timeout that is called in assembly.
///
/// # Safety
/// `place` must be valid for a write of [`POLL_SIZE`] bytes, and aligned to 8 of them.
pub unsafe fn write_poll(place: *mut u8, ports: *const Port, count: u32) {
    // SAFETY: by the caller.
    unsafe { place.cast::<Poll>().write(Poll { ports, count, timeout: 0 }) }
}

/// Stops the virtual CPU until one of the ports is pending, interrupts on or off. A timeout is an
/// absolute system time in nanoseconds; zero means none. May return early.
#[doc(alias = "SCHEDOP_poll")]
pub fn poll(xen: &(impl Hypercall + ?Sized), ports: &[Port], timeout: u64) -> Result<()> {
    let count = u32::try_from(ports.len()).map_err(|_| Error::INVALID)?;
    let mut argument = Poll { ports: ports.as_ptr(), count, timeout };
    // SAFETY: the operation's own structure; Xen reads `count` ports from a live slice.
    let rax = unsafe { with_argument(xen, Number::SchedOp, operation::POLL, &mut argument) };
    Error::check(rax).map(drop)
}

#[doc(alias = "sched_shutdown")]
#[repr(C)]
struct Shutdown {
    reason: ShutdownReason,
}

/// Ends the domain. Returns only if Xen refuses.
#[doc(alias = "SCHEDOP_shutdown")]
pub fn shutdown(xen: &(impl Hypercall + ?Sized), reason: ShutdownReason) -> Error {
    // SAFETY: the operation's own structure, which holds no pointers.
    let rax = unsafe {
        with_argument(xen, Number::SchedOp, operation::SHUTDOWN, &mut Shutdown { reason })
    };
    Error::check(rax).err().unwrap_or(Error::INVALID)
}

/// Stops the domain so that the toolstack can save it, and returns when it runs again.
///
/// # Safety
/// After [`Resumed::InNewDomain`] pages that Xen had placed in the memory map are not Xen's any
/// more, and what had been shared is not shared. The caller must set them up again before it uses
/// them.
#[doc(alias = "SCHEDOP_shutdown")]
#[doc(alias = "SHUTDOWN_suspend")]
pub unsafe fn suspend(xen: &(impl Hypercall + ?Sized)) -> Result<Resumed> {
    let mut argument = Shutdown { reason: ShutdownReason::Suspend };
    // SAFETY: the operation's own structure, which holds no pointers.
    let rax = unsafe { with_argument(xen, Number::SchedOp, operation::SHUTDOWN, &mut argument) };
    // The toolstack writes 1 to RAX to tell the domain that it is the same one still.
    Ok(match Error::check(rax)? {
        0 => Resumed::InNewDomain,
        _ => Resumed::InSameDomain,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Recorder;

    #[test]
    fn suspend_tells_the_two_ways_back_apart() {
        // SAFETY: a recording double suspends nothing.
        let come_back = |rax| unsafe { suspend(&Recorder::new(rax, 4)) };
        assert_eq!(come_back(0), Ok(Resumed::InNewDomain));
        assert_eq!(come_back(1), Ok(Resumed::InSameDomain));
        assert_eq!(come_back(-1), Err(Error::PERMISSION));
    }

    #[test]
    fn shutdown_passes_the_reason() {
        let xen = Recorder::new(-38, 4);
        assert_eq!(shutdown(&xen, ShutdownReason::Crash), Error::NOT_IMPLEMENTED);
        let call = xen.next();
        assert_eq!((call.number, call.arguments[0]), (Number::SchedOp, 2));
        assert_eq!(call.structure, [3, 0, 0, 0]);
    }

    #[test]
    fn poll_passes_ports_and_time() {
        let xen = Recorder::new(0, 24);
        poll(&xen, &[Port(3), Port(4)], 77).unwrap();
        let call = xen.next();
        assert_eq!(call.structure[8..12], [2, 0, 0, 0]);
        assert_eq!(call.structure[16..], 77u64.to_le_bytes());
    }
}

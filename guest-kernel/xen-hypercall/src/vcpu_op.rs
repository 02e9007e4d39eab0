//! A virtual CPU's timer (`vcpu.h`).

use crate::{Error, Hypercall, Number, Result};

mod operation {
    pub(super) const SET_SINGLESHOT_TIMER: u64 = 8;
    pub(super) const STOP_SINGLESHOT_TIMER: u64 = 9;
}

#[doc(alias = "vcpu_set_singleshot_timer")]
#[repr(C)]
struct SingleshotTimer {
    at: u64,
    flags: u32,
}

const _: () = assert!(size_of::<SingleshotTimer>() == 16);

/// Has [`Virq::Timer`](crate::event_channel_op::Virq::Timer) fire once at a system time in nanoseconds; at once if
/// that is past.
#[doc(alias = "VCPUOP_set_singleshot_timer")]
pub fn set_singleshot_timer(xen: &(impl Hypercall + ?Sized), vcpu: u32, at: u64) -> Result<()> {
    let argument = SingleshotTimer { at, flags: 0 };
    let pointer = core::ptr::from_ref(&argument) as u64;
    // SAFETY: Xen reads the operation's own structure, which is live.
    let rax = unsafe { xen.call(Number::VcpuOp, [operation::SET_SINGLESHOT_TIMER, u64::from(vcpu), pointer, 0, 0]) };
    Error::check(rax).map(drop)
}

/// Stops the timer.
#[doc(alias = "VCPUOP_stop_singleshot_timer")]
pub fn stop_singleshot_timer(xen: &(impl Hypercall + ?Sized), vcpu: u32) -> Result<()> {
    // SAFETY: the operation takes no structure.
    let rax = unsafe { xen.call(Number::VcpuOp, [operation::STOP_SINGLESHOT_TIMER, u64::from(vcpu), 0, 0, 0]) };
    Error::check(rax).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Recorder;

    #[test]
    fn the_virtual_cpu_comes_before_the_structure() {
        let xen = Recorder::new(0, 0);
        set_singleshot_timer(&xen, 0, 5).unwrap();
        stop_singleshot_timer(&xen, 0).unwrap();
        let (set, stop) = (xen.next(), xen.next());
        assert_eq!((set.number, set.arguments[0], set.arguments[1]), (Number::VcpuOp, 8, 0));
        assert_ne!(set.arguments[2], 0);
        assert_eq!(stop.arguments, [9, 0, 0, 0, 0]);
    }
}

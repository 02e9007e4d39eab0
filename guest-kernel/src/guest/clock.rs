//! Time: Xen's clock, and one timer.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use xen_hypercall::event_channel_op::{Virq, bind_virq};
use xen_hypercall::vcpu_op;

use super::part::{Part, PartError, Resume};
use super::{events, idle};
use crate::arch::{cpu, xen};
use crate::logic::pvclock;

/// Our time less Xen's, in nanoseconds modulo 2^64: Xen's begins anew in a new domain, ours goes on.
static OFFSET: AtomicU64 = AtomicU64::new(0);
/// Our time when the domain was suspended.
static SUSPENDED_AT: AtomicU64 = AtomicU64::new(0);
/// Our time at which the timer is to fire; 0 if it is off.
static DEADLINE: AtomicU64 = AtomicU64::new(0);

/// The time since the start; it never goes back. The time that a domain lies suspended does not count.
pub fn now() -> Duration {
    Duration::from_nanos(nanoseconds())
}

/// Waits this long, using no CPU.
pub fn sleep(time: Duration) {
    idle::wait_until(now().checked_add(time), || false);
}

fn nanoseconds() -> u64 {
    // Xen's time and the offset belong together: no suspension may come between them.
    cpu::without_interrupts(|| system_time().wrapping_add(OFFSET.load(Ordering::Relaxed)))
}

/// Xen's system time in nanoseconds; 0 before there is a clock.
pub(super) fn system_time() -> u64 {
    events::shared_info().map_or(0, |info| pvclock::system_time(&info.vcpu_info[0].time, cpu::time_stamp_counter))
}

/// Has the timer end a wait at `deadline`.
pub(super) fn set_timer(deadline: Duration) -> xen_hypercall::Result<()> {
    let deadline = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX).max(1);
    if deadline == DEADLINE.swap(deadline, Ordering::Relaxed) {
        return Ok(());
    }
    arm(deadline)
}

fn arm(deadline: u64) -> xen_hypercall::Result<()> {
    // Beyond what Xen's signed time can hold, there is no need for a timer.
    let at = deadline.wrapping_sub(OFFSET.load(Ordering::Relaxed)).min(i64::MAX as u64 / 2);
    vcpu_op::set_singleshot_timer(&xen::xen(), 0, at)
}

/// The timer has fired; that it did is enough to end a wait.
fn fired() {
    DEADLINE.store(0, Ordering::Relaxed);
}

/// Clock and timer.
pub(super) struct Clock;

impl Part for Clock {
    fn name(&self) -> &'static str {
        "the clock"
    }

    fn suspend(&self) {
        SUSPENDED_AT.store(nanoseconds(), Ordering::Relaxed);
    }

    fn resume(&self, how: Resume) -> Result<(), PartError> {
        if how == Resume::NewDomain {
            OFFSET.store(SUSPENDED_AT.load(Ordering::Relaxed).wrapping_sub(system_time()), Ordering::Relaxed);
            let port = bind_virq(&xen::xen(), Virq::Timer, 0)
                .map_err(|error| PartError::Xen("cannot bind the timer", error))?;
            events::bind(port, fired).map_err(|error| PartError::Xen("cannot bind the timer", error))?;
        }
        match DEADLINE.load(Ordering::Relaxed) {
            0 => Ok(()),
            deadline => arm(deadline).map_err(|error| PartError::Xen("cannot set the timer", error)),
        }
    }
}

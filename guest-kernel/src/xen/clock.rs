//! Time: Xen's clock, made ours.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use super::error::PartError;
use super::events;
use super::part::Part;
use crate::arch::cpu;
use crate::logic::pvclock;

/// Our time less Xen's, in nanoseconds modulo 2^64: Xen's begins anew in a new domain, ours goes
/// on.
static OFFSET: AtomicU64 = AtomicU64::new(0);
/// Our time when the domain was suspended.
static SUSPENDED_AT: AtomicU64 = AtomicU64::new(0);
/// The latest time that was told.
static TOLD: AtomicU64 = AtomicU64::new(0);

/// The time since the start; it never goes back. The time that a domain lies suspended does not
/// count.
pub fn now() -> Duration {
    Duration::from_nanos(nanoseconds())
}

fn nanoseconds() -> u64 {
    // Xen's time and the offset belong together: no suspension may come between them.
    cpu::without_interrupts(|| {
        let time = system_time().wrapping_add(OFFSET.load(Ordering::Relaxed)) as i64;
        // Xen's time may be a little behind itself when it corrects its scale, or after a change of
        // processor: also behind what it was at our start.
        let time = u64::try_from(time).unwrap_or(0);
        TOLD.fetch_max(time, Ordering::Relaxed).max(time)
    })
}

/// The time of day, as time since 1970: Xen's, which dom0 sets.
#[cfg(feature = "c")]
pub(crate) fn time_of_day() -> Duration {
    cpu::without_interrupts(|| {
        let began = events::shared_info().map_or(Duration::ZERO, pvclock::wall_clock);
        began.saturating_add(Duration::from_nanos(system_time()))
    })
}

/// Xen's system time in nanoseconds; 0 before there is a clock.
pub(crate) fn system_time() -> u64 {
    events::shared_info()
        .map_or(0, |info| pvclock::system_time(&info.vcpu_info[0].time, cpu::time_stamp_counter))
}

/// The system time at which our time is `time`, for Xen to wait until.
pub(crate) fn system_time_at(time: Duration) -> u64 {
    // Xen's time is signed, and this is beyond all waiting.
    const MOST: u64 = i64::MAX as u64 / 4;
    let time = u64::try_from(time.as_nanos()).unwrap_or(MOST).min(MOST);
    // 0 would be no deadline at all.
    (time.wrapping_sub(OFFSET.load(Ordering::Relaxed)) as i64).max(1) as u64
}

/// Notes the time at which the domain stops: if it goes on in another one, time does from there. In
/// the same domain time has gone on.
pub(crate) fn note_stop() {
    SUSPENDED_AT.store(nanoseconds(), Ordering::Relaxed);
}

/// The clock.
pub(crate) struct Clock;

impl Part for Clock {
    fn name(&self) -> &'static str {
        "the clock"
    }

    fn suspend(&self) {
        note_stop();
    }

    fn arrive(&self) -> Result<(), PartError> {
        let offset = SUSPENDED_AT.load(Ordering::Relaxed).wrapping_sub(system_time());
        OFFSET.store(offset, Ordering::Relaxed);
        Ok(())
    }
}

//! Xen's system time from the time-stamp counter.

use core::sync::atomic::{Ordering, fence};
#[cfg(any(feature = "c", test))]
use core::time::Duration;

#[cfg(any(feature = "c", test))]
use xen_hypercall::shared_info::SharedInfo;
use xen_hypercall::shared_info::VcpuTimeInfo;

/// The system time in nanoseconds. `tsc` reads the time-stamp counter.
pub fn system_time(info: &VcpuTimeInfo, tsc: impl Fn() -> u64) -> u64 {
    loop {
        let version = info.version.load(Ordering::Acquire);
        // Odd: Xen is changing it at this moment.
        if version & 1 == 0 {
            let ticks = ticks_since(info.tsc_timestamp.load(Ordering::Relaxed), tsc());
            let multiplier = info.tsc_to_system_mul.load(Ordering::Relaxed);
            let shift = info.tsc_shift.load(Ordering::Relaxed);
            let base = info.system_time.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if info.version.load(Ordering::Relaxed) == version {
                return base.wrapping_add(nanoseconds(ticks, multiplier, shift));
            }
        }
        core::hint::spin_loop();
    }
}

/// The time since 1970 at which the system time was zero.
#[cfg(any(feature = "c", test))]
pub fn wall_clock(info: &SharedInfo) -> Duration {
    loop {
        let version = info.wc_version.load(Ordering::Acquire);
        if version & 1 == 0 {
            let seconds = info.wc_sec.load(Ordering::Relaxed);
            let upper = info.wc_sec_hi.load(Ordering::Relaxed);
            let nanoseconds = info.wc_nsec.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if info.wc_version.load(Ordering::Relaxed) == version {
                return Duration::from_secs(u64::from(upper) << 32 | u64::from(seconds))
                    .saturating_add(Duration::from_nanos(nanoseconds.into()));
            }
        }
        core::hint::spin_loop();
    }
}

/// Modulo 2^64: a domain's counter begins with the domain, but Xen may have taken the stamp before
/// that. None if the counter is a little behind the stamp, as it may be right after a change of
/// processor.
fn ticks_since(stamp: u64, tsc: u64) -> u64 {
    u64::try_from(tsc.wrapping_sub(stamp) as i64).unwrap_or(0)
}

/// (ticks << shift) * multiplier / 2^32, whatever the numbers.
fn nanoseconds(ticks: u64, multiplier: u32, shift: i8) -> u64 {
    let distance = u32::from(shift.unsigned_abs());
    let shifted =
        if shift >= 0 { ticks.checked_shl(distance) } else { ticks.checked_shr(distance) };
    ((u128::from(shifted.unwrap_or(0)) * u128::from(multiplier)) >> 32) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_scaled() {
        // 4 GHz: a quarter of a nanosecond a tick.
        assert_eq!(nanoseconds(4_000_000_000, 1 << 30, 0), 1_000_000_000);
        // 2 GHz as Xen writes it: 2^31 after no shift.
        assert_eq!(nanoseconds(2_000_000_000, 1 << 31, 0), 1_000_000_000);
        // 500 MHz: shift by 2 left, then half.
        assert_eq!(nanoseconds(500_000_000, 1 << 31, 2), 1_000_000_000);
        assert_eq!(nanoseconds(8, 1 << 31, -1), 2);
    }

    #[test]
    fn a_stamp_may_be_from_before_the_counter_began() {
        assert_eq!(ticks_since(u64::MAX - 9, 5), 15);
        assert_eq!(ticks_since(5, 8), 3);
        assert_eq!(ticks_since(8, 5), 0);
    }

    #[test]
    fn a_change_while_reading_is_noticed() {
        let info = VcpuTimeInfo::default();
        info.tsc_to_system_mul.store(1 << 31, Ordering::Relaxed);
        info.tsc_shift.store(1, Ordering::Relaxed);
        info.system_time.store(1000, Ordering::Relaxed);
        assert_eq!(system_time(&info, || 7), 1007);
        // Between reading the counter and the rest, Xen writes a new set, as after a move to
        // another processor.
        let moved = core::cell::Cell::new(false);
        let time = system_time(&info, || {
            if !moved.replace(true) {
                info.version.fetch_add(2, Ordering::Relaxed);
                info.tsc_timestamp.store(1_000_000, Ordering::Relaxed);
                info.system_time.store(1010, Ordering::Relaxed);
                return 10;
            }
            1_000_005
        });
        assert_eq!(time, 1015);
    }

    #[test]
    fn a_century_of_uptime_does_not_overflow() {
        let century = 100 * 366 * 24 * 3600 * 4_000_000_000;
        assert_eq!(nanoseconds(century, 1 << 30, 0), century / 4);
    }

    #[test]
    fn a_shift_off_the_end_is_no_panic() {
        assert_eq!(nanoseconds(u64::MAX, u32::MAX, 127), 0);
        assert_eq!(nanoseconds(u64::MAX, u32::MAX, -128), 0);
    }
}

//! Waiting without using the CPU.

use core::time::Duration;

use super::{clock, events};
use crate::arch::cpu;

/// Whether code may wait for events here: not with interrupts off, and so not where events are
/// dealt with.
pub(crate) fn may_wait() -> bool {
    cpu::interrupts_enabled()
}

/// Waits this long, using no CPU.
pub fn sleep(time: Duration) {
    wait_until(clock::now().checked_add(time), &mut || false);
}

/// Waits until `ready`, which is asked again after every event, or until the deadline. Whether it
/// was ready.
///
/// # Panics
/// In the upcall, or with interrupts off, where no event would come.
#[inline(never)]
pub(crate) fn wait_until(deadline: Option<Duration>, ready: &mut dyn FnMut() -> bool) -> bool {
    assert!(may_wait(), "waiting for an event where none can come");
    // From the look to the wait no event may be handled, or it would be waited for after it has
    // come. Nor in between: the fewer upcalls there are, the fewer an emulation delivers wrongly.
    cpu::without_interrupts(|| {
        loop {
            if ready() {
                return true;
            }
            if deadline.is_some_and(|deadline| clock::now() >= deadline) {
                return false;
            }
            wait(deadline.map_or(0, clock::system_time_at));
        }
    })
}

/// Waits until a port that is bound quietly has had an event since the last wait, or anything else
/// happens, for at most this long. What has happened is dealt with. May return early.
///
/// # Panics
/// In the upcall, or with interrupts off, where no event would come.
pub(crate) fn wait_for_event(most: Duration) {
    assert!(may_wait(), "waiting for an event where none can come");
    cpu::without_interrupts(|| wait(clock::system_time_at(clock::now().saturating_add(most))));
}

/// With interrupts off, until the deadline in system time; 0 is none.
fn wait(deadline: u64) {
    events::wait(deadline);
    events::deliver_all();
    events::unmask();
    // What came since, and could not call.
    events::deliver_calling();
}

//! Waiting without using the CPU.

use core::time::Duration;

use super::{clock, may_block};
use crate::arch::cpu;

/// Waits until `ready`, which is asked again after every event, or until the deadline. Whether it was ready.
///
/// # Panics
/// In the upcall, or with interrupts off, where no event would come.
pub(super) fn wait_until(deadline: Option<Duration>, mut ready: impl FnMut() -> bool) -> bool {
    assert!(may_block(), "waiting for an event where none can come");
    loop {
        // From the look to the halt no event may slip through, or it would be waited for after it has come.
        cpu::disable_interrupts();
        let is_ready = ready();
        let is_late = deadline.is_some_and(|deadline| clock::now() >= deadline);
        if is_ready || is_late {
            cpu::enable_interrupts();
            return is_ready;
        }
        if let Some(deadline) = deadline
            && let Err(error) = clock::set_timer(deadline)
        {
            cpu::enable_interrupts();
            panic!("cannot set the timer: {error}");
        }
        cpu::wait_for_event();
    }
}

//! Being suspended, and serving what else the toolstack asks for.
//!
//! Whatever it asks for is served at the end of the upcall or the wait in which the request came, so
//! it does not matter what the application is doing; it may be computing.

use xen_hypercall::sched_op::ShutdownReason;

use super::toolstack::{self, Request};
use super::{end, parts};
use crate::rank::neighbours;
use crate::xen::hold;

/// Does what the toolstack has asked for, whenever events have been dealt with. With interrupts off.
pub(super) fn serve() {
    let Some(request) = toolstack::asked() else { return };
    // A suspension takes the neighbours' memory away, so it waits until nobody is there.
    if request == Request::Suspend && (hold::is_held() || !neighbours::leave()) {
        hold::wait();
        return;
    }
    toolstack::forget();
    match request {
        Request::Suspend => parts::suspend(),
        Request::Poweroff => end::as_asked("poweroff", ShutdownReason::Poweroff),
        Request::Reboot => end::as_asked("reboot", ShutdownReason::Reboot),
    }
}

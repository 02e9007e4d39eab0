//! Being suspended, and serving what else the toolstack asks for.
//!
//! Whatever it asks for is served at the end of the upcall or the wait in which the request came,
//! so it does not matter what the application is doing; it may be computing.

use xen_hypercall::sched_op::ShutdownReason;

use super::{end, parts, toolstack};
use crate::logic::shutdown_requests::ShutdownRequest;
use crate::rank::neighbours;
use crate::xen::hold;

/// Does what the toolstack has asked for, whenever events have been dealt with. With interrupts
/// off.
pub(super) fn serve() {
    if toolstack::asks(ShutdownRequest::Suspend) {
        // A suspension takes the neighbours' memory away, so it waits until nobody is there.
        if hold::is_held() || !neighbours::leave() {
            hold::wait();
        } else {
            toolstack::served(ShutdownRequest::Suspend);
            parts::suspend();
        }
    }
    if toolstack::asks(ShutdownRequest::Poweroff) {
        end::as_asked("poweroff", ShutdownReason::Poweroff);
    }
    if toolstack::asks(ShutdownRequest::Reboot) {
        end::as_asked("reboot", ShutdownReason::Reboot);
    }
}

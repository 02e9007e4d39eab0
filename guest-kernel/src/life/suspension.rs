//! Being suspended, standing still for the proxy, and serving what else the toolstack asks for.
//!
//! Whatever is asked for is served at the end of the upcall or the wait in which the request came,
//! so it does not matter what the application is doing; it may be computing.
//!
//! A rank that stands still is *parked*: nothing runs but the loop here, which polls, and all of
//! the rank's state is in its memory. It is in its domain as before, with all mappings and grants,
//! and the toolstack may save it meanwhile. Time goes on.

use xen_hypercall::sched_op::ShutdownReason;

use super::{end, parts, toolstack};
use crate::arch::standstill;
use crate::logic::shutdown_requests::ShutdownRequest;
use crate::rank::{neighbours, park};
use crate::xen::{clock, events, hold};

/// Does what was asked for, whenever events have been dealt with. With interrupts off.
pub(super) fn serve() {
    // Neither a suspension, which takes the neighbours' memory away, nor a rank that stands still
    // may be in the midst of it.
    let asked = toolstack::asks(ShutdownRequest::Suspend) || park::order().is_some();
    if asked && (hold::is_held() || !neighbours::leave()) {
        hold::wait();
    } else {
        suspend_if_asked();
        if park::order().is_some() {
            clock::note_stop();
            standstill::stand_still(parked);
            park::is_over();
        }
    }
    end_if_asked();
}

/// The life of a rank that stands still.
extern "C" fn parked() {
    while let Some(order) = park::order() {
        park::report(order);
        suspend_if_asked();
        end_if_asked();
        events::wait_for_call();
    }
}

fn suspend_if_asked() {
    if toolstack::asks(ShutdownRequest::Suspend) {
        toolstack::served(ShutdownRequest::Suspend);
        parts::suspend();
    }
}

fn end_if_asked() {
    if toolstack::asks(ShutdownRequest::Poweroff) {
        end::as_asked("poweroff", ShutdownReason::Poweroff);
    }
    if toolstack::asks(ShutdownRequest::Reboot) {
        end::as_asked("reboot", ShutdownReason::Reboot);
    }
}

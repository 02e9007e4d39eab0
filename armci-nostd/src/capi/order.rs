//! Fences, barriers, notifications, read-modify-writes.

use core::cell::Cell;
use core::ffi::{c_int, c_long, c_void};
use std::prelude::v1::*;

use super::memory::Place;
use super::{Refusal, Runtime, code, or_die, weak_aliases};
use crate::moves;
use crate::wire::RmwKind;

/// By rank: notifications that were waited for.
pub(super) struct Notices(Vec<Cell<c_int>>);

impl Notices {
    pub(super) fn new(size: usize) -> Self {
        Self((0..size).map(|_| Cell::new(0)).collect())
    }
}

/// `ARMCI_Fence`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Fence(proc: c_int) {
    let fence = || {
        let runtime = Runtime::ready()?;
        Ok(runtime.armci.fence(runtime.rank(proc)?)?)
    };
    or_die("ARMCI_Fence", fence());
}

/// `ARMCI_AllFence`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_AllFence() {
    or_die("ARMCI_AllFence", Runtime::ready().and_then(|runtime| Ok(runtime.armci.all_fence()?)));
}

/// `ARMCI_GroupFence`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_GroupFence(group: *mut c_int) {
    let fence = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        runtime.group(unsafe { super::group::id(group)? })?;
        Ok(runtime.armci.all_fence()?)
    };
    or_die("ARMCI_GroupFence", fence());
}

/// `ARMCI_Barrier`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Barrier() {
    or_die("ARMCI_Barrier", Runtime::ready().and_then(|runtime| Ok(runtime.armci.barrier()?)));
}

/// `armci_notify`.
#[unsafe(no_mangle)]
pub extern "C" fn parmci_notify(proc: c_int) -> c_int {
    let notify = || {
        let runtime = Runtime::ready()?;
        Ok(runtime.armci.notify(runtime.rank(proc)?)? as c_int)
    };
    notify().unwrap_or_else(Refusal::code)
}

/// `armci_notify_wait`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn parmci_notify_wait(proc: c_int, pval: *mut c_int) -> c_int {
    let wait = || {
        let runtime = Runtime::ready()?;
        let rank = runtime.rank(proc)?;
        let come = runtime.armci.wait_notify(rank)? as c_int;
        let awaited = &runtime.order.0[rank];
        awaited.set(awaited.get().wrapping_add(1));
        // SAFETY: by the caller.
        if let Some(pval) = unsafe { pval.as_mut() } {
            *pval = awaited.get();
        }
        Ok(come)
    };
    wait().unwrap_or_else(Refusal::code)
}

/// `ARMCI_Notify`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Notify(proc: c_int) -> c_int {
    parmci_notify(proc)
}

/// `ARMCI_Notify_wait`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Notify_wait(proc: c_int, pval: *mut c_int) -> c_int {
    // SAFETY: by the caller.
    unsafe { parmci_notify_wait(proc, pval) }
}

/// `ARMCI_Rmw`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Rmw(
    op: c_int,
    ploc: *mut c_void,
    prem: *mut c_void,
    extra: c_int,
    proc: c_int,
) -> c_int {
    let change = || {
        let runtime = Runtime::ready()?;
        let rank = runtime.rank(proc)?;
        let kind = match op {
            10 => RmwKind::Swap32,
            11 => RmwKind::Swap64,
            12 => RmwKind::FetchAdd32,
            13 => RmwKind::FetchAdd64,
            _ => return Err(Refusal::Operation),
        };
        if ploc.is_null() {
            return Err(Refusal::Local);
        }
        let remote = prem.expose_provenance() as u64;
        let place = runtime
            .place(rank, remote..remote.checked_add(kind.size() as u64).ok_or(Refusal::Remote)?)?;
        if !remote.is_multiple_of(kind.size() as u64) {
            return Err(Refusal::Misaligned(kind.size()));
        }
        // SAFETY: `ploc` is valid by the caller, for an `int` or a `long`.
        let operand = unsafe {
            match kind {
                RmwKind::Swap32 => ploc.cast::<c_int>().read_unaligned() as u32 as u64,
                RmwKind::Swap64 => ploc.cast::<c_long>().read_unaligned() as u64,
                _ => c_long::from(extra) as u64,
            }
        };
        let found = match place {
            // SAFETY: allocated for being changed by operations, as `place` has found.
            Place::Shared => unsafe {
                runtime.armci.read_modify_write(kind, rank, remote, [operand, 0])?
            },
            // SAFETY: aligned, valid by the caller, and nobody else's.
            Place::Private => unsafe {
                moves::rmw::read_modify_write(kind, prem.cast(), [operand, 0])
            },
        };
        // SAFETY: as above.
        unsafe {
            match kind.size() {
                4 => ploc.cast::<c_int>().write_unaligned(found as c_int),
                _ => ploc.cast::<c_long>().write_unaligned(found as c_long),
            }
        }
        Ok(())
    };
    code(change())
}

weak_aliases! {
    ARMCI_Fence => PARMCI_Fence;
    ARMCI_AllFence => PARMCI_AllFence;
    ARMCI_GroupFence => PARMCI_GroupFence;
    ARMCI_Barrier => PARMCI_Barrier;
    armci_notify => parmci_notify;
    armci_notify_wait => parmci_notify_wait;
    ARMCI_Notify => PARMCI_Notify;
    ARMCI_Notify_wait => PARMCI_Notify_wait;
    ARMCI_Rmw => PARMCI_Rmw;
}

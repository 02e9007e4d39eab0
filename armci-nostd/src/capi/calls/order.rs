//! Fences, barriers, notifications.

use core::ffi::c_int;

use crate::capi::alias::weak_aliases;
use crate::capi::convert::group_id;
use crate::capi::runtime::{Runtime, number, or_die};

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
        runtime.groups.get(unsafe { group_id(group)? })?;
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
    number(notify())
}

/// `armci_notify_wait`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn parmci_notify_wait(proc: c_int, pval: *mut c_int) -> c_int {
    let wait = || {
        let runtime = Runtime::ready()?;
        let rank = runtime.rank(proc)?;
        let come = runtime.armci.wait_notify(rank)? as c_int;
        let awaited = &runtime.notices[rank];
        awaited.set(awaited.get().wrapping_add(1));
        // SAFETY: by the caller.
        if let Some(pval) = unsafe { pval.as_mut() } {
            *pval = awaited.get();
        }
        Ok(come)
    };
    number(wait())
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

weak_aliases! {
    ARMCI_Fence => PARMCI_Fence;
    ARMCI_AllFence => PARMCI_AllFence;
    ARMCI_GroupFence => PARMCI_GroupFence;
    ARMCI_Barrier => PARMCI_Barrier;
    armci_notify => parmci_notify;
    armci_notify_wait => parmci_notify_wait;
    ARMCI_Notify => PARMCI_Notify;
    ARMCI_Notify_wait => PARMCI_Notify_wait;
}

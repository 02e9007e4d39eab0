//! Waiting for operations that are under way.

use core::ffi::c_int;

use crate::capi::alias::weak_aliases;
use crate::capi::handles::CHandle;
use crate::capi::refusal::Refusal;
use crate::capi::runtime::{Runtime, code, number, or_die};

/// `ARMCI_Wait`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Wait(nb_handle: *mut CHandle) -> c_int {
    let wait = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        let handle = unsafe { nb_handle.as_mut() }.ok_or(Refusal::Local)?;
        Ok(runtime.handles.wait(runtime.armci, handle)?)
    };
    code(wait())
}

/// `ARMCI_Test`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Test(nb_handle: *mut CHandle) -> c_int {
    let test = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        let handle = unsafe { nb_handle.as_ref() }.ok_or(Refusal::Local)?;
        Ok(c_int::from(!runtime.handles.test(runtime.armci, handle)?))
    };
    number(test())
}

/// `ARMCI_WaitProc`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_WaitProc(proc: c_int) -> c_int {
    let wait = || {
        let runtime = Runtime::ready()?;
        Ok(runtime.handles.wait_rank(runtime.armci, runtime.rank(proc)?)?)
    };
    code(wait())
}

/// `ARMCI_WaitAll`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_WaitAll() -> c_int {
    code(Runtime::ready().and_then(|runtime| Ok(runtime.handles.wait_all(runtime.armci)?)))
}

/// Notes whether a handle is an aggregate. Any handle may have many operations under way, and they
/// are started at once.
unsafe fn set_aggregate(function: &str, handle: *mut CHandle, aggregate: bool) {
    // SAFETY: by the caller.
    let handle = unsafe { handle.as_mut() }.ok_or(Refusal::Local);
    or_die(function, handle).aggregate = aggregate.into();
}

/// `ARMCI_SET_AGGREGATE_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_SET_AGGREGATE_HANDLE(nb_handle: *mut CHandle) {
    // SAFETY: by the caller.
    unsafe { set_aggregate("ARMCI_SET_AGGREGATE_HANDLE", nb_handle, true) };
}

/// `ARMCI_UNSET_AGGREGATE_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_UNSET_AGGREGATE_HANDLE(nb_handle: *mut CHandle) {
    // SAFETY: by the caller.
    unsafe { set_aggregate("ARMCI_UNSET_AGGREGATE_HANDLE", nb_handle, false) };
}

weak_aliases! {
    ARMCI_Wait => PARMCI_Wait;
    ARMCI_Test => PARMCI_Test;
    ARMCI_WaitProc => PARMCI_WaitProc;
    ARMCI_WaitAll => PARMCI_WaitAll;
    ARMCI_SET_AGGREGATE_HANDLE => PARMCI_SET_AGGREGATE_HANDLE;
    ARMCI_UNSET_AGGREGATE_HANDLE => PARMCI_UNSET_AGGREGATE_HANDLE;
}

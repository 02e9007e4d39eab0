//! Start and end.

use core::ffi::{c_char, c_int, c_void};
use std::prelude::v1::*;

use crate::capi::alias::weak_aliases;
use crate::capi::convert::{length, text};
use crate::capi::refusal::Refusal;
use crate::capi::runtime::{Runtime, code, exit_status, or_die};
#[cfg(not(feature = "hosted"))]
use crate::path::platform::Awaited;

fn initialise() -> c_int {
    Runtime::attached().initialised.set(true);
    0
}

/// `ARMCI_Init`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Init() -> c_int {
    initialise()
}

/// `ARMCI_Init_args`: there is nothing for ARMCI among the arguments.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Init_args(_argc: *mut c_int, _argv: *mut *mut *mut c_char) -> c_int {
    initialise()
}

/// `ARMCI_Init_thread`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Init_thread(_requested: c_int) -> c_int {
    initialise()
}

/// `ARMCI_Init_mpi_comm`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Init_mpi_comm(comm: c_int) -> c_int {
    let runtime = Runtime::attached();
    let checked = runtime.check_all_ranks(comm);
    if let Err(refusal) = checked {
        let rank = runtime.armci.rank();
        (runtime.system.say)(&format!("rank {rank}: ARMCI_Init_mpi_comm: {refusal}"));
    }
    code(checked.map(|()| runtime.initialised.set(true)))
}

/// `ARMCI_Initialized`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Initialized() -> c_int {
    Runtime::ready().is_ok().into()
}

/// `ARMCI_Finalize`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Finalize() -> c_int {
    let Ok(runtime) = Runtime::ready() else { return 0 };
    let finalize = || {
        runtime.handles.wait_all(runtime.armci)?;
        runtime.armci.finalize()?;
        runtime.initialised.set(false);
        Ok(())
    };
    code(finalize())
}

/// `ARMCI_Cleanup`: the proxy notices the end of a rank and gives back what it had.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Cleanup() {
    if let Some(runtime) = Runtime::get() {
        runtime.initialised.set(false);
    }
}

/// `ARMCI_Error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Error(msg: *const c_char, code: c_int) {
    // SAFETY: by the caller.
    let msg = unsafe { text(msg) };
    Runtime::attached().end(exit_status(code), format_args!("{} ({code})", msg.trim_end()))
}

/// `ARMCIX_Progress`: operations need no help; lets others have the processor.
#[unsafe(no_mangle)]
pub extern "C" fn ARMCIX_Progress() {
    #[cfg(feature = "hosted")]
    std::thread::yield_now();
    #[cfg(not(feature = "hosted"))]
    if let Some(port) = Runtime::get().and_then(|runtime| runtime.armci.platform()) {
        port.pause(0, Awaited::Rank);
    }
}

/// `ARMCI_Copy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Copy(src: *const c_void, dst: *mut c_void, n: c_int) {
    let copy = || {
        let len = length(n)?;
        if len != 0 && (src.is_null() || dst.is_null()) {
            return Err(Refusal::Local);
        }
        // SAFETY: by the caller; they may overlap.
        unsafe { core::ptr::copy(src.cast::<u8>(), dst.cast(), len) };
        Ok(())
    };
    or_die("ARMCI_Copy", copy());
}

weak_aliases! {
    ARMCI_Init => PARMCI_Init;
    ARMCI_Init_args => PARMCI_Init_args;
    ARMCI_Init_thread => PARMCI_Init_thread;
    ARMCI_Init_mpi_comm => PARMCI_Init_mpi_comm;
    ARMCI_Initialized => PARMCI_Initialized;
    ARMCI_Finalize => PARMCI_Finalize;
    ARMCI_Cleanup => PARMCI_Cleanup;
    ARMCI_Error => PARMCI_Error;
    ARMCI_Copy => PARMCI_Copy;
}

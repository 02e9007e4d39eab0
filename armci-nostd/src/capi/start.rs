//! Start, end, and questions about where ranks are.

use core::cell::Cell;
use core::ffi::{c_char, c_int, c_ulong, c_void};

#[cfg(feature = "hosted")]
use std::{prelude::v1::*, sync::OnceLock, time::Instant};

use super::{Host, Refusal, Runtime, code, or_die, text, weak_aliases};
#[cfg(feature = "hosted")]
use crate::api::armci::Armci;

/// Whether ARMCI is in use.
#[derive(Default)]
pub(super) struct Started(Cell<bool>);

impl Started {
    pub(super) fn is_initialised(&self) -> bool {
        self.0.get()
    }
}

/// Linux.
#[cfg(feature = "hosted")]
pub(super) static HOST: Host = Host {
    rank: attach,
    say: |line| std::eprintln!("{line}"),
    end: |status| std::process::exit(status.into()),
    seconds: || {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_secs_f64()
    },
};

#[cfg(all(not(feature = "hosted"), not(test)))]
unsafe extern "Rust" {
    /// The kernel.
    #[link_name = "xenolith_armci_host"]
    pub(super) safe static HOST: Host;
}

/// No system at all, for tests of other things.
#[cfg(all(not(feature = "hosted"), test))]
pub(super) static HOST: Host =
    Host { rank: || unreachable!(), say: |_| (), end: |_| unreachable!(), seconds: || 0.0 };

/// Attaches this process to its job.
#[cfg(feature = "hosted")]
fn attach() -> &'static Armci {
    match crate::hosted::attach() {
        Ok(armci) => {
            if armci.platform().is_some() {
                show_lines_at_once();
            }
            Box::leak(Box::new(armci))
        }
        Err(error) => {
            std::eprintln!("ARMCI: {error}");
            std::process::exit(1)
        }
    }
}

/// Output goes through a pipe to the user, for which C would collect it until the end; then the
/// last words of a rank that is ended with its job would be lost.
#[cfg(feature = "hosted")]
fn show_lines_at_once() {
    /// Linux's `_IOLBF`.
    const LINES: c_int = 1;
    unsafe extern "C" {
        #[allow(non_upper_case_globals, reason = "the C library's name")]
        static stdout: *mut c_void;
        fn setvbuf(stream: *mut c_void, buffer: *mut c_char, mode: c_int, size: usize) -> c_int;
    }
    // SAFETY: as the C library declares them; it locks the stream while it changes it.
    unsafe { setvbuf(stdout, core::ptr::null_mut(), LINES, 0) };
}

fn initialise() -> c_int {
    Runtime::attached().start.0.set(true);
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
pub extern "C" fn PARMCI_Init_mpi_comm(_comm: c_int) -> c_int {
    initialise()
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
        runtime.start.0.set(false);
        Ok(())
    };
    code(finalize())
}

/// `ARMCI_Cleanup`: the proxy notices the end of a rank and gives back what it had.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Cleanup() {
    if let Some(runtime) = Runtime::get() {
        runtime.start.0.set(false);
    }
}

/// `ARMCI_Error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Error(msg: *const c_char, code: c_int) {
    // SAFETY: by the caller.
    let msg = unsafe { text(msg) };
    Runtime::attached().end(status(code), format_args!("{} ({code})", msg.trim_end()))
}

/// An exit status that says that something failed.
pub(super) fn status(code: c_int) -> u8 {
    u8::try_from(code).ok().filter(|&status| status != 0).unwrap_or(1)
}

/// `armci_domain_nprocs`. Every rank is a domain: other ranks' memory is never to be touched
/// directly.
#[unsafe(no_mangle)]
pub extern "C" fn armci_domain_nprocs(_domain: c_int, id: c_int) -> c_int {
    (id < Runtime::attached().armci.size() as c_int).into()
}

/// `armci_domain_id`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_domain_id(_domain: c_int, glob_proc_id: c_int) -> c_int {
    Runtime::attached().rank(glob_proc_id).map_or(-1, |rank| rank as c_int)
}

/// `armci_domain_glob_proc_id`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_domain_glob_proc_id(domain: c_int, id: c_int, loc_proc_id: c_int) -> c_int {
    if loc_proc_id == 0 { armci_domain_id(domain, id) } else { -1 }
}

/// `armci_domain_my_id`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_domain_my_id(_domain: c_int) -> c_int {
    Runtime::attached().armci.rank() as c_int
}

/// `armci_domain_count`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_domain_count(_domain: c_int) -> c_int {
    Runtime::attached().armci.size() as c_int
}

/// `armci_domain_same_id`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_domain_same_id(_domain: c_int, proc: c_int) -> c_int {
    PARMCI_Same_node(proc)
}

/// `armci_sameclusnode`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_sameclusnode(proc: c_int) -> c_int {
    PARMCI_Same_node(proc)
}

/// `ARMCI_Same_node`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Same_node(proc: c_int) -> c_int {
    (proc == Runtime::attached().armci.rank() as c_int).into()
}

/// `ARMCI_Uses_shm`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Uses_shm() -> c_int {
    0
}

/// `ARMCI_Uses_shm_grp`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Uses_shm_grp(_group: *mut c_int) -> c_int {
    0
}

/// `ARMCI_Set_shm_limit`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Set_shm_limit(_limit: c_ulong) {}

/// `ARMCI_Set_shmem_limit`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Set_shmem_limit(_limit: c_ulong) {}

/// `ARMCIX_Progress`: operations need no help; lets others have the processor.
#[unsafe(no_mangle)]
pub extern "C" fn ARMCIX_Progress() {
    #[cfg(feature = "hosted")]
    std::thread::yield_now();
    #[cfg(not(feature = "hosted"))]
    if let Some(port) = Runtime::get().and_then(|runtime| runtime.armci.platform()) {
        port.pause(0, crate::path::platform::Awaited::Rank);
    }
}

/// `ARMCI_Copy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Copy(src: *const c_void, dst: *mut c_void, n: c_int) {
    let copy = || {
        let len = super::length(n)?;
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
    ARMCI_Same_node => PARMCI_Same_node;
    ARMCI_Uses_shm => PARMCI_Uses_shm;
    ARMCI_Uses_shm_grp => PARMCI_Uses_shm_grp;
    ARMCI_Set_shm_limit => PARMCI_Set_shm_limit;
    ARMCI_Set_shmem_limit => PARMCI_Set_shmem_limit;
    ARMCI_Copy => PARMCI_Copy;
}

//! Mutexes.

use core::ffi::{c_int, c_void};
use core::ptr::{null_mut, without_provenance_mut};

use crate::capi::alias::weak_aliases;
use crate::capi::groups::WORLD;
use crate::capi::mutex_sets::FIRST;
use crate::capi::refusal::Refusal;
use crate::capi::runtime::{Runtime, code, number, or_die};

impl Runtime {
    fn lock(&self, set: usize, mutex: c_int, proc: c_int) -> Result<(), Refusal> {
        let rank = self.rank(proc)?;
        self.mutexes.with(set, mutex, |mutexes, mutex| Ok(mutexes.lock(self.armci, mutex, rank)?))
    }

    fn try_lock(&self, set: usize, mutex: c_int, proc: c_int) -> Result<bool, Refusal> {
        let rank = self.rank(proc)?;
        self.mutexes
            .with(set, mutex, |mutexes, mutex| Ok(mutexes.try_lock(self.armci, mutex, rank)?))
    }

    fn unlock(&self, set: usize, mutex: c_int, proc: c_int) -> Result<(), Refusal> {
        let rank = self.rank(proc)?;
        self.mutexes.with(set, mutex, |mutexes, mutex| Ok(mutexes.unlock(self.armci, mutex, rank)?))
    }
}

/// `ARMCI_Create_mutexes`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Create_mutexes(num: c_int) -> c_int {
    let create = || {
        let runtime = Runtime::ready()?;
        runtime.mutexes.create_first(runtime.armci, num, runtime.groups.get(WORLD)?)
    };
    code(create())
}

/// `ARMCI_Destroy_mutexes`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Destroy_mutexes() -> c_int {
    code(Runtime::ready().and_then(|runtime| runtime.mutexes.destroy(runtime.armci, FIRST)))
}

/// `ARMCI_Lock`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Lock(mutex: c_int, proc: c_int) {
    or_die("ARMCI_Lock", Runtime::ready().and_then(|runtime| runtime.lock(FIRST, mutex, proc)));
}

/// `ARMCI_Unlock`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Unlock(mutex: c_int, proc: c_int) {
    or_die("ARMCI_Unlock", Runtime::ready().and_then(|runtime| runtime.unlock(FIRST, mutex, proc)));
}

fn try_lock_code(set: usize, mutex: c_int, proc: c_int) -> c_int {
    let taken = Runtime::ready().and_then(|runtime| runtime.try_lock(set, mutex, proc));
    number(taken.map(|taken| c_int::from(!taken)))
}

/// `ARMCIX_Trylock`.
#[unsafe(no_mangle)]
pub extern "C" fn ARMCIX_Trylock(mutex: c_int, proc: c_int) -> c_int {
    try_lock_code(FIRST, mutex, proc)
}

/// `ARMCIX_Create_mutexes_hdl`. What it returns is only a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ARMCIX_Create_mutexes_hdl(
    count: c_int,
    pgroup: *mut c_int,
) -> *mut c_void {
    let create = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        let group = unsafe { runtime.groups.at_or_world(pgroup)? };
        let set = runtime.mutexes.create_another(runtime.armci, count, group)?;
        Ok::<_, Refusal>(without_provenance_mut(set))
    };
    create().unwrap_or(null_mut())
}

/// `ARMCIX_Destroy_mutexes_hdl`.
#[unsafe(no_mangle)]
pub extern "C" fn ARMCIX_Destroy_mutexes_hdl(hdl: *mut c_void) -> c_int {
    let destroy = || {
        let runtime = Runtime::ready()?;
        let set = Some(hdl.addr()).filter(|&set| set != FIRST).ok_or(Refusal::Mutexes)?;
        runtime.mutexes.destroy(runtime.armci, set)
    };
    code(destroy())
}

/// `ARMCIX_Lock_hdl`.
#[unsafe(no_mangle)]
pub extern "C" fn ARMCIX_Lock_hdl(hdl: *mut c_void, mutex: c_int, proc: c_int) {
    or_die(
        "ARMCIX_Lock_hdl",
        Runtime::ready().and_then(|runtime| runtime.lock(hdl.addr(), mutex, proc)),
    );
}

/// `ARMCIX_Trylock_hdl`.
#[unsafe(no_mangle)]
pub extern "C" fn ARMCIX_Trylock_hdl(hdl: *mut c_void, mutex: c_int, proc: c_int) -> c_int {
    try_lock_code(hdl.addr(), mutex, proc)
}

/// `ARMCIX_Unlock_hdl`.
#[unsafe(no_mangle)]
pub extern "C" fn ARMCIX_Unlock_hdl(hdl: *mut c_void, mutex: c_int, proc: c_int) {
    or_die(
        "ARMCIX_Unlock_hdl",
        Runtime::ready().and_then(|runtime| runtime.unlock(hdl.addr(), mutex, proc)),
    );
}

weak_aliases! {
    ARMCI_Create_mutexes => PARMCI_Create_mutexes;
    ARMCI_Destroy_mutexes => PARMCI_Destroy_mutexes;
    ARMCI_Lock => PARMCI_Lock;
    ARMCI_Unlock => PARMCI_Unlock;
}

//! Mutexes.

use core::cell::{Cell, RefCell};
use core::ffi::{c_int, c_void};
use core::ptr::{null_mut, without_provenance_mut};
use std::collections::BTreeMap;
use std::prelude::v1::*;

use super::group::Held;
use super::{Refusal, Runtime, code, length, or_die, weak_aliases};
use crate::api::mutex::Mutexes;

/// The number of the set that `ARMCI_Create_mutexes` makes.
const FIRST: usize = 0;

/// Sets of mutexes, by number.
#[derive(Default)]
pub(super) struct Sets {
    sets: RefCell<BTreeMap<usize, (Held, Mutexes)>>,
    last: Cell<usize>,
}

impl Runtime {
    fn create_mutexes(&self, set: usize, count: c_int, group: Held) -> Result<(), Refusal> {
        let mutexes = Mutexes::create_in(self.armci, &group, length(count)?)?;
        self.mutexes.sets.borrow_mut().insert(set, (group, mutexes));
        Ok(())
    }

    fn destroy_mutexes(&self, set: usize) -> Result<(), Refusal> {
        let (group, mutexes) =
            self.mutexes.sets.borrow_mut().remove(&set).ok_or(Refusal::Mutexes)?;
        Ok(mutexes.destroy_in(self.armci, &group)?)
    }

    fn with_mutex<T>(
        &self,
        set: usize,
        mutex: c_int,
        proc: c_int,
        work: impl FnOnce(&Mutexes, usize, usize) -> Result<T, crate::Error>,
    ) -> Result<T, Refusal> {
        let rank = self.rank(proc)?;
        let sets = self.mutexes.sets.borrow();
        let (_, mutexes) = sets.get(&set).ok_or(Refusal::Mutexes)?;
        let mutex = usize::try_from(mutex).map_err(|_| Refusal::Mutexes)?;
        Ok(work(mutexes, mutex, rank)?)
    }

    fn lock(&self, set: usize, mutex: c_int, proc: c_int) -> Result<(), Refusal> {
        self.with_mutex(set, mutex, proc, |mutexes, mutex, rank| {
            mutexes.lock(self.armci, mutex, rank)
        })
    }

    fn try_lock(&self, set: usize, mutex: c_int, proc: c_int) -> Result<bool, Refusal> {
        self.with_mutex(set, mutex, proc, |mutexes, mutex, rank| {
            mutexes.try_lock(self.armci, mutex, rank)
        })
    }

    fn unlock(&self, set: usize, mutex: c_int, proc: c_int) -> Result<(), Refusal> {
        self.with_mutex(set, mutex, proc, |mutexes, mutex, rank| {
            mutexes.unlock(self.armci, mutex, rank)
        })
    }
}

/// `ARMCI_Create_mutexes`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Create_mutexes(num: c_int) -> c_int {
    let create = || {
        let runtime = Runtime::ready()?;
        if runtime.mutexes.sets.borrow().contains_key(&FIRST) {
            return Err(Refusal::Mutexes);
        }
        runtime.create_mutexes(FIRST, num, Held::World(runtime.armci.world()))
    };
    code(create())
}

/// `ARMCI_Destroy_mutexes`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Destroy_mutexes() -> c_int {
    code(Runtime::ready().and_then(|runtime| runtime.destroy_mutexes(FIRST)))
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
    taken.map_or_else(Refusal::code, |taken| c_int::from(!taken))
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
        let group = unsafe { runtime.group_or_world(pgroup)? };
        let set = runtime.mutexes.last.get() + 1;
        runtime.mutexes.last.set(set);
        runtime.create_mutexes(set, count, group)?;
        Ok::<_, Refusal>(without_provenance_mut(set))
    };
    create().unwrap_or(null_mut())
}

/// `ARMCIX_Destroy_mutexes_hdl`.
#[unsafe(no_mangle)]
pub extern "C" fn ARMCIX_Destroy_mutexes_hdl(hdl: *mut c_void) -> c_int {
    let destroy = || {
        let runtime = Runtime::ready()?;
        runtime
            .destroy_mutexes(Some(hdl.addr()).filter(|&set| set != FIRST).ok_or(Refusal::Mutexes)?)
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

//! The sets of mutexes that C has made.

use core::cell::{Cell, RefCell};
use core::ffi::c_int;
use std::collections::BTreeMap;
use std::prelude::v1::*;
use std::rc::Rc;

use crate::api::armci::Armci;
use crate::api::mutex::Mutexes;
use crate::capi::convert::length;
use crate::capi::groups::GroupInUse;
use crate::capi::refusal::Refusal;

/// The number of the set that `ARMCI_Create_mutexes` makes.
pub(super) const FIRST: usize = 0;

/// Sets of mutexes, by number.
#[derive(Default)]
pub(super) struct MutexSets {
    sets: RefCell<BTreeMap<usize, Rc<(GroupInUse, Mutexes)>>>,
    last: Cell<usize>,
}

impl MutexSets {
    /// Makes the first set.
    pub fn create_first(
        &self,
        armci: &Armci,
        count: c_int,
        group: GroupInUse,
    ) -> Result<(), Refusal> {
        if self.sets.borrow().contains_key(&FIRST) {
            return Err(Refusal::Mutexes);
        }
        self.create(armci, FIRST, count, group)
    }

    /// Makes another one, and says its number.
    pub fn create_another(
        &self,
        armci: &Armci,
        count: c_int,
        group: GroupInUse,
    ) -> Result<usize, Refusal> {
        let set = self.last.get() + 1;
        self.last.set(set);
        self.create(armci, set, count, group)?;
        Ok(set)
    }

    fn create(
        &self,
        armci: &Armci,
        set: usize,
        count: c_int,
        group: GroupInUse,
    ) -> Result<(), Refusal> {
        let mutexes = Mutexes::create_in(armci, &group, length(count)?)?;
        self.sets.borrow_mut().insert(set, Rc::new((group, mutexes)));
        Ok(())
    }

    pub fn destroy(&self, armci: &Armci, set: usize) -> Result<(), Refusal> {
        let mut sets = self.sets.borrow_mut();
        // Another thread may be waiting for one of them.
        let unused = sets.remove(&set).map(Rc::try_unwrap).ok_or(Refusal::Mutexes)?;
        let (group, mutexes) = match unused {
            Ok(unused) => unused,
            Err(used) => {
                sets.insert(set, used);
                return Err(Refusal::Mutexes);
            }
        };
        drop(sets);
        Ok(mutexes.destroy_in(armci, &group)?)
    }

    /// Does something with a set in which there may be a mutex of this number.
    pub fn with<T>(
        &self,
        set: usize,
        mutex: c_int,
        work: impl FnOnce(&Mutexes, usize) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        // Not borrowed while `work` waits: other threads make and use sets meanwhile.
        let found = self.sets.borrow().get(&set).cloned().ok_or(Refusal::Mutexes)?;
        work(&found.1, usize::try_from(mutex).map_err(|_| Refusal::Mutexes)?)
    }
}

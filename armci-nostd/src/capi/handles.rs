//! Handles of operations that are under way.

use core::cell::RefCell;
use core::ffi::{c_int, c_uint};
use std::prelude::v1::*;

use crate::api::armci::Armci;
use crate::error::Error;
use crate::path::by_proxy::Pending;

/// `armci_hdl_t`.
#[derive(Debug)]
#[repr(C)]
pub struct CHandle {
    /// The number of its batch and one, or zero.
    batch: c_uint,
    /// The batch's generation.
    generation: c_uint,
    pub(super) aggregate: c_int,
    unused: c_int,
    dummy: [f64; 72],
}

const _: () = assert!(size_of::<CHandle>() == 592 && core::mem::offset_of!(CHandle, dummy) == 16);

/// When an operation must be complete locally.
#[derive(Clone, Copy)]
pub(super) enum When {
    /// On return.
    Now,
    /// When its handle is waited for; null is the implicit one.
    Later(*mut CHandle),
}

/// Operations under way.
#[derive(Default)]
pub(super) struct Handles {
    /// Of explicit handles.
    batches: RefCell<Vec<Batch>>,
    /// Of the implicit handle, by rank.
    implicit: RefCell<Vec<(usize, Pending)>>,
}

/// The operations of one handle.
#[derive(Default)]
struct Batch {
    generation: c_uint,
    under_way: Vec<Pending>,
}

impl Handles {
    /// Waits for an operation, or keeps it until somebody does.
    ///
    /// # Safety
    /// A handle must be null or valid.
    pub(super) unsafe fn keep(
        &self,
        armci: &Armci,
        rank: usize,
        pending: Pending,
        when: When,
    ) -> Result<(), Error> {
        if pending.is_complete() {
            return Ok(());
        }
        let handle = match when {
            When::Now => return armci.wait(pending),
            When::Later(handle) => handle,
        };
        // SAFETY: by the caller.
        let Some(handle) = (unsafe { handle.as_mut() }) else {
            self.implicit.borrow_mut().push((rank, pending));
            return Ok(());
        };
        let mut batches = self.batches.borrow_mut();
        let at = match handle.find(&batches) {
            Some(at) => at,
            None => {
                let free = batches.iter().position(|batch| batch.under_way.is_empty());
                let at = free.unwrap_or_else(|| {
                    batches.push(Batch::default());
                    batches.len() - 1
                });
                handle.batch = at as c_uint + 1;
                handle.generation = batches[at].generation;
                at
            }
        };
        batches[at].under_way.push(pending);
        Ok(())
    }

    pub(super) fn wait(&self, armci: &Armci, handle: &mut CHandle) -> Result<(), Error> {
        let mut batches = self.batches.borrow_mut();
        let under_way = handle.find(&batches).map(|at| batches[at].end());
        drop(batches);
        handle.batch = 0;
        under_way.into_iter().flatten().try_for_each(|pending| armci.wait(pending))
    }

    pub(super) fn test(&self, armci: &Armci, handle: &CHandle) -> Result<bool, Error> {
        let batches = self.batches.borrow();
        let Some(at) = handle.find(&batches) else { return Ok(true) };
        for pending in &batches[at].under_way {
            if !armci.test(pending)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn wait_rank(&self, armci: &Armci, rank: usize) -> Result<(), Error> {
        let (of_rank, others) = self.implicit.take().into_iter().partition(|(of, _)| *of == rank);
        self.implicit.replace(others);
        of_rank.into_iter().try_for_each(|(_, pending)| armci.wait(pending))
    }

    pub(super) fn wait_all(&self, armci: &Armci) -> Result<(), Error> {
        for (_, pending) in self.implicit.take() {
            armci.wait(pending)?;
        }
        let mut under_way = Vec::new();
        self.batches.borrow_mut().iter_mut().for_each(|batch| under_way.append(&mut batch.end()));
        under_way.into_iter().try_for_each(|pending| armci.wait(pending))
    }
}

impl Batch {
    /// Gives its operations up for being waited for; handles of it have nothing under way any more.
    fn end(&mut self) -> Vec<Pending> {
        self.generation = self.generation.wrapping_add(1);
        core::mem::take(&mut self.under_way)
    }
}

impl CHandle {
    /// The batch of its operations, if any are under way. A handle that was never initialised finds
    /// none, or is taken for another.
    fn find(&self, batches: &[Batch]) -> Option<usize> {
        let at = (self.batch as usize).checked_sub(1)?;
        batches
            .get(at)
            .filter(|batch| batch.generation == self.generation && !batch.under_way.is_empty())
            .map(|_| at)
    }
}

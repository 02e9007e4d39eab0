//! Non-blocking operations.

use core::cell::RefCell;
use core::marker::PhantomData;
use std::prelude::v1::*;

use crate::api::armci::Armci;
use crate::api::global::GlobalPtr;
use crate::api::one_sided::accumulate_with;
use crate::api::strided::Strides;
use crate::element::{Accumulate, Element};
use crate::error::Error;
use crate::path::by_proxy::Pending;
use crate::path::rows::{Operation, Row};

/// Starts operations without waiting for them; see [`Armci::nonblocking`].
pub struct Nonblocking<'scope, 'env: 'scope> {
    armci: &'scope Armci,
    /// By handle; empty when it has been waited for.
    under_way: RefCell<Vec<Pending>>,
    /// Invariant in both, as `std::thread::Scope` is, so that a buffer cannot be borrowed for less.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// An operation that was started: ARMCI's `armci_hdl_t`.
#[derive(Clone, Copy, Debug)]
#[must_use = "an operation that nobody waits for is complete at the end of the scope"]
pub struct Handle(Option<usize>);

/// Waits also when the work unwinds: the buffers must not be given back before.
struct WaitAtEnd<'a, 'b>(&'a Nonblocking<'a, 'b>);

impl Drop for WaitAtEnd<'_, '_> {
    fn drop(&mut self) {
        // After an error the proxy takes nothing more for this job, so the buffers are left alone.
        let _ = self.0.wait_all();
    }
}

impl Armci {
    /// Non-blocking operations: `work` starts them on the [`Nonblocking`] that it is given, and all
    /// of them are complete locally when this returns.
    ///
    /// Buffers are borrowed for the whole scope, so that the compiler knows that nobody reads or
    /// frees them while the proxy is at work.
    ///
    /// ```
    /// # let armci = armci_nostd::Armci::alone();
    /// let table = armci.malloc::<u64>(4)?;
    /// let (ones, mut back) = ([1; 2], [7; 2]);
    /// armci.nonblocking(|nb| {
    ///     nb.put(&ones, table.at(0, 0))?;
    ///     let read = nb.get(&mut back, table.at(0, 2))?;
    ///     // ... compute meanwhile ...
    ///     nb.wait(read)
    /// })?;
    /// assert_eq!(back, [0, 0]);
    /// # armci.free(table)?;
    /// # Ok::<(), armci_nostd::Error>(())
    /// ```
    pub fn nonblocking<'env, R>(
        &self,
        work: impl for<'scope> FnOnce(&'scope Nonblocking<'scope, 'env>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let nonblocking = Nonblocking {
            armci: self,
            under_way: RefCell::new(Vec::new()),
            scope: PhantomData,
            env: PhantomData,
        };
        let guard = WaitAtEnd(&nonblocking);
        let result = work(guard.0);
        let waited = guard.0.wait_all();
        drop(guard);
        let value = result?;
        waited?;
        Ok(value)
    }
}

impl<'scope, 'env> Nonblocking<'scope, 'env> {
    /// `ARMCI_NbPut`.
    pub fn put<T: Element>(
        &'scope self,
        source: &'env [T],
        target: GlobalPtr<'_, T>,
    ) -> Result<Handle, Error> {
        // SAFETY: the slice is borrowed until the end of the scope, when the operation is complete.
        self.note(unsafe { self.armci.start_row_of(Operation::Put, source, target)? })
    }

    /// `ARMCI_NbGet`.
    pub fn get<T: Element>(
        &'scope self,
        destination: &'env mut [T],
        source: GlobalPtr<'_, T>,
    ) -> Result<Handle, Error> {
        source.check(destination.len())?;
        let len = size_of_val(destination);
        let row = Row { local: destination.as_mut_ptr().cast(), remote: source.address, len };
        // SAFETY: as for `put`; any bits are a `T`.
        self.note(unsafe { self.armci.transfer_row(Operation::Get, source.rank(), row)? })
    }

    /// `ARMCI_NbAcc`.
    pub fn accumulate<T: Accumulate>(
        &'scope self,
        scale: T,
        source: &'env [T],
        target: GlobalPtr<'_, T>,
    ) -> Result<Handle, Error> {
        // SAFETY: as for `put`.
        self.note(unsafe { self.armci.start_row_of(accumulate_with(scale), source, target)? })
    }

    /// `ARMCI_NbPutS`.
    pub fn put_strided<T: Element>(
        &'scope self,
        source: &'env [T],
        target: GlobalPtr<'_, T>,
        shape: &Strides<'_>,
    ) -> Result<Handle, Error> {
        // SAFETY: as for `put`.
        self.note(unsafe { self.armci.start_strided(Operation::Put, source, target, shape)? })
    }

    /// `ARMCI_NbGetS`.
    pub fn get_strided<T: Element>(
        &'scope self,
        destination: &'env mut [T],
        source: GlobalPtr<'_, T>,
        shape: &Strides<'_>,
    ) -> Result<Handle, Error> {
        let rows = shape.rows_of(destination.len(), destination.as_mut_ptr().cast(), source)?;
        // SAFETY: as for `put`; all rows are in the slice.
        self.note(unsafe { self.armci.transfer(Operation::Get, source.rank(), rows)? })
    }

    /// `ARMCI_NbAccS`.
    pub fn accumulate_strided<T: Accumulate>(
        &'scope self,
        scale: T,
        source: &'env [T],
        target: GlobalPtr<'_, T>,
        shape: &Strides<'_>,
    ) -> Result<Handle, Error> {
        // SAFETY: as for `put`.
        self.note(unsafe {
            self.armci.start_strided(accumulate_with(scale), source, target, shape)?
        })
    }

    /// `ARMCI_Wait`: waits until the operation is complete locally.
    pub fn wait(&self, handle: Handle) -> Result<(), Error> {
        let pending =
            handle.0.and_then(|at| self.under_way.borrow_mut().get_mut(at).map(core::mem::take));
        pending.map_or(Ok(()), |pending| self.armci.wait(pending))
    }

    /// `ARMCI_Test`: whether the operation is complete locally.
    pub fn test(&self, handle: &Handle) -> Result<bool, Error> {
        let under_way = self.under_way.borrow();
        handle
            .0
            .and_then(|at| under_way.get(at))
            .map_or(Ok(true), |pending| self.armci.test(pending))
    }

    /// `ARMCI_WaitAll`: waits until all operations of this scope are complete locally.
    pub fn wait_all(&self) -> Result<(), Error> {
        let started = self.under_way.borrow().len();
        for at in 0..started {
            self.wait(Handle(Some(at)))?;
        }
        Ok(())
    }

    /// Keeps an operation for the end of the scope.
    fn note(&self, pending: Pending) -> Result<Handle, Error> {
        if pending.is_complete() {
            return Ok(Handle(None));
        }
        let mut under_way = self.under_way.borrow_mut();
        under_way.push(pending);
        Ok(Handle(Some(under_way.len() - 1)))
    }
}

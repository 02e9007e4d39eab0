//! Non-blocking operations.

use core::cell::RefCell;
use core::marker::PhantomData;
use std::prelude::v1::*;

use zerocopy::IntoBytes;

use crate::armci::{Armci, Error, Piece, Started, Way};
use crate::element::{Accumulate, Element};
use crate::global::GlobalPtr;
use crate::wire::request::INLINE_BYTES;
use crate::wire::{Opcode, Request};

/// Starts operations without waiting for them; see [`Armci::nonblocking`].
pub struct Nonblocking<'scope, 'env: 'scope> {
    armci: &'scope Armci,
    under_way: RefCell<Vec<Started>>,
    /// Invariant in both, as `std::thread::Scope` is, so that a buffer can not be borrowed for less.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// An operation that was started: ARMCI's `armci_hdl_t`.
#[derive(Clone, Copy, Debug)]
#[must_use = "an operation that nobody waits for is complete at the end of the scope"]
pub struct Handle(Started);

impl<'scope, 'env> Nonblocking<'scope, 'env> {
    pub(crate) fn scope<R>(
        armci: &Armci,
        work: impl for<'s> FnOnce(&'s Nonblocking<'s, 'env>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        /// Waits also when `work` unwinds: the buffers must not be given back before.
        struct WaitAtEnd<'a, 'b>(&'a Nonblocking<'a, 'b>);
        impl Drop for WaitAtEnd<'_, '_> {
            fn drop(&mut self) {
                // After an error the proxy takes nothing more for this job, so the buffers are left alone.
                let _ = self.0.wait_all();
            }
        }
        let nonblocking =
            Nonblocking { armci, under_way: RefCell::new(Vec::new()), scope: PhantomData, env: PhantomData };
        let guard = WaitAtEnd(&nonblocking);
        let result = work(guard.0);
        let waited = guard.0.wait_all();
        drop(guard);
        let value = result?;
        waited?;
        Ok(value)
    }

    /// `ARMCI_NbPut`.
    pub fn put<T: Element>(&'scope self, source: &'env [T], target: GlobalPtr<'_, T>) -> Result<Handle, Error> {
        target.check(source.len())?;
        let piece = piece(source.as_bytes());
        if piece.len > INLINE_BYTES && !self.armci.in_window(piece.start, piece.len) {
            return self.blocking(self.armci.put(source, target));
        }
        self.note(self.armci.start_put(piece, target.rank, target.address)?)
    }

    /// `ARMCI_NbGet`.
    pub fn get<T: Element>(
        &'scope self,
        destination: &'env mut [T],
        source: GlobalPtr<'_, T>,
    ) -> Result<Handle, Error> {
        source.check(destination.len())?;
        let piece = Piece { start: destination.as_mut_bytes().as_mut_ptr(), len: size_of_val(destination) };
        if !self.armci.in_window(piece.start, piece.len) {
            return self.blocking(self.armci.get(destination, source));
        }
        let request = Request {
            opcode: Opcode::Get as u8,
            rank: source.rank,
            remote: source.address,
            local: piece.address(),
            len: piece.len as u64,
            ..Request::default()
        };
        self.note(self.armci.start(request)?)
    }

    /// `ARMCI_NbAcc`.
    pub fn accumulate<T: Accumulate>(
        &'scope self,
        scale: T,
        source: &'env [T],
        target: GlobalPtr<'_, T>,
    ) -> Result<Handle, Error> {
        target.check(source.len())?;
        let piece = piece(source.as_bytes());
        if !self.armci.in_window(piece.start, piece.len) {
            return self.blocking(self.armci.accumulate(scale, source, target));
        }
        self.note(self.armci.start_accumulate(scale, piece, target.rank, target.address)?)
    }

    /// `ARMCI_Wait`: waits until the operation is complete locally.
    pub fn wait(&self, handle: Handle) -> Result<(), Error> {
        self.armci.finish(handle.0).map(drop)
    }

    /// `ARMCI_Test`: whether the operation is complete locally.
    pub fn test(&self, handle: &Handle) -> Result<bool, Error> {
        match (handle.0, &self.armci.way) {
            (Started::UnderWay(ticket), Way::Proxy(link)) => link.test(ticket),
            _ => Ok(true),
        }
    }

    /// `ARMCI_WaitAll`: waits until all operations of this scope are complete locally.
    pub fn wait_all(&self) -> Result<(), Error> {
        for started in self.under_way.take() {
            self.armci.finish(started)?;
        }
        Ok(())
    }

    /// Keeps an operation for the end of the scope.
    fn note(&self, started: Started) -> Result<Handle, Error> {
        if let Started::UnderWay(_) = started {
            self.under_way.borrow_mut().push(started);
        }
        Ok(Handle(started))
    }

    /// An operation on memory that the proxy can not reach has been done at once, which is legal.
    fn blocking(&self, result: Result<(), Error>) -> Result<Handle, Error> {
        result.map(|()| Handle(Started::Done(0)))
    }
}

/// Memory that an operation only reads.
fn piece(bytes: &[u8]) -> Piece {
    Piece { start: bytes.as_ptr().cast_mut(), len: bytes.len() }
}

//! Put, get, accumulate and read-modify-write on typed memory. All shapes become rows, for
//! [`dispatch`](crate::path::dispatch).

use std::prelude::v1::*;

use crate::api::armci::Armci;
use crate::api::global::GlobalPtr;
use crate::api::strided::Strides;
use crate::element::{Accumulate, Element, RmwWord};
use crate::error::Error;
use crate::path::by_proxy::Pending;
use crate::path::rows::{Operation, Row};
use crate::wire::request::RmwKind;

/// A piece of a vector operation: local elements, and where they go or come from.
pub type Piece<'a, 'g, T> = (&'a [T], GlobalPtr<'g, T>);
/// The same for a get.
pub type PieceMut<'a, 'g, T> = (&'a mut [T], GlobalPtr<'g, T>);

pub(crate) fn accumulate_with<T: Accumulate>(scale: T) -> Operation {
    Operation::Accumulate { kind: T::KIND, scale: scale.to_operand() }
}

fn row<T>(local: &[T], remote: GlobalPtr<'_, T>) -> Row {
    Row { local: local.as_ptr().cast_mut().cast(), remote: remote.address, len: size_of_val(local) }
}

impl Armci {
    /// `ARMCI_Put`: copies `source` to `target`. On return `source` may be changed;
    /// [`fence`](crate::Paths::fence) tells when the data are there.
    #[inline]
    pub fn put<T: Element>(&self, source: &[T], target: GlobalPtr<'_, T>) -> Result<(), Error> {
        target.check(source.len())?;
        // SAFETY: the slice is borrowed until the operation is complete, and a put only reads it.
        unsafe { self.move_row(Operation::Put, target.rank(), row(source, target)) }
    }

    /// `ARMCI_Get`: copies from `source` into `destination`.
    #[inline]
    pub fn get<T: Element>(
        &self,
        destination: &mut [T],
        source: GlobalPtr<'_, T>,
    ) -> Result<(), Error> {
        source.check(destination.len())?;
        let row = Row { local: destination.as_mut_ptr().cast(), ..row(destination, source) };
        // SAFETY: the slice is borrowed until the operation is complete; any bits are a `T`.
        unsafe { self.move_row(Operation::Get, source.rank(), row) }
    }

    /// `ARMCI_Acc`: `target[i] += scale * source[i]`, atomically for each element.
    #[inline]
    pub fn accumulate<T: Accumulate>(
        &self,
        scale: T,
        source: &[T],
        target: GlobalPtr<'_, T>,
    ) -> Result<(), Error> {
        target.check(source.len())?;
        // SAFETY: the slice is borrowed until the operation is complete, and an accumulate only
        // reads it.
        unsafe { self.move_row(accumulate_with(scale), target.rank(), row(source, target)) }
    }

    /// Starts a put or an accumulate.
    ///
    /// # Safety
    /// `source` must stay as it is until the operation is complete.
    #[inline]
    pub(crate) unsafe fn start_row_of<T: Element>(
        &self,
        operation: Operation,
        source: &[T],
        target: GlobalPtr<'_, T>,
    ) -> Result<Pending, Error> {
        target.check(source.len())?;
        // SAFETY: by the caller; neither a put nor an accumulate writes to it.
        unsafe { self.transfer_row(operation, target.rank(), row(source, target)) }
    }

    /// `ARMCI_PutS`: a put of a strided section, see [`Strides`].
    ///
    /// # Errors
    /// [`Error::Shape`] if the section does not fit into `source`, [`Error::OutOfBounds`] if not
    /// into the target's part.
    pub fn put_strided<T: Element>(
        &self,
        source: &[T],
        target: GlobalPtr<'_, T>,
        shape: &Strides<'_>,
    ) -> Result<(), Error> {
        // SAFETY: the slice is borrowed until the operation is complete.
        self.wait(unsafe { self.start_strided(Operation::Put, source, target, shape)? })
    }

    /// `ARMCI_GetS`: a get of a strided section.
    ///
    /// # Errors
    /// As for [`put_strided`](Self::put_strided).
    pub fn get_strided<T: Element>(
        &self,
        destination: &mut [T],
        source: GlobalPtr<'_, T>,
        shape: &Strides<'_>,
    ) -> Result<(), Error> {
        let local = destination.as_mut_ptr().cast();
        let rows = shape.rows_of(destination.len(), local, source)?;
        // SAFETY: the slice is borrowed until the operation is complete, and `rows_of` has checked
        // that all rows are in it.
        self.wait(unsafe { self.transfer(Operation::Get, source.rank(), rows)? })
    }

    /// `ARMCI_AccS`: an accumulate of a strided section, atomic for each element.
    ///
    /// # Errors
    /// As for [`put_strided`](Self::put_strided).
    pub fn accumulate_strided<T: Accumulate>(
        &self,
        scale: T,
        source: &[T],
        target: GlobalPtr<'_, T>,
        shape: &Strides<'_>,
    ) -> Result<(), Error> {
        // SAFETY: the slice is borrowed until the operation is complete.
        self.wait(unsafe { self.start_strided(accumulate_with(scale), source, target, shape)? })
    }

    /// # Safety
    /// `source` must stay as it is until the operation is complete.
    pub(crate) unsafe fn start_strided<T: Element>(
        &self,
        operation: Operation,
        source: &[T],
        target: GlobalPtr<'_, T>,
        shape: &Strides<'_>,
    ) -> Result<Pending, Error> {
        let rows = shape.rows_of(source.len(), source.as_ptr().cast_mut().cast(), target)?;
        // SAFETY: by the caller; `rows_of` has checked that all rows are in the slice, which is
        // only read.
        unsafe { self.transfer(operation, target.rank(), rows) }
    }

    /// `ARMCI_PutV`: a put of pieces that lie anywhere in the memory of one rank.
    ///
    /// # Errors
    /// [`Error::Shape`] if the pieces are not all on one rank, [`Error::OutOfBounds`].
    pub fn put_vector<T: Element>(&self, pieces: &[Piece<'_, '_, T>]) -> Result<(), Error> {
        self.out_vector(Operation::Put, pieces)
    }

    /// `ARMCI_AccV`: an accumulate of pieces, atomic for each element.
    ///
    /// # Errors
    /// As for [`put_vector`](Self::put_vector).
    pub fn accumulate_vector<T: Accumulate>(
        &self,
        scale: T,
        pieces: &[Piece<'_, '_, T>],
    ) -> Result<(), Error> {
        self.out_vector(accumulate_with(scale), pieces)
    }

    fn out_vector<T: Element>(
        &self,
        operation: Operation,
        pieces: &[Piece<'_, '_, T>],
    ) -> Result<(), Error> {
        let places = pieces.iter().map(|(local, remote)| (local.len(), *remote));
        let Some(rank) = one_rank(places)? else { return Ok(()) };
        let rows = pieces.iter().map(|(local, remote)| row(local, *remote));
        // SAFETY: the slices are borrowed until the operation is complete.
        self.wait(unsafe { self.transfer(operation, rank, rows)? })
    }

    /// `ARMCI_GetV`: a get of pieces that lie anywhere in the memory of one rank.
    ///
    /// # Errors
    /// As for [`put_vector`](Self::put_vector).
    pub fn get_vector<T: Element>(&self, pieces: &mut [PieceMut<'_, '_, T>]) -> Result<(), Error> {
        let places = pieces.iter().map(|(local, remote)| (local.len(), *remote));
        let Some(rank) = one_rank(places)? else { return Ok(()) };
        let rows = pieces
            .iter_mut()
            .map(|(local, remote)| Row { local: local.as_mut_ptr().cast(), ..row(local, *remote) });
        // SAFETY: the slices are borrowed until the operation is complete; any bits are a `T`.
        self.wait(unsafe { self.transfer(Operation::Get, rank, rows)? })
    }

    /// `ARMCI_PutValue*`: puts one element.
    #[inline]
    pub fn put_value<T: Element>(&self, value: T, target: GlobalPtr<'_, T>) -> Result<(), Error> {
        self.put(&[value], target)
    }

    /// `ARMCI_GetValue*`: gets one element.
    #[inline]
    pub fn get_value<T: Element>(&self, source: GlobalPtr<'_, T>) -> Result<T, Error> {
        let mut value = [T::new_zeroed()];
        self.get(&mut value, source)?;
        Ok(value[0])
    }

    /// `ARMCI_Rmw` with `ARMCI_FETCH_AND_ADD` or its `_LONG` form: adds `value` and returns what
    /// was there.
    #[inline]
    pub fn fetch_add<T: RmwWord>(&self, target: GlobalPtr<'_, T>, value: T) -> Result<T, Error> {
        self.change(T::FETCH_ADD, target, [value.to_wire(), 0])
    }

    /// `ARMCI_Rmw` with `ARMCI_SWAP` or its `_LONG` form: writes `value` and returns what was
    /// there.
    #[inline]
    pub fn swap<T: RmwWord>(&self, target: GlobalPtr<'_, T>, value: T) -> Result<T, Error> {
        self.change(T::SWAP, target, [value.to_wire(), 0])
    }

    #[inline]
    fn change<T: RmwWord>(
        &self,
        kind: RmwKind,
        target: GlobalPtr<'_, T>,
        operand: [u64; 2],
    ) -> Result<T, Error> {
        target.check(1)?;
        // SAFETY: the place was allocated by ranks for each other.
        unsafe { self.read_modify_write(kind, target.rank(), target.address, operand) }
            .map(T::from_wire)
    }

    /// Writes `new` if `expected` is there; returns what was there.
    pub fn compare_swap(
        &self,
        target: GlobalPtr<'_, u64>,
        expected: u64,
        new: u64,
    ) -> Result<u64, Error> {
        self.change(RmwKind::CompareSwap64, target, [expected, new])
    }
}

/// The one rank of all pieces, none if there are none; each must fit.
fn one_rank<'g, T: Element>(
    pieces: impl Iterator<Item = (usize, GlobalPtr<'g, T>)>,
) -> Result<Option<usize>, Error> {
    let mut rank = None;
    for (len, place) in pieces {
        place.check(len)?;
        if *rank.get_or_insert(place.rank()) != place.rank() {
            return Err(Error::Shape("the pieces of a vector operation must be on one rank"));
        }
    }
    Ok(rank)
}

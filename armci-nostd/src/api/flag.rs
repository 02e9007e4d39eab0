//! Flags and notifications: a rank tells another that data are there.

use core::sync::atomic::{AtomicU32, Ordering};
use std::prelude::v1::*;

use crate::api::armci::Armci;
use crate::api::global::{Global, GlobalPtr};
use crate::api::notification::Notifications;
use crate::api::strided::Strides;
use crate::element::Element;
use crate::error::Error;
use crate::path::rows::{Operation, Row, TargetSpace};

impl Armci {
    /// `ARMCI_Put_flag`: puts `source` to `target`, then writes `value` to `flag` on the same rank,
    /// where [`wait_flag`](Self::wait_flag) waits for it. Who sees the flag sees the data.
    ///
    /// # Errors
    /// [`Error::Shape`] if `target` and `flag` are on different ranks, between which there is no
    /// order.
    pub fn put_flag<T: Element>(
        &self,
        source: &[T],
        target: GlobalPtr<'_, T>,
        flag: GlobalPtr<'_, u64>,
        value: u64,
    ) -> Result<(), Error> {
        self.check_flag(target, flag)?;
        // SAFETY: the slice is borrowed until the operation is complete.
        let pending = unsafe { self.start_row_of(Operation::Put, source, target)? };
        self.tell(TargetSpace::Public, flag.rank, flag.address, value)?;
        self.wait(pending)
    }

    /// `ARMCI_PutS_flag`: the same for a strided section.
    pub fn put_strided_flag<T: Element>(
        &self,
        source: &[T],
        target: GlobalPtr<'_, T>,
        shape: &Strides<'_>,
        flag: GlobalPtr<'_, u64>,
        value: u64,
    ) -> Result<(), Error> {
        self.check_flag(target, flag)?;
        // SAFETY: the slice is borrowed until the operation is complete.
        let pending = unsafe { self.start_strided(Operation::Put, source, target, shape)? };
        self.tell(TargetSpace::Public, flag.rank, flag.address, value)?;
        self.wait(pending)
    }

    fn check_flag<T: Element>(
        &self,
        target: GlobalPtr<'_, T>,
        flag: GlobalPtr<'_, u64>,
    ) -> Result<(), Error> {
        if target.rank != flag.rank {
            return Err(Error::Shape("data and flag of a put with a flag must be on one rank"));
        }
        flag.check(1)
    }

    /// Writes a flag of 32 bits (C's `int`) after all earlier puts to that rank, and wakes it if it
    /// waits.
    ///
    /// # Safety
    /// `remote` must be in memory that ranks allocated for each other.
    pub unsafe fn put_flag_32(&self, rank: usize, remote: u64, value: u32) -> Result<(), Error> {
        if !remote.is_multiple_of(4) {
            return Err(Error::Shape("a flag must be aligned"));
        }
        let row = Row { local: (&raw const value).cast_mut().cast(), remote, len: 4 };
        // SAFETY: the value lives until the put is complete; the remote place is good by the
        // caller.
        unsafe { self.move_row(Operation::Put, rank, row)? };
        self.wake(self.check_rank(rank)?)
    }

    /// Waits until the aligned word of 32 bits at `flag`, in this rank's own memory, is accepted by
    /// `ready`.
    ///
    /// # Safety
    /// `flag` must be valid and aligned as long as this waits.
    pub unsafe fn wait_flag_32(
        &self,
        flag: *mut u32,
        ready: impl Fn(u32) -> bool,
    ) -> Result<(), Error> {
        // SAFETY: by the caller; other ranks write it whole.
        let flag = unsafe { AtomicU32::from_ptr(flag) };
        self.wait_for_rank(|| ready(flag.load(Ordering::Acquire)))
    }

    /// Waits until `ready` accepts element `index` of this rank's own part of `flags`, and returns
    /// it. Another rank must write it by [`put_flag`](Self::put_flag) or
    /// [`set_flag`](Self::set_flag).
    pub fn wait_flag(
        &self,
        flags: &Global<u64>,
        index: usize,
        ready: impl Fn(u64) -> bool,
    ) -> Result<u64, Error> {
        let mut value = flags.load(index)?;
        if self.link.is_none() {
            // Nobody else can change it.
            return Ok(value);
        }
        self.wait_for_rank(|| {
            value = flags.load(index).unwrap_or(value);
            ready(value)
        })?;
        Ok(value)
    }

    /// Writes a flag after all earlier puts to that rank, and wakes it if it waits.
    pub fn set_flag(&self, flag: GlobalPtr<'_, u64>, value: u64) -> Result<(), Error> {
        flag.check(1)?;
        self.tell(TargetSpace::Public, flag.rank, flag.address, value)
    }

    /// Makes what notifications need. Collective.
    pub(crate) fn prepare_notifications(&self) -> Result<(), Error> {
        let counts = self.malloc(self.size())?;
        self.notifications.get_or_init(|| Notifications::new(counts, self.size()));
        Ok(())
    }

    /// `armci_notify`: tells `rank` that all earlier puts of this rank to it are there. Returns how
    /// many notifications that makes.
    ///
    /// # Errors
    /// [`Error::NoRank`].
    pub fn notify(&self, rank: usize) -> Result<u64, Error> {
        self.check_rank(rank)?;
        let notifications = self.notifications.get().ok_or(Error::NobodyElse)?;
        let count = notifications.sent[rank].get() + 1;
        self.set_flag(notifications.counts.at(rank, self.rank()), count)?;
        notifications.sent[rank].set(count);
        Ok(count)
    }

    /// `armci_notify_wait`: waits for the next notification from `rank`. Returns how many have come
    /// from it.
    ///
    /// # Errors
    /// [`Error::NoRank`], [`Error::NobodyElse`] for a rank that is alone and has not notified
    /// itself.
    pub fn wait_notify(&self, rank: usize) -> Result<u64, Error> {
        self.check_rank(rank)?;
        let notifications = self.notifications.get().ok_or(Error::NobodyElse)?;
        let count = notifications.awaited[rank].get() + 1;
        self.wait_for_rank(|| notifications.counts.load(rank).is_ok_and(|come| come >= count))?;
        notifications.awaited[rank].set(count);
        notifications.counts.load(rank)
    }
}

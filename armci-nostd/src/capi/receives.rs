//! Receives under way, as MPI programs begin them and wait for them later.

use core::cell::{Cell, RefCell};
use core::ffi::{c_int, c_void};
use std::prelude::v1::*;

use crate::api::armci::Armci;
use crate::capi::convert::bytes_mut;
use crate::capi::refusal::Refusal;
use crate::team::message::{Received, Sender};

/// Receives that were begun and have not been waited for, in the order of their begin.
#[derive(Default)]
pub(super) struct Receives {
    pub begun: RefCell<Vec<Receive>>,
    /// The number of the last one.
    pub last: Cell<c_int>,
}

/// One of them.
pub(super) struct Receive {
    pub number: c_int,
    pub from: Sender,
    pub tag: Option<i32>,
    pub comm: c_int,
    pub buffer: *mut c_void,
    pub len: usize,
    pub received: Option<Received>,
}

impl Receives {
    /// Receives what has come, in the order in which it was asked for.
    ///
    /// # Safety
    /// The buffers must be valid.
    pub unsafe fn go_on(&self, armci: &Armci) -> Result<(), Refusal> {
        for receive in self.begun.borrow_mut().iter_mut().filter(|one| one.received.is_none()) {
            if armci.probe(receive.from, receive.tag)?.is_some() {
                // SAFETY: by the caller.
                let data = unsafe { bytes_mut(receive.buffer, receive.len)? };
                receive.received = Some(armci.receive(receive.from, receive.tag, data)?);
            }
        }
        Ok(())
    }

    /// Takes a receive off the list if it has ended: its communicator, and what it got.
    pub fn take_ended(&self, number: c_int) -> Result<Option<(c_int, Received)>, Refusal> {
        let mut begun = self.begun.borrow_mut();
        let at = begun.iter().position(|one| one.number == number).ok_or(Refusal::Request)?;
        let ended = begun[at].received.map(|received| (begun[at].comm, received));
        if ended.is_some() {
            begun.remove(at);
        }
        Ok(ended)
    }
}

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

impl Receive {
    /// Whether it still waits for a message such as this one.
    fn wants(&self, message: &Received) -> bool {
        let sender = match self.from {
            Sender::Any => true,
            Sender::Rank(rank) => rank == message.from,
        };
        self.received.is_none() && sender && self.tag.is_none_or(|tag| tag == message.tag)
    }
}

impl Receives {
    /// Receives what has come, in the order in which it was asked for.
    ///
    /// # Safety
    /// The buffers must be valid.
    pub unsafe fn go_on(&self, armci: &Armci) -> Result<(), Refusal> {
        let mut begun = self.begun.borrow_mut();
        let mut at = 0;
        while let Some(receive) = begun.get(at) {
            let found = match receive.received {
                Some(_) => None,
                None => armci.probe(receive.from, receive.tag)?,
            };
            let Some(found) = found else {
                at += 1;
                continue;
            };
            // It may have come after an earlier receive was looked at, which has the first right to
            // it, or to one before it.
            at = begun[..at].iter().position(|earlier| earlier.wants(&found)).unwrap_or(at);
            let receive = &mut begun[at];
            // SAFETY: by the caller.
            let data = unsafe { bytes_mut(receive.buffer, receive.len)? };
            receive.received = Some(armci.receive(receive.from, receive.tag, data)?);
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

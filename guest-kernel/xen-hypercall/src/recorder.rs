//! A [`Hypercall`] for unit tests: remembers what it was asked, answers as told.

use core::cell::{Cell, RefCell};
use std::vec::Vec;

use crate::{Hypercall, Number};

/// What one call was: number, plain arguments, and the bytes of the structure that argument 1
/// points to.
pub(crate) struct RecordedCall {
    pub(crate) number: Number,
    pub(crate) arguments: [u64; 5],
    pub(crate) structure: Vec<u8>,
}

/// The recording double.
pub(crate) struct Recorder {
    pub(crate) calls: RefCell<Vec<RecordedCall>>,
    answer: i64,
    structure_len: usize,
    /// Bytes that "Xen" writes into the structure, at an offset.
    reply: RefCell<Option<(usize, Vec<u8>)>>,
    taken: Cell<usize>,
}

impl Recorder {
    /// A double that answers `answer` to calls whose argument 1 points to `structure_len` bytes.
    pub(crate) fn new(answer: i64, structure_len: usize) -> Self {
        Recorder {
            calls: RefCell::new(Vec::new()),
            answer,
            structure_len,
            reply: RefCell::new(None),
            taken: Cell::new(0),
        }
    }

    /// Has "Xen" write `bytes` into the structure.
    pub(crate) fn replying(self, offset: usize, bytes: &[u8]) -> Self {
        assert!(offset + bytes.len() <= self.structure_len);
        *self.reply.borrow_mut() = Some((offset, bytes.to_vec()));
        self
    }

    /// The next call not yet looked at.
    pub(crate) fn next(&self) -> RecordedCall {
        let at = self.taken.get();
        self.taken.set(at + 1);
        let calls = self.calls.borrow();
        let call = calls.get(at).expect("one more hypercall");
        RecordedCall {
            number: call.number,
            arguments: call.arguments,
            structure: call.structure.clone(),
        }
    }
}

// SAFETY: writes only within the structure whose length the test gave.
unsafe impl Hypercall for Recorder {
    unsafe fn call(&self, number: Number, arguments: [u64; 5]) -> i64 {
        let mut structure = std::vec![0u8; self.structure_len];
        if self.structure_len > 0 {
            let pointer = arguments[1] as *mut u8;
            // SAFETY: the tested function passes a live structure of this length, uniquely
            // borrowed.
            unsafe {
                core::ptr::copy_nonoverlapping(pointer, structure.as_mut_ptr(), self.structure_len)
            };
            if let Some((offset, bytes)) = self.reply.borrow().as_ref() {
                // SAFETY: as above; `replying` checked the range.
                unsafe {
                    core::ptr::copy_nonoverlapping(
                        bytes.as_ptr(),
                        pointer.add(*offset),
                        bytes.len(),
                    )
                };
            }
        }
        self.calls.borrow_mut().push(RecordedCall { number, arguments, structure });
        self.answer
    }
}

//! What a call asks for.

use core::ffi::{c_int, c_void};
use std::prelude::v1::*;

use crate::capi::handles::When;
use crate::capi::refusal::Refusal;
use crate::path::rows::Operation;
use crate::wire::request::AccKind;

/// Which operation, and to whom.
#[derive(Clone, Copy)]
pub(super) struct Task {
    pub operation: Operation,
    pub proc: c_int,
    pub when: When,
}

impl Task {
    /// Which of source and target is this rank's, and which the other's.
    pub fn sides<T>(&self, source: T, target: T) -> (T, T) {
        if self.operation == Operation::Get { (target, source) } else { (source, target) }
    }

    /// An accumulate needs whole elements.
    pub fn check_elements(&self, len: usize) -> Result<(), Refusal> {
        match self.operation {
            Operation::Accumulate { kind, .. } if !len.is_multiple_of(kind.size()) => {
                Err(Refusal::Length)
            }
            _ => Ok(()),
        }
    }
}

/// `ARMCI_ACC_*` and its scale.
///
/// # Safety
/// `scale` must be null or point to one element of the type.
pub(super) unsafe fn accumulate(optype: c_int, scale: *const c_void) -> Result<Operation, Refusal> {
    let kind = match optype {
        37 => AccKind::Int,
        38 => AccKind::Double,
        39 => AccKind::Float,
        40 => AccKind::Complex,
        41 => AccKind::DoubleComplex,
        42 => AccKind::Long,
        _ => return Err(Refusal::Operation),
    };
    if scale.is_null() {
        return Err(Refusal::Local);
    }
    let mut operand = [0u64; 2];
    // SAFETY: one element by the caller, which is no longer than the operand.
    unsafe {
        core::ptr::copy_nonoverlapping(scale.cast::<u8>(), operand.as_mut_ptr().cast(), kind.size())
    };
    Ok(Operation::Accumulate { kind, scale: operand })
}

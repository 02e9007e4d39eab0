//! How elements are combined: the operators of `armci_msg_gop` on the types of C.

use core::ffi::{c_int, c_long, c_longlong};
use std::prelude::v1::*;

use crate::capi::refusal::Refusal;
use crate::element::{Reduce, ReduceOp};

/// Types of elements.
pub(super) const INT: c_int = -99;
pub(super) const LONG: c_int = -101;
pub(super) const LONG_LONG: c_int = -102;
pub(super) const FLOAT: c_int = -306;
pub(super) const DOUBLE: c_int = -307;

/// A way to combine two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    /// For all types.
    Number(ReduceOp),
    /// For integers only.
    Integer(Bits),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bits {
    Or,
    And,
    LogicalOr,
    LogicalAnd,
}

impl Operator {
    /// As in ARMCI the beginning counts.
    pub fn new(name: &str) -> Result<Self, Refusal> {
        let names = [
            ("+", Self::Number(ReduceOp::Sum)),
            ("*", Self::Number(ReduceOp::Product)),
            ("max", Self::Number(ReduceOp::Max)),
            ("min", Self::Number(ReduceOp::Min)),
            ("absmax", Self::Number(ReduceOp::AbsMax)),
            ("absmin", Self::Number(ReduceOp::AbsMin)),
            ("or", Self::Integer(Bits::Or)),
            ("&&", Self::Integer(Bits::LogicalAnd)),
            ("land", Self::Integer(Bits::LogicalAnd)),
            ("||", Self::Integer(Bits::LogicalOr)),
            ("lor", Self::Integer(Bits::LogicalOr)),
            ("&", Self::Integer(Bits::And)),
            ("band", Self::Integer(Bits::And)),
            ("|", Self::Integer(Bits::Or)),
            ("bor", Self::Integer(Bits::Or)),
        ];
        let found = names.iter().find(|(beginning, _)| name.starts_with(beginning));
        found.map(|&(_, operator)| operator).ok_or(Refusal::Operation)
    }

    /// Whether a single element becomes another one.
    pub fn changes_one(self) -> bool {
        use Operator::{Integer, Number};
        matches!(
            self,
            Number(ReduceOp::AbsMax | ReduceOp::AbsMin)
                | Integer(Bits::LogicalAnd | Bits::LogicalOr)
        )
    }
}

/// What elements of a type are made of.
trait Combine: Reduce {
    fn bits(op: Bits, a: Self, b: Self) -> Option<Self>;
}

macro_rules! integer {
    ($($type:ty),*) => {
        $(impl Combine for $type {
            fn bits(op: Bits, a: Self, b: Self) -> Option<Self> {
                Some(match op {
                    Bits::Or => a | b,
                    Bits::And => a & b,
                    Bits::LogicalOr => (a != 0 || b != 0).into(),
                    Bits::LogicalAnd => (a != 0 && b != 0).into(),
                })
            }
        })*
    };
}

integer!(i32, i64);

macro_rules! float {
    ($($type:ty),*) => {
        $(impl Combine for $type {
            fn bits(_: Bits, _: Self, _: Self) -> Option<Self> {
                None
            }
        })*
    };
}

float!(f32, f64);

/// Combines the second of two elements into the first.
pub(super) type Combination = fn(Operator, &mut [u8], &[u8]);

fn combine<T: Combine>(operator: Operator, mine: &mut [u8], theirs: &[u8]) {
    let (Ok(a), Ok(b)) = (T::read_from_bytes(mine), T::read_from_bytes(theirs)) else { return };
    let combined = match operator {
        Operator::Number(op) => Some(T::combine(op, a, b)),
        Operator::Integer(op) => T::bits(op, a, b),
    };
    if let Some(combined) = combined {
        mine.copy_from_slice(combined.as_bytes());
    }
}

/// Size of a type's elements and how they are combined.
pub(super) fn of_type(tag: c_int, operator: Operator) -> Result<(usize, Combination), Refusal> {
    match (tag, operator) {
        (FLOAT | DOUBLE, Operator::Integer(_)) => Err(Refusal::Operation),
        (INT, _) => Ok((4, combine::<i32>)),
        (LONG | LONG_LONG, _) => Ok((8, combine::<i64>)),
        (FLOAT, _) => Ok((4, combine::<f32>)),
        (DOUBLE, _) => Ok((8, combine::<f64>)),
        _ => Err(Refusal::Operation),
    }
}

const _: () =
    assert!(size_of::<c_int>() == 4 && size_of::<c_long>() == 8 && size_of::<c_longlong>() == 8);

//! The types whose values can be moved, accumulated, reduced and swapped.

use core::ops::{Add, Mul};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::wire::request::{AccKind, RmwKind};

/// A type whose values are plain bytes: any bits are a value, and it holds no pointers and no
/// padding.
pub trait Element: Copy + FromBytes + IntoBytes + Immutable + 'static {}

impl<T: Copy + FromBytes + IntoBytes + Immutable + 'static> Element for T {}

/// A complex number, as C and Fortran lay it out.
#[derive(Clone, Copy, Debug, Default, PartialEq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Complex<T> {
    /// Real part.
    pub re: T,
    /// Imaginary part.
    pub im: T,
}

impl<T: Add<Output = T>> Add for Complex<T> {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }
}

impl<T: Copy + Mul<Output = T> + Add<Output = T> + core::ops::Sub<Output = T>> Mul for Complex<T> {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }
}

/// The six types of `ARMCI_Acc`.
pub trait Accumulate: Element {
    /// The type's number on the wire.
    const KIND: AccKind;

    /// The scale as it travels in a request.
    fn to_operand(self) -> [u64; 2];
}

/// The integers of `ARMCI_Rmw`.
pub trait RmwWord: Element {
    /// Fetch-and-add on this type.
    const FETCH_ADD: RmwKind;
    /// Swap on this type.
    const SWAP: RmwKind;

    /// The value as it travels in a request.
    fn to_wire(self) -> u64;

    /// The value that came back.
    fn from_wire(word: u64) -> Self;
}

/// How [`Armci::reduce`](crate::Armci::reduce) combines: the operators of `armci_msg_gop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceOp {
    /// `+`, wrapping for integers.
    Sum,
    /// `*`, wrapping for integers.
    Product,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The least absolute value.
    AbsMin,
    /// The greatest absolute value.
    AbsMax,
    /// Bit by bit, of the representation.
    Or,
}

/// What [`Armci::reduce`](crate::Armci::reduce) can combine.
pub trait Reduce: Element {
    /// `a` and `b` combined.
    fn combine(op: ReduceOp, a: Self, b: Self) -> Self;
}

macro_rules! accumulate {
    ($($type:ty, $kind:ident, |$value:ident| $operand:expr;)*) => {
        $(impl Accumulate for $type {
            const KIND: AccKind = AccKind::$kind;
            fn to_operand(self) -> [u64; 2] {
                let $value = self;
                $operand
            }
        })*
    };
}

accumulate! {
    i32, Int, |v| [v as u32 as u64, 0];
    i64, Long, |v| [v as u64, 0];
    f32, Float, |v| [v.to_bits() as u64, 0];
    f64, Double, |v| [v.to_bits(), 0];
    Complex<f32>, Complex, |v| [v.re.to_bits() as u64 | (v.im.to_bits() as u64) << 32, 0];
    Complex<f64>, DoubleComplex, |v| [v.re.to_bits(), v.im.to_bits()];
}

macro_rules! rmw_word {
    ($($type:ty, $add:ident, $swap:ident, |$value:ident| $wire:expr;)*) => {
        $(impl RmwWord for $type {
            const FETCH_ADD: RmwKind = RmwKind::$add;
            const SWAP: RmwKind = RmwKind::$swap;
            fn to_wire(self) -> u64 {
                let $value = self;
                $wire
            }
            fn from_wire(word: u64) -> Self {
                word as Self
            }
        })*
    };
}

rmw_word! {
    i32, FetchAdd32, Swap32, |v| v as u32 as u64;
    u32, FetchAdd32, Swap32, |v| v as u64;
    i64, FetchAdd64, Swap64, |v| v as u64;
    u64, FetchAdd64, Swap64, |v| v;
}

macro_rules! reduce_integer {
    ($($type:ty, |$value:ident| $magnitude:expr;)*) => {
        $(impl Reduce for $type {
            fn combine(op: ReduceOp, a: Self, b: Self) -> Self {
                let magnitude = |$value: $type| $magnitude;
                match op {
                    ReduceOp::Sum => a.wrapping_add(b),
                    ReduceOp::Product => a.wrapping_mul(b),
                    ReduceOp::Min => a.min(b),
                    ReduceOp::Max => a.max(b),
                    ReduceOp::AbsMin => magnitude(a).min(magnitude(b)),
                    ReduceOp::AbsMax => magnitude(a).max(magnitude(b)),
                    ReduceOp::Or => a | b,
                }
            }
        })*
    };
}

reduce_integer! {
    i32, |v| v.wrapping_abs();
    i64, |v| v.wrapping_abs();
    u32, |v| v;
    u64, |v| v;
}

macro_rules! reduce_float {
    ($($type:ty),*) => {
        $(impl Reduce for $type {
            fn combine(op: ReduceOp, a: Self, b: Self) -> Self {
                match op {
                    ReduceOp::Sum => a + b,
                    ReduceOp::Product => a * b,
                    ReduceOp::Min => a.min(b),
                    ReduceOp::Max => a.max(b),
                    ReduceOp::AbsMin => a.abs().min(b.abs()),
                    ReduceOp::AbsMax => a.abs().max(b.abs()),
                    ReduceOp::Or => Self::from_bits(a.to_bits() | b.to_bits()),
                }
            }
        })*
    };
}

reduce_float!(f32, f64);

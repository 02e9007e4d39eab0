//! The entries of the two rings.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One operation that a rank asks of its proxy: an entry of the submission ring, 64 bytes.
///
/// Addresses are addresses in a rank's own space: `local` in the asking rank's, `remote` in that of
/// `rank`. Fields that an operation does not use must be zero.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C, align(64))]
pub struct Request {
    /// What to do: an [`Opcode`].
    pub opcode: u8,
    /// How: [`Flags`].
    pub flags: u8,
    /// Which element type or read-modify-write: an [`AccKind`] or [`RmwKind`].
    pub kind: u8,
    /// Zero.
    pub reserved0: u8,
    /// The target.
    pub rank: u32,
    /// Chosen by the asking rank, returned in the [`Completion`].
    pub tag: u32,
    /// Zero.
    pub reserved1: u32,
    /// Address at the target; with [`Flags::MAILBOX`] an offset into the target's mailbox.
    pub remote: u64,
    /// Address of the source (put, accumulate) or destination (get) at the asking rank.
    pub local: u64,
    /// Length in bytes. Zero is legal: nothing is moved.
    pub len: u64,
    /// Put with [`Flags::INLINE`]: the data. Accumulate: the scale, in the element's own
    /// representation. Read-modify-write: the operand in the first word; for a compare-and-swap
    /// what is expected, then the new value.
    pub operand: [u64; 2],
    /// Zero.
    pub reserved2: u64,
}

/// One finished operation: an entry of the completion ring, 16 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C, align(16))]
pub struct Completion {
    /// The tag of the [`Request`].
    pub tag: u32,
    /// How it ended: a [`Status`].
    pub status: u32,
    /// Read-modify-write: the value that was there before. Otherwise zero.
    pub value: u64,
}

const _: () = {
    assert!(size_of::<Request>() == 64);
    assert!(core::mem::offset_of!(Request, rank) == 4);
    assert!(core::mem::offset_of!(Request, tag) == 8);
    assert!(core::mem::offset_of!(Request, remote) == 16);
    assert!(core::mem::offset_of!(Request, local) == 24);
    assert!(core::mem::offset_of!(Request, len) == 32);
    assert!(core::mem::offset_of!(Request, operand) == 40);
    assert!(size_of::<Completion>() == 16);
};

/// The `rank` of a [`Opcode::Fence`] that is about all targets.
pub const ALL_RANKS: u32 = u32::MAX;

/// Data of this many bytes travels in the entry itself, see [`Flags::INLINE`].
pub const INLINE_BYTES: usize = 16;

/// Makes a `repr(u8)` enumeration with a checked conversion from the byte on the wire.
macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name { $($(#[$vmeta])* $variant = $value,)* }

        impl $name {
            /// Every value, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The value with this number on the wire, if there is one.
            pub fn from_wire(byte: u8) -> Option<Self> {
                match byte { $($value => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

wire_enum! {
    /// What a [`Request`] asks for.
    Opcode {
        /// Copy from the asking rank to the target.
        Put = 1,
        /// Copy from the target to the asking rank.
        Get = 2,
        /// `target += scale * source`, element by element, atomically for each element.
        Accumulate = 3,
        /// Change one word of the target and return what was there.
        ReadModifyWrite = 4,
        /// Complete when all earlier operations of this rank on the target, or on all with
        /// [`ALL_RANKS`], are complete there.
        Fence = 5,
    }
}

wire_enum! {
    /// Element types of an accumulate: ARMCI's `ARMCI_ACC_*`.
    AccKind {
        /// `ARMCI_ACC_INT`: 32-bit signed integers, wrapping.
        Int = 1,
        /// `ARMCI_ACC_LNG`: 64-bit signed integers, wrapping.
        Long = 2,
        /// `ARMCI_ACC_FLT`: `f32`.
        Float = 3,
        /// `ARMCI_ACC_DBL`: `f64`.
        Double = 4,
        /// `ARMCI_ACC_CPL`: pairs of `f32`, real part first.
        Complex = 5,
        /// `ARMCI_ACC_DCP`: pairs of `f64`, real part first.
        DoubleComplex = 6,
    }
}

impl AccKind {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::Int | Self::Float => 4,
            Self::Long | Self::Double | Self::Complex => 8,
            Self::DoubleComplex => 16,
        }
    }
}

wire_enum! {
    /// Read-modify-writes: ARMCI's `ARMCI_FETCH_AND_ADD`, `ARMCI_SWAP` and their `_LONG` forms.
    RmwKind {
        /// Add to a 32-bit word, wrapping.
        FetchAdd32 = 1,
        /// Add to a 64-bit word, wrapping.
        FetchAdd64 = 2,
        /// Replace a 32-bit word.
        Swap32 = 3,
        /// Replace a 64-bit word.
        Swap64 = 4,
        /// Replace a 64-bit word by the second operand if it equals the first. For the runtime's
        /// own use.
        CompareSwap64 = 5,
    }
}

impl RmwKind {
    /// Bytes of the word, and what its address must be a multiple of.
    pub fn size(self) -> usize {
        match self {
            Self::FetchAdd32 | Self::Swap32 => 4,
            Self::FetchAdd64 | Self::Swap64 | Self::CompareSwap64 => 8,
        }
    }
}

wire_enum! {
    /// How an operation ended.
    Status {
        /// Done.
        Ok = 0,
        /// The job has failed; nothing more will be done for it.
        JobFailed = 1,
    }
}

bitflags! {
    /// Ways to do an operation.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u8 {
        /// A put of at most [`INLINE_BYTES`] bytes whose data is in `operand`, not at `local`.
        const INLINE = 1;
        /// `remote` is an offset into the target's mailbox instead of an address. For the runtime's
        /// own use.
        const MAILBOX = 2;
        /// Ring the target's doorbell after the operation, for a target that may be waiting for it.
        const NOTIFY = 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_numbers_round_trip_and_others_are_refused() {
        for &opcode in Opcode::ALL {
            assert_eq!(Opcode::from_wire(opcode as u8), Some(opcode));
        }
        for &kind in AccKind::ALL {
            assert_eq!(AccKind::from_wire(kind as u8), Some(kind));
        }
        assert_eq!(Opcode::from_wire(0), None, "a zeroed entry must not be an operation");
        assert_eq!(Opcode::from_wire(6), None);
        assert_eq!(AccKind::from_wire(0), None);
        assert_eq!(RmwKind::from_wire(6), None);
    }
}

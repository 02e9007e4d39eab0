//! Accumulate: `destination += scale * source`, element by element.

use core::num::Wrapping;
use core::ops::{Add, Mul};

use crate::element::Complex;
use crate::wire::request::AccKind;

#[cfg(target_arch = "x86_64")]
cpufeatures::new!(wide, "avx2");

/// Bytes for which wide instructions are worth a call.
#[cfg(target_arch = "x86_64")]
const WIDE_FROM: usize = 128;

/// `destination[i] += scale * source[i]` for the `len` bytes of elements, at any alignment. Atomic
/// among holders of the target's lock.
///
/// # Safety
/// Both must be valid for `len` bytes, a multiple of the kind's size.
pub(crate) unsafe fn accumulate(
    kind: AccKind,
    scale: &[u64; 2],
    source: *const u8,
    destination: *mut u8,
    len: usize,
) {
    #[cfg(target_arch = "x86_64")]
    if len >= WIDE_FROM && wide::get() {
        // SAFETY: by the caller; the processor has what it takes.
        return unsafe { accumulate_wide(kind, scale, source, destination, len) };
    }
    // SAFETY: by the caller.
    unsafe { accumulate_anywhere(kind, scale, source, destination, len) }
}

/// The same with instructions on 32 bytes. It computes the same, to the bit: no multiplication is
/// fused with an addition.
///
/// # Safety
/// As for [`accumulate`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn accumulate_wide(
    kind: AccKind,
    scale: &[u64; 2],
    source: *const u8,
    destination: *mut u8,
    len: usize,
) {
    // SAFETY: by the caller.
    unsafe { accumulate_anywhere(kind, scale, source, destination, len) }
}

/// # Safety
/// As for [`accumulate`].
#[inline(always)]
unsafe fn accumulate_anywhere(
    kind: AccKind,
    scale: &[u64; 2],
    source: *const u8,
    destination: *mut u8,
    len: usize,
) {
    let (low, high) = (scale[0] as u32, (scale[0] >> 32) as u32);
    // SAFETY: by the caller; any bits are a value of these types.
    unsafe {
        match kind {
            AccKind::Int => add_scaled(Wrapping(low as i32), source, destination, len),
            AccKind::Long => add_scaled(Wrapping(scale[0] as i64), source, destination, len),
            AccKind::Float => add_scaled(f32::from_bits(low), source, destination, len),
            AccKind::Double => add_scaled(f64::from_bits(scale[0]), source, destination, len),
            AccKind::Complex => {
                let scale = Complex { re: f32::from_bits(low), im: f32::from_bits(high) };
                add_scaled(scale, source, destination, len);
            }
            AccKind::DoubleComplex => {
                let scale = Complex { re: f64::from_bits(scale[0]), im: f64::from_bits(scale[1]) };
                add_scaled(scale, source, destination, len);
            }
        }
    }
}

/// # Safety
/// As for [`accumulate`], with any bits being a value of `T`.
#[inline(always)]
unsafe fn add_scaled<T: Copy + Add<Output = T> + Mul<Output = T>>(
    scale: T,
    source: *const u8,
    destination: *mut u8,
    len: usize,
) {
    let (source, destination) = (source.cast::<T>(), destination.cast::<T>());
    for i in 0..len / size_of::<T>() {
        // SAFETY: in bounds by the caller.
        unsafe {
            let sum = destination.add(i).read_unaligned() + scale * source.add(i).read_unaligned();
            destination.add(i).write_unaligned(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::prelude::v1::*;

    use proptest::prelude::*;

    proptest! {
        /// At any alignment, and on both sides of the length from which instructions are wide.
        #[test]
        fn integers_accumulate_wrapping(
            values in proptest::collection::vec(any::<(i64, i64)>(), 1..64),
            scale in any::<i64>(),
            shift in 0usize..8,
        ) {
            let len = 8 * values.len();
            let bytes = |value: &dyn Fn(&(i64, i64)) -> i64| -> Vec<u8> {
                let padding = core::iter::repeat_n(0, shift);
                padding.chain(values.iter().flat_map(|pair| value(pair).to_ne_bytes())).collect()
            };
            let (source, mut destination) = (bytes(&|pair| pair.1), bytes(&|pair| pair.0));
            // SAFETY: `len` bytes behind the shift are in both.
            unsafe {
                let (source, destination) =
                    (source.as_ptr().add(shift), destination.as_mut_ptr().add(shift));
                accumulate(AccKind::Long, &[scale as u64, 0], source, destination, len);
            }
            let sums = bytes(&|(old, add)| old.wrapping_add(scale.wrapping_mul(*add)));
            prop_assert_eq!(destination, sums);
        }
    }

    #[test]
    fn complex_numbers_multiply_as_such() {
        let (source, mut destination) = ([2.0f64, 3.0], [10.0f64, 20.0]);
        let scale = [0f64.to_bits(), 1f64.to_bits()];
        // SAFETY: one element each.
        unsafe {
            accumulate(
                AccKind::DoubleComplex,
                &scale,
                source.as_ptr().cast(),
                destination.as_mut_ptr().cast(),
                16,
            )
        };
        assert_eq!(destination, [10.0 - 3.0, 20.0 + 2.0]);
    }
}

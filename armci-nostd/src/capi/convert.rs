//! From what C gives to what Rust takes.

use core::ffi::{CStr, c_char, c_int, c_void};
use std::prelude::v1::*;

use crate::capi::refusal::Refusal;

/// A string of C.
///
/// # Safety
/// Null, or a string that ends with a zero.
pub(super) unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: by the caller.
    String::from_utf8_lossy(unsafe { CStr::from_ptr(string) }.to_bytes()).into_owned()
}

/// A length, count or size of C.
pub(super) fn length(value: impl TryInto<usize>) -> Result<usize, Refusal> {
    value.try_into().map_err(|_| Refusal::Length)
}

/// The number of a group.
///
/// # Safety
/// `group` must be null or valid.
pub(super) unsafe fn group_id(group: *const c_int) -> Result<c_int, Refusal> {
    // SAFETY: by the caller.
    unsafe { group.as_ref() }.copied().ok_or(Refusal::Group)
}

/// `len` bytes of C, to read.
///
/// # Safety
/// `start` must be null or valid for reads of `len` bytes, which nobody changes meanwhile.
pub(super) unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Result<&'a [u8], Refusal> {
    match (len, start.is_null()) {
        (0, _) => Ok(&[]),
        (_, true) => Err(Refusal::Local),
        // SAFETY: by the caller.
        (_, false) => Ok(unsafe { core::slice::from_raw_parts(start.cast(), len) }),
    }
}

/// `len` bytes of C, to write.
///
/// # Safety
/// `start` must be null or valid for reads and writes of `len` bytes, which nobody else uses
/// meanwhile.
pub(super) unsafe fn bytes_mut<'a>(
    start: *mut c_void,
    len: usize,
) -> Result<&'a mut [u8], Refusal> {
    match (len, start.is_null()) {
        (0, _) => Ok(&mut []),
        (_, true) => Err(Refusal::Local),
        // SAFETY: by the caller.
        (_, false) => Ok(unsafe { core::slice::from_raw_parts_mut(start.cast(), len) }),
    }
}

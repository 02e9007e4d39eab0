//! Packing: copies between a strided section of this rank and consecutive bytes.

use core::ffi::{c_char, c_int, c_void};

use crate::api::strided::Rows;
use crate::capi::refusal::Refusal;
use crate::capi::runtime::or_die;
use crate::capi::shapes::Shape;
use crate::capi::transfer::privately;
use crate::path::rows::Operation;

/// Copies between a section and consecutive bytes.
unsafe fn pack(
    function: &str,
    section: *mut c_void,
    (stride_levels, strides, count): (c_int, *const c_int, *const c_int),
    packed: *mut c_char,
    operation: Operation,
) {
    let copy = || {
        // SAFETY: by the caller.
        let shape = unsafe { Shape::read(strides, strides, count, stride_levels)? };
        if shape.is_empty() {
            return Ok(());
        }
        if section.is_null() || packed.is_null() {
            return Err(Refusal::Local);
        }
        let mut at = packed.cast::<u8>();
        for row in Rows::new(section.cast(), 0, shape.row, shape.levels())? {
            // SAFETY: both by the caller.
            unsafe {
                privately(operation, row, at);
                at = at.add(row.len);
            }
        }
        Ok(())
    };
    or_die(function, copy());
}

/// `armci_write_strided`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_write_strided(
    ptr: *mut c_void,
    stride_levels: c_int,
    stride_arr: *mut c_int,
    count: *mut c_int,
    buf: *mut c_char,
) {
    // SAFETY: by the caller.
    unsafe {
        pack("armci_write_strided", ptr, (stride_levels, stride_arr, count), buf, Operation::Put)
    };
}

/// `armci_read_strided`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_read_strided(
    ptr: *mut c_void,
    stride_levels: c_int,
    stride_arr: *mut c_int,
    count: *mut c_int,
    buf: *mut c_char,
) {
    // SAFETY: by the caller.
    unsafe {
        pack("armci_read_strided", ptr, (stride_levels, stride_arr, count), buf, Operation::Get)
    };
}

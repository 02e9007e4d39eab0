//! Put and get of single values.

use core::ffi::{c_double, c_float, c_int, c_long, c_void};
use std::prelude::v1::*;

use crate::capi::alias::weak_aliases;
use crate::capi::calls::transfer::PARMCI_Put;
use crate::capi::handles::{CHandle, When};
use crate::capi::runtime::{Call, Runtime, or_die};
use crate::capi::task::Task;
use crate::path::rows::Operation;

macro_rules! values {
    ($($type:ty, $put:ident, $nb_put:ident, $get:ident;)*) => {
        $(
            /// `ARMCI_PutValue*`.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $put(src: $type, dst: *mut c_void, proc: c_int) -> c_int {
                let source = (&raw const src).cast_mut().cast();
                // SAFETY: by the caller; the value lives until the put is complete.
                unsafe { PARMCI_Put(source, dst, size_of::<$type>() as c_int, proc) }
            }

            /// `ARMCI_NbPutValue*`: complete on return, so that the value need not be kept.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $nb_put(
                src: $type,
                dst: *mut c_void,
                proc: c_int,
                _handle: *mut CHandle,
            ) -> c_int {
                // SAFETY: by the caller.
                unsafe { $put(src, dst, proc) }
            }

            /// `ARMCI_GetValue*`.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $get(src: *mut c_void, proc: c_int) -> $type {
                let mut value: $type = Default::default();
                let target = (&raw mut value).cast();
                let task = Task { operation: Operation::Get, proc, when: When::Now };
                let bytes = size_of::<$type>() as c_int;
                let read = |runtime: Call| {
                    // SAFETY: by the caller; the value lives until the get is complete.
                    unsafe { runtime.contiguous(task, src, target, bytes) }
                };
                let got = Runtime::ready().and_then(read);
                or_die(stringify!($get).trim_start_matches('P'), got);
                value
            }
        )*
    };
}

values! {
    c_int, PARMCI_PutValueInt, PARMCI_NbPutValueInt, PARMCI_GetValueInt;
    c_long, PARMCI_PutValueLong, PARMCI_NbPutValueLong, PARMCI_GetValueLong;
    c_float, PARMCI_PutValueFloat, PARMCI_NbPutValueFloat, PARMCI_GetValueFloat;
    c_double, PARMCI_PutValueDouble, PARMCI_NbPutValueDouble, PARMCI_GetValueDouble;
}

weak_aliases! {
    ARMCI_PutValueInt => PARMCI_PutValueInt;
    ARMCI_PutValueLong => PARMCI_PutValueLong;
    ARMCI_PutValueFloat => PARMCI_PutValueFloat;
    ARMCI_PutValueDouble => PARMCI_PutValueDouble;
    ARMCI_NbPutValueInt => PARMCI_NbPutValueInt;
    ARMCI_NbPutValueLong => PARMCI_NbPutValueLong;
    ARMCI_NbPutValueFloat => PARMCI_NbPutValueFloat;
    ARMCI_NbPutValueDouble => PARMCI_NbPutValueDouble;
    ARMCI_GetValueInt => PARMCI_GetValueInt;
    ARMCI_GetValueLong => PARMCI_GetValueLong;
    ARMCI_GetValueFloat => PARMCI_GetValueFloat;
    ARMCI_GetValueDouble => PARMCI_GetValueDouble;
}

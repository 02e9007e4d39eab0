//! Put, get, accumulate: contiguous, strided, vectors, and with a flag.

use core::ffi::{c_int, c_void};
use std::prelude::v1::*;

use crate::capi::alias::weak_aliases;
use crate::capi::handles::{CHandle, When};
use crate::capi::runtime::{Runtime, code, code_of};
use crate::capi::shapes::Pieces;
use crate::capi::task::{Task, accumulate};
use crate::path::rows::Operation;

/// Makes the functions of one shape from a table with a row for each operation: one that is
/// complete locally on return, and one with a handle. What is in a row's parentheses comes before
/// the parameters that all have; the rank comes behind them, and then the handle.
macro_rules! transfers {
    (
        $parameters:tt |$runtime:ident, $task:ident| $transfer:expr;
        $($alias:ident $name:ident, $nb_alias:ident $nb_name:ident $before:tt $operation:expr;)*
    ) => {
        $(
            transfer! {
                $alias $name $before $parameters () When::Now;
                $operation; |$runtime, $task| $transfer
            }
            transfer! {
                $nb_alias $nb_name $before $parameters (nb_handle: *mut CHandle)
                When::Later(nb_handle); $operation; |$runtime, $task| $transfer
            }
        )*
    };
}

/// Makes one of them.
macro_rules! transfer {
    (
        $alias:ident $name:ident ($($before:ident: $before_type:ty),*)
        ($($parameter:ident: $type:ty),*) ($($behind:ident: $behind_type:ty)?) $when:expr;
        $operation:expr; |$runtime:ident, $task:ident| $transfer:expr
    ) => {
        #[doc = concat!("`", stringify!($alias), "`.")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            $($before: $before_type,)*
            $($parameter: $type,)*
            proc: c_int,
            $($behind: $behind_type)?
        ) -> c_int {
            // SAFETY: by the caller.
            code_of(|$runtime| unsafe {
                let $task = Task { operation: $operation, proc, when: $when };
                $transfer
            })
        }

        weak_aliases! {
            $alias => $name;
        }
    };
}

transfers! {
    (src: *mut c_void, dst: *mut c_void, bytes: c_int)
    |runtime, task| runtime.contiguous(task, src, dst, bytes);

    ARMCI_Put PARMCI_Put, ARMCI_NbPut PARMCI_NbPut () Operation::Put;
    ARMCI_Get PARMCI_Get, ARMCI_NbGet PARMCI_NbGet () Operation::Get;
    ARMCI_Acc PARMCI_Acc, ARMCI_NbAcc PARMCI_NbAcc
        (optype: c_int, scale: *mut c_void) accumulate(optype, scale)?;
}

transfers! {
    (
        src_ptr: *mut c_void,
        src_stride_arr: *mut c_int,
        dst_ptr: *mut c_void,
        dst_stride_arr: *mut c_int,
        count: *mut c_int,
        stride_levels: c_int
    )
    |runtime, task| runtime.strided(
        task,
        (src_ptr, src_stride_arr),
        (dst_ptr, dst_stride_arr),
        count,
        stride_levels,
    );

    ARMCI_PutS PARMCI_PutS, ARMCI_NbPutS PARMCI_NbPutS () Operation::Put;
    ARMCI_GetS PARMCI_GetS, ARMCI_NbGetS PARMCI_NbGetS () Operation::Get;
    ARMCI_AccS PARMCI_AccS, ARMCI_NbAccS PARMCI_NbAccS
        (optype: c_int, scale: *mut c_void) accumulate(optype, scale)?;
}

transfers! {
    (darr: *mut Pieces, len: c_int)
    |runtime, task| runtime.vector(task, darr, len);

    ARMCI_PutV PARMCI_PutV, ARMCI_NbPutV PARMCI_NbPutV () Operation::Put;
    ARMCI_GetV PARMCI_GetV, ARMCI_NbGetV PARMCI_NbGetV () Operation::Get;
    ARMCI_AccV PARMCI_AccV, ARMCI_NbAccV PARMCI_NbAccV
        (op: c_int, scale: *mut c_void) accumulate(op, scale)?;
}

/// `ARMCI_Put_flag`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Put_flag(
    src: *mut c_void,
    dst: *mut c_void,
    bytes: c_int,
    f: *mut c_int,
    v: c_int,
    proc: c_int,
) -> c_int {
    let task = Task { operation: Operation::Put, proc, when: When::Now };
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe {
        runtime.flag_sharing(f, runtime.rank(proc)?)?;
        runtime.contiguous(task, src, dst, bytes)?;
        runtime.flag(f, v, proc)
    }))
}

/// `ARMCI_PutS_flag`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_PutS_flag(
    src_ptr: *mut c_void,
    src_stride_arr: *mut c_int,
    dst_ptr: *mut c_void,
    dst_stride_arr: *mut c_int,
    count: *mut c_int,
    stride_levels: c_int,
    flag: *mut c_int,
    val: c_int,
    proc: c_int,
) -> c_int {
    let task = Task { operation: Operation::Put, proc, when: When::Now };
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe {
        runtime.flag_sharing(flag, runtime.rank(proc)?)?;
        let (source, target) =
            ((src_ptr, src_stride_arr.cast_const()), (dst_ptr, dst_stride_arr.cast_const()));
        runtime.strided(task, source, target, count, stride_levels)?;
        runtime.flag(flag, val, proc)
    }))
}

/// `ARMCI_PutS_flag_dir`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_PutS_flag_dir(
    src_ptr: *mut c_void,
    src_stride_arr: *mut c_int,
    dst_ptr: *mut c_void,
    dst_stride_arr: *mut c_int,
    count: *mut c_int,
    stride_levels: c_int,
    flag: *mut c_int,
    val: c_int,
    proc: c_int,
) -> c_int {
    // SAFETY: by the caller.
    unsafe {
        PARMCI_PutS_flag(
            src_ptr,
            src_stride_arr,
            dst_ptr,
            dst_stride_arr,
            count,
            stride_levels,
            flag,
            val,
            proc,
        )
    }
}

weak_aliases! {
    ARMCI_Put_flag => PARMCI_Put_flag;
    ARMCI_PutS_flag => PARMCI_PutS_flag;
    ARMCI_PutS_flag_dir => PARMCI_PutS_flag_dir;
}

//! Global operations: `armci_msg_gop` and its relatives.

use core::ffi::{c_char, c_double, c_float, c_int, c_long, c_longlong, c_void};
use std::prelude::v1::*;

use crate::capi::convert::{bytes_mut, length, text};
use crate::capi::reduction::{DOUBLE, FLOAT, INT, LONG, LONG_LONG, Operator, of_type};
use crate::capi::refusal::Refusal;
use crate::capi::runtime::{Runtime, or_die};
use crate::capi::scope::{SCOPE_ALL, SCOPE_NODE, Scope};
use crate::element::ReduceOp;
use crate::team::group::Group;

/// Combines the elements of all members.
unsafe fn reduce(
    runtime: &Runtime,
    scope: c_int,
    group: &Group,
    x: *mut c_void,
    n: c_int,
    op: *const c_char,
    tag: c_int,
) -> Result<(), Refusal> {
    // SAFETY: by the caller.
    let operator = Operator::new(&unsafe { text(op) })?;
    let (size, combine) = of_type(tag, operator)?;
    let len = length(n)?.checked_mul(size).ok_or(Refusal::Length)?;
    // SAFETY: by the caller.
    let data = unsafe { bytes_mut(x, len)? };
    let alone = Scope::new(scope)? == Scope::Node || group.size() == 1;
    if alone && operator.changes_one() {
        for element in data.chunks_exact_mut(size) {
            let mut copy = [0; 8];
            copy[..size].copy_from_slice(element);
            combine(operator, element, &copy[..size]);
        }
    }
    if !alone {
        group
            .reduce_by(runtime.armci, data, size, |mine, theirs| combine(operator, mine, theirs))?;
    }
    Ok(())
}

unsafe fn of_world(
    function: &str,
    scope: c_int,
    x: *mut c_void,
    n: c_int,
    op: *const c_char,
    tag: c_int,
) {
    let runtime = Runtime::attached();
    // SAFETY: by the caller.
    or_die(function, unsafe { reduce(&runtime, scope, runtime.armci.world(), x, n, op, tag) });
}

unsafe fn of_group(
    function: &str,
    scope: c_int,
    (x, n): (*mut c_void, c_int),
    op: *const c_char,
    tag: c_int,
    group: *mut c_int,
) {
    let runtime = Runtime::attached();
    let reduce = || {
        // SAFETY: by the caller.
        unsafe {
            let group = runtime.groups.at_or_world(group)?;
            reduce(&runtime, scope, &group, x, n, op, tag)
        }
    };
    or_die(function, reduce());
}

macro_rules! typed {
    ($($type:ty, $tag:ident, $gop:ident, $clus_gop:ident, $group_gop:ident;)*) => {
        $(
            /// Combines the elements of all ranks.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $gop(x: *mut $type, n: c_int, op: *mut c_char) {
                // SAFETY: by the caller.
                unsafe { of_world(stringify!($gop), SCOPE_ALL, x.cast(), n, op, $tag) };
            }

            /// The same within a domain.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $clus_gop(x: *mut $type, n: c_int, op: *mut c_char) {
                // SAFETY: by the caller.
                unsafe { of_world(stringify!($clus_gop), SCOPE_NODE, x.cast(), n, op, $tag) };
            }

            /// The same within a group.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $group_gop(
                x: *mut $type,
                n: c_int,
                op: *mut c_char,
                group: *mut c_int,
            ) {
                // SAFETY: by the caller.
                unsafe {
                    of_group(stringify!($group_gop), SCOPE_ALL, (x.cast(), n), op, $tag, group)
                };
            }
        )*
    };
}

typed! {
    c_int, INT, armci_msg_igop, armci_msg_clus_igop, armci_msg_group_igop;
    c_long, LONG, armci_msg_lgop, armci_msg_clus_lgop, armci_msg_group_lgop;
    c_longlong, LONG_LONG, armci_msg_llgop, armci_msg_clus_llgop, armci_msg_group_llgop;
    c_float, FLOAT, armci_msg_fgop, armci_msg_clus_fgop, armci_msg_group_fgop;
    c_double, DOUBLE, armci_msg_dgop, armci_msg_clus_dgop, armci_msg_group_dgop;
}

/// `armci_msg_gop_scope`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_msg_gop_scope(
    scope: c_int,
    x: *mut c_void,
    n: c_int,
    op: *mut c_char,
    tag: c_int,
) {
    // SAFETY: by the caller.
    unsafe { of_world("armci_msg_gop_scope", scope, x, n, op, tag) };
}

/// `armci_msg_group_gop_scope`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_msg_group_gop_scope(
    scope: c_int,
    x: *mut c_void,
    n: c_int,
    op: *mut c_char,
    tag: c_int,
    group: *mut c_int,
) {
    // SAFETY: by the caller.
    unsafe { of_group("armci_msg_group_gop_scope", scope, (x, n), op, tag, group) };
}

/// `armci_msg_reduce`: rank 0 needs the result; all get it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_msg_reduce(x: *mut c_void, n: c_int, op: *mut c_char, tag: c_int) {
    // SAFETY: by the caller.
    unsafe { of_world("armci_msg_reduce", SCOPE_ALL, x, n, op, tag) };
}

/// `armci_msg_reduce_scope`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_msg_reduce_scope(
    scope: c_int,
    x: *mut c_void,
    n: c_int,
    op: *mut c_char,
    tag: c_int,
) {
    // SAFETY: by the caller.
    unsafe { of_world("armci_msg_reduce_scope", scope, x, n, op, tag) };
}

/// Finds the rank whose first element is the least or greatest, and copies its bytes to all.
unsafe fn select(
    scope: c_int,
    x: *mut c_void,
    n: c_int,
    op: *const c_char,
    tag: c_int,
    contribute: c_int,
) -> Result<(), Refusal> {
    /// A rank's first element, the rank, and whether it takes part.
    const RECORD: usize = 16;
    let runtime = Runtime::attached();
    // SAFETY: by the caller.
    let operator = match Operator::new(&unsafe { text(op) })? {
        operator @ Operator::Number(ReduceOp::Min | ReduceOp::Max) => operator,
        _ => return Err(Refusal::Operation),
    };
    let (size, combine) = of_type(tag, operator)?;
    // SAFETY: by the caller.
    let data = unsafe { bytes_mut(x, length(n)?)? };
    let mut record = [0; RECORD];
    record[..size].copy_from_slice(data.get(..size).ok_or(Refusal::Length)?);
    record[8..12].copy_from_slice(&(runtime.armci.rank() as u32).to_ne_bytes());
    record[12] = u8::from(contribute != 0);
    if Scope::new(scope)? == Scope::Node {
        return Ok(());
    }
    let world = runtime.armci.world();
    world.reduce_by(runtime.armci, &mut record, RECORD, |mine, theirs| {
        let mut better = [0; 8];
        better.copy_from_slice(&mine[..8]);
        combine(operator, &mut better[..size], &theirs[..size]);
        if theirs[12] != 0 && (mine[12] == 0 || better != mine[..8]) {
            mine.copy_from_slice(theirs);
        }
    })?;
    if record[12] != 0 {
        let winner = u32::from_ne_bytes([record[8], record[9], record[10], record[11]]);
        world.broadcast(runtime.armci, winner as usize, data)?;
    }
    Ok(())
}

/// `armci_msg_sel_scope`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_msg_sel_scope(
    scope: c_int,
    x: *mut c_void,
    n: c_int,
    op: *mut c_char,
    tag: c_int,
    contribute: c_int,
) {
    // SAFETY: by the caller.
    or_die("armci_msg_sel_scope", unsafe { select(scope, x, n, op, tag, contribute) });
}

/// `armci_msg_sel`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_msg_sel(
    x: *mut c_void,
    n: c_int,
    op: *mut c_char,
    tag: c_int,
    contribute: c_int,
) {
    // SAFETY: by the caller.
    or_die("armci_msg_sel", unsafe { select(SCOPE_ALL, x, n, op, tag, contribute) });
}

/// `armci_exchange_address`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_exchange_address(ptr_arr: *mut *mut c_void, n: c_int) {
    // SAFETY: by the caller.
    unsafe {
        of_world("armci_exchange_address", SCOPE_ALL, ptr_arr.cast(), n, c"+".as_ptr(), LONG)
    };
}

/// `armci_exchange_address_grp`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_exchange_address_grp(
    ptr_arr: *mut *mut c_void,
    n: c_int,
    group: *mut c_int,
) {
    let (function, sum) = ("armci_exchange_address_grp", c"+".as_ptr());
    // SAFETY: by the caller.
    unsafe { of_group(function, SCOPE_ALL, (ptr_arr.cast(), n), sum, LONG, group) };
}

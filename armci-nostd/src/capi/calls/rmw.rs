//! Read-modify-writes.

use core::ffi::{c_int, c_long, c_void};

use crate::capi::alias::weak_aliases;
use crate::capi::allocations::Sharing;
use crate::capi::refusal::Refusal;
use crate::capi::runtime::{Runtime, code};
use crate::moves::rmw::read_modify_write;
use crate::wire::request::RmwKind;

/// `ARMCI_Rmw`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Rmw(
    op: c_int,
    ploc: *mut c_void,
    prem: *mut c_void,
    extra: c_int,
    proc: c_int,
) -> c_int {
    let change = || {
        let runtime = Runtime::ready()?;
        let rank = runtime.rank(proc)?;
        let kind = match op {
            10 => RmwKind::Swap32,
            11 => RmwKind::Swap64,
            12 => RmwKind::FetchAdd32,
            13 => RmwKind::FetchAdd64,
            _ => return Err(Refusal::Operation),
        };
        if ploc.is_null() {
            return Err(Refusal::Local);
        }
        let remote = prem.expose_provenance() as u64;
        let sharing = runtime.sharing(rank, remote, kind.size())?;
        if !remote.is_multiple_of(kind.size() as u64) {
            return Err(Refusal::Misaligned(kind.size()));
        }
        // SAFETY: `ploc` is valid by the caller, for an `int` or a `long`.
        let operand = unsafe {
            match kind {
                RmwKind::Swap32 => ploc.cast::<c_int>().read_unaligned() as u32 as u64,
                RmwKind::Swap64 => ploc.cast::<c_long>().read_unaligned() as u64,
                _ => c_long::from(extra) as u64,
            }
        };
        let found = match sharing {
            // SAFETY: allocated for being changed by operations, as `sharing` says.
            Sharing::Shared => unsafe {
                runtime.armci.read_modify_write(kind, rank, remote, [operand, 0])?
            },
            // SAFETY: aligned, valid by the caller, and nobody else's.
            Sharing::Private => unsafe { read_modify_write(kind, prem.cast(), [operand, 0]) },
        };
        // SAFETY: as above.
        unsafe {
            match kind.size() {
                4 => ploc.cast::<c_int>().write_unaligned(found as c_int),
                _ => ploc.cast::<c_long>().write_unaligned(found as c_long),
            }
        }
        Ok(())
    };
    code(change())
}

weak_aliases! {
    ARMCI_Rmw => PARMCI_Rmw;
}

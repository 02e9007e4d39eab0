//! Allocation.

use core::ffi::{c_char, c_int, c_long, c_void};
use core::ptr::{NonNull, null_mut, with_exposed_provenance_mut};

use crate::capi::alias::weak_aliases;
use crate::capi::convert::{group_id, length};
use crate::capi::groups::WORLD;
use crate::capi::refusal::Refusal;
use crate::capi::runtime::{Runtime, code, or_die};

impl Runtime {
    /// `ARMCI_Malloc_group`. `parts` gets the addresses, by member.
    ///
    /// # Safety
    /// `parts` must be null or valid for as many pointers as the group has members.
    unsafe fn malloc(
        &self,
        parts: *mut *mut c_void,
        bytes: c_long,
        id: c_int,
    ) -> Result<(), Refusal> {
        let group = self.groups.get(id)?;
        if parts.is_null() {
            return Err(Refusal::Local);
        }
        // A request for what cannot be is refused with those of all others.
        let bytes = length(bytes).unwrap_or(usize::MAX);
        let allocated = self.memory.allocate(self.armci, id, &group, bytes, |member, part| {
            // SAFETY: by the caller.
            unsafe { parts.add(member).write(with_exposed_provenance_mut(part.address as usize)) }
        });
        // Callers look at the pointers instead of at the result.
        for member in (0..group.size()).filter(|_| allocated.is_err()) {
            // SAFETY: by the caller.
            unsafe { parts.add(member).write(null_mut()) };
        }
        allocated
    }

    fn malloc_local(&self, bytes: usize) -> Result<NonNull<u8>, Refusal> {
        self.memory.allocate_local(self.armci, bytes)
    }
}

/// `ARMCI_Malloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Malloc(ptr_arr: *mut *mut c_void, bytes: c_long) -> c_int {
    // SAFETY: by the caller.
    code(Runtime::ready().and_then(|runtime| unsafe { runtime.malloc(ptr_arr, bytes, WORLD) }))
}

/// `ARMCI_Malloc_memdev`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Malloc_memdev(
    ptr_arr: *mut *mut c_void,
    bytes: c_long,
    _device: *const c_char,
) -> c_int {
    // SAFETY: by the caller.
    unsafe { PARMCI_Malloc(ptr_arr, bytes) }
}

/// `ARMCI_Malloc_group`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Malloc_group(
    ptr_arr: *mut *mut c_void,
    bytes: c_long,
    group: *mut c_int,
) -> c_int {
    let malloc = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        unsafe { runtime.malloc(ptr_arr, bytes, group_id(group)?) }
    };
    code(malloc())
}

/// `ARMCI_Malloc_group_memdev`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Malloc_group_memdev(
    ptr_arr: *mut *mut c_void,
    bytes: c_long,
    group: *mut c_int,
    _device: *const c_char,
) -> c_int {
    // SAFETY: by the caller.
    unsafe { PARMCI_Malloc_group(ptr_arr, bytes, group) }
}

/// `ARMCI_Free`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Free(ptr: *mut c_void) -> c_int {
    code(Runtime::ready().and_then(|runtime| runtime.memory.free(ptr, None)))
}

/// `ARMCI_Free_memdev`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Free_memdev(ptr: *mut c_void) -> c_int {
    PARMCI_Free(ptr)
}

/// `ARMCI_Free_group`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Free_group(ptr: *mut c_void, group: *mut c_int) -> c_int {
    let free = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        let id = unsafe { group_id(group)? };
        runtime.groups.get(id)?;
        runtime.memory.free(ptr, Some(id))
    };
    code(free())
}

/// `ARMCI_Malloc_local`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Malloc_local(bytes: c_long) -> *mut c_void {
    let memory = Runtime::ready().and_then(|runtime| runtime.malloc_local(length(bytes)?));
    memory.map_or(null_mut(), |memory| memory.as_ptr().cast())
}

/// `ARMCI_Free_local`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Free_local(ptr: *mut c_void) -> c_int {
    code(Runtime::ready().and_then(|runtime| runtime.memory.free_local(runtime.armci, ptr)))
}

/// `armci_meminfo_t`.
#[derive(Debug)]
#[repr(C)]
pub struct MemoryInfo {
    armci_addr: *mut c_char,
    addr: *mut c_char,
    size: usize,
    cpid: c_int,
    idlist: [c_long; 128],
}

/// `ARMCI_Memget`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Memget(bytes: usize, meminfo: *mut MemoryInfo, memflg: c_int) {
    let get = || {
        let runtime = Runtime::ready()?;
        if meminfo.is_null() {
            return Err(Refusal::Local);
        }
        if bytes == 0 || memflg != 0 {
            return Err(Refusal::Length);
        }
        let addr = runtime.malloc_local(bytes)?.as_ptr().cast();
        let cpid = runtime.armci.rank() as c_int;
        // SAFETY: by the caller.
        unsafe {
            meminfo.write(MemoryInfo {
                armci_addr: addr,
                addr,
                size: bytes,
                cpid,
                idlist: [0; 128],
            })
        };
        Ok(())
    };
    or_die("ARMCI_Memget", get());
}

/// `ARMCI_Memat`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Memat(meminfo: *mut MemoryInfo, offset: c_long) -> *mut c_void {
    let attach = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        let info = unsafe { meminfo.as_ref() }.ok_or(Refusal::Local)?;
        let rank = runtime.rank(info.cpid)?;
        let offset = length(offset)?;
        if info.armci_addr.is_null() || offset > info.size {
            return Err(Refusal::Remote);
        }
        if rank != runtime.armci.rank() {
            runtime.memory.know(rank, info.armci_addr.addr() as u64, info.size as u64);
        }
        Ok(info.armci_addr.wrapping_add(offset).cast())
    };
    attach().unwrap_or(null_mut())
}

/// `ARMCI_Memdt`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Memdt(_meminfo: *mut MemoryInfo, _offset: c_long) {}

/// `ARMCI_Memctl`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Memctl(meminfo: *mut MemoryInfo) {
    let free = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        let info = unsafe { meminfo.as_ref() }.ok_or(Refusal::Local)?;
        if info.cpid != runtime.armci.rank() as c_int {
            return Ok(());
        }
        runtime.memory.free_local(runtime.armci, info.addr.cast())
    };
    or_die("ARMCI_Memctl", free());
}

/// `ARMCI_Access_begin`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Access_begin(_ptr: *mut c_void) {}

/// `ARMCI_Access_end`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Access_end(_ptr: *mut c_void) {}

weak_aliases! {
    ARMCI_Malloc => PARMCI_Malloc;
    ARMCI_Malloc_memdev => PARMCI_Malloc_memdev;
    ARMCI_Malloc_group => PARMCI_Malloc_group;
    ARMCI_Malloc_group_memdev => PARMCI_Malloc_group_memdev;
    ARMCI_Free => PARMCI_Free;
    ARMCI_Free_memdev => PARMCI_Free_memdev;
    ARMCI_Free_group => PARMCI_Free_group;
    ARMCI_Malloc_local => PARMCI_Malloc_local;
    ARMCI_Free_local => PARMCI_Free_local;
    ARMCI_Memget => PARMCI_Memget;
    ARMCI_Memat => PARMCI_Memat;
    ARMCI_Memdt => PARMCI_Memdt;
    ARMCI_Memctl => PARMCI_Memctl;
    ARMCI_Access_begin => PARMCI_Access_begin;
    ARMCI_Access_end => PARMCI_Access_end;
}

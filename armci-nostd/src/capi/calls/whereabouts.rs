//! Questions about where ranks are.

use core::ffi::{c_int, c_ulong};

use crate::capi::alias::weak_aliases;
use crate::capi::runtime::Runtime;

/// `armci_domain_nprocs`. Every rank is a domain: other ranks' memory is never to be touched
/// directly.
#[unsafe(no_mangle)]
pub extern "C" fn armci_domain_nprocs(_domain: c_int, id: c_int) -> c_int {
    (id < Runtime::attached().armci.size() as c_int).into()
}

/// `armci_domain_id`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_domain_id(_domain: c_int, glob_proc_id: c_int) -> c_int {
    Runtime::attached().rank(glob_proc_id).map_or(-1, |rank| rank as c_int)
}

/// `armci_domain_glob_proc_id`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_domain_glob_proc_id(domain: c_int, id: c_int, loc_proc_id: c_int) -> c_int {
    if loc_proc_id == 0 { armci_domain_id(domain, id) } else { -1 }
}

/// `armci_domain_my_id`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_domain_my_id(_domain: c_int) -> c_int {
    Runtime::attached().armci.rank() as c_int
}

/// `armci_domain_count`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_domain_count(_domain: c_int) -> c_int {
    Runtime::attached().armci.size() as c_int
}

/// `armci_domain_same_id`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_domain_same_id(_domain: c_int, proc: c_int) -> c_int {
    PARMCI_Same_node(proc)
}

/// `armci_sameclusnode`.
#[unsafe(no_mangle)]
pub extern "C" fn armci_sameclusnode(proc: c_int) -> c_int {
    PARMCI_Same_node(proc)
}

/// `ARMCI_Same_node`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Same_node(proc: c_int) -> c_int {
    (proc == Runtime::attached().armci.rank() as c_int).into()
}

/// `ARMCI_Uses_shm`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Uses_shm() -> c_int {
    0
}

/// `ARMCI_Uses_shm_grp`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Uses_shm_grp(_group: *mut c_int) -> c_int {
    0
}

/// `ARMCI_Set_shm_limit`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Set_shm_limit(_limit: c_ulong) {}

/// `ARMCI_Set_shmem_limit`.
#[unsafe(no_mangle)]
pub extern "C" fn PARMCI_Set_shmem_limit(_limit: c_ulong) {}

weak_aliases! {
    ARMCI_Same_node => PARMCI_Same_node;
    ARMCI_Uses_shm => PARMCI_Uses_shm;
    ARMCI_Uses_shm_grp => PARMCI_Uses_shm_grp;
    ARMCI_Set_shm_limit => PARMCI_Set_shm_limit;
    ARMCI_Set_shmem_limit => PARMCI_Set_shmem_limit;
}

//! Groups.

use core::ffi::c_int;
use std::prelude::v1::*;
use std::rc::Rc;

use crate::capi::alias::weak_aliases;
use crate::capi::convert::{group_id, length};
use crate::capi::groups::WORLD;
use crate::capi::refusal::Refusal;
use crate::capi::runtime::{Runtime, code, or_die};

impl Runtime {
    /// # Safety
    /// `pid_list` must be null or have `n` numbers, `group_out` null or valid.
    unsafe fn create(
        &self,
        n: c_int,
        pid_list: *const c_int,
        group_out: *mut c_int,
        parent: c_int,
    ) -> Result<(), Refusal> {
        let parent = self.groups.get(parent)?;
        let n = length(n)?;
        if group_out.is_null() || (n != 0 && pid_list.is_null()) {
            return Err(Refusal::Local);
        }
        let mut members = Vec::with_capacity(n);
        for at in 0..n {
            // SAFETY: by the caller.
            let member = unsafe { pid_list.add(at).read() };
            members.push(usize::try_from(member).map_err(|_| Refusal::Rank(member))?);
        }
        let group = parent.create_child(self.armci, &members)?;
        // SAFETY: by the caller.
        unsafe { group_out.write(self.groups.keep(group)) };
        Ok(())
    }

    /// Gives a group up.
    pub(in crate::capi) fn free_group(&self, id: c_int) -> Result<(), Refusal> {
        if id == WORLD {
            return Ok(());
        }
        let Some(group) = self.groups.give_up(id)? else { return Ok(()) };
        self.memory.reclaim(self.armci, id, &group)?;
        // If mutexes of the group are left it stays with them.
        Rc::try_unwrap(group).map_or(Ok(()), |group| Ok(group.free(self.armci)?))
    }
}

/// `ARMCI_Group_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Group_create(
    n: c_int,
    pid_list: *mut c_int,
    group_out: *mut c_int,
) {
    let create = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        unsafe { runtime.create(n, pid_list, group_out, runtime.groups.default.get()) }
    };
    or_die("ARMCI_Group_create", create());
}

/// `ARMCI_Group_create_child`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Group_create_child(
    n: c_int,
    pid_list: *mut c_int,
    group_out: *mut c_int,
    group_parent: *mut c_int,
) {
    let create = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        unsafe { runtime.create(n, pid_list, group_out, group_id(group_parent)?) }
    };
    or_die("ARMCI_Group_create_child", create());
}

/// `ARMCI_Group_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Group_free(group: *mut c_int) {
    let free = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        runtime.free_group(unsafe { group_id(group)? })
    };
    or_die("ARMCI_Group_free", free());
}

/// `ARMCI_Group_rank`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Group_rank(group: *mut c_int, rank: *mut c_int) -> c_int {
    let own = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        Ok(runtime.groups.get(unsafe { group_id(group)? })?.rank() as c_int)
    };
    let own = own();
    // SAFETY: by the caller.
    if let Some(rank) = unsafe { rank.as_mut() } {
        *rank = *own.as_ref().unwrap_or(&-1);
    }
    code(own.map(drop))
}

/// `ARMCI_Group_size`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Group_size(group: *mut c_int, size: *mut c_int) {
    let members = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        Ok::<_, Refusal>(runtime.groups.get(unsafe { group_id(group)? })?.size() as c_int)
    };
    // SAFETY: by the caller.
    if let Some(size) = unsafe { size.as_mut() } {
        *size = members().unwrap_or(0);
    }
}

/// `ARMCI_Group_set_default`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Group_set_default(group: *mut c_int) {
    let set = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        let id = unsafe { group_id(group)? };
        runtime.groups.get(id)?;
        runtime.groups.default.set(id);
        Ok(())
    };
    or_die("ARMCI_Group_set_default", set());
}

/// `ARMCI_Group_get_default`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Group_get_default(group_out: *mut c_int) {
    // SAFETY: by the caller.
    if let Some(group) = unsafe { group_out.as_mut() } {
        *group = Runtime::get().map_or(WORLD, |runtime| runtime.groups.default.get());
    }
}

/// `ARMCI_Group_get_world`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Group_get_world(group_out: *mut c_int) {
    // SAFETY: by the caller.
    if let Some(group) = unsafe { group_out.as_mut() } {
        *group = WORLD;
    }
}

/// `ARMCI_Absolute_id`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PARMCI_Absolute_id(group: *mut c_int, group_rank: c_int) -> c_int {
    let absolute = || {
        // SAFETY: by the caller.
        let group = Runtime::ready()?.groups.get(unsafe { group_id(group)? })?;
        let member = usize::try_from(group_rank).map_err(|_| Refusal::Rank(group_rank))?;
        Ok::<_, Refusal>(group.absolute(member)? as c_int)
    };
    absolute().unwrap_or(-1)
}

/// `ARMCIX_Group_split`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ARMCIX_Group_split(
    parent: *mut c_int,
    color: c_int,
    key: c_int,
    new_group: *mut c_int,
) -> c_int {
    let split = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        let parent = runtime.groups.get(unsafe { group_id(parent)? })?;
        // SAFETY: by the caller.
        let new_group = unsafe { new_group.as_mut() }.ok_or(Refusal::Local)?;
        *new_group = runtime.groups.keep(parent.split(runtime.armci, color, key)?);
        Ok(())
    };
    code(split())
}

/// `ARMCIX_Group_dup`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ARMCIX_Group_dup(parent: *mut c_int, new_group: *mut c_int) -> c_int {
    let duplicate = || {
        let runtime = Runtime::ready()?;
        // SAFETY: by the caller.
        let parent = runtime.groups.get(unsafe { group_id(parent)? })?;
        // SAFETY: by the caller.
        let new_group = unsafe { new_group.as_mut() }.ok_or(Refusal::Local)?;
        *new_group = runtime.groups.keep(Some(parent.duplicate(runtime.armci)?));
        Ok(())
    };
    code(duplicate())
}

weak_aliases! {
    ARMCI_Group_create => PARMCI_Group_create;
    ARMCI_Group_create_child => PARMCI_Group_create_child;
    ARMCI_Group_free => PARMCI_Group_free;
    ARMCI_Group_rank => PARMCI_Group_rank;
    ARMCI_Group_size => PARMCI_Group_size;
    ARMCI_Group_set_default => PARMCI_Group_set_default;
    ARMCI_Group_get_default => PARMCI_Group_get_default;
    ARMCI_Group_get_world => PARMCI_Group_get_world;
    ARMCI_Absolute_id => PARMCI_Absolute_id;
}

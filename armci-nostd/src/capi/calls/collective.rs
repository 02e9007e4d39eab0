//! Barriers, broadcasts, and trees: `armci_msg_*` for many ranks.

use core::ffi::{c_int, c_void};

use crate::capi::alias::weak_aliases;
use crate::capi::convert::{bytes_mut, length};
use crate::capi::refusal::Refusal;
use crate::capi::runtime::{Runtime, or_die};
use crate::capi::scope::{SCOPE_ALL, Scope};
use crate::team::group::Group;
use crate::team::message::Sender;

/// Context of messages with which [`armci_grp_clus_brdcst`] is made; those below are the runtime's.
const BROADCAST: u32 = 2;

impl Runtime {
    /// Copies bytes of a rank of the world to all members of a group.
    unsafe fn broadcast(
        &self,
        scope: c_int,
        group: &Group,
        buffer: *mut c_void,
        len: c_int,
        root: c_int,
    ) -> Result<(), Refusal> {
        let member = group.member(self.rank(root)?).ok_or(Refusal::Rank(root))?;
        // SAFETY: by the caller.
        let data = unsafe { bytes_mut(buffer, length(len)?)? };
        match Scope::new(scope)? {
            Scope::All => Ok(group.broadcast(self.armci, member, data)?),
            Scope::Node => Ok(()),
        }
    }
}

/// `armci_msg_barrier`.
#[unsafe(no_mangle)]
pub extern "C" fn parmci_msg_barrier() {
    let barrier = || Ok(Runtime::attached().armci.barrier()?);
    or_die("armci_msg_barrier", barrier());
}

/// `armci_msg_group_barrier`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn parmci_msg_group_barrier(group: *mut c_int) {
    let barrier = || {
        let runtime = Runtime::attached();
        // SAFETY: by the caller.
        Ok(unsafe { runtime.groups.at_or_world(group)? }.barrier(runtime.armci)?)
    };
    or_die("armci_msg_group_barrier", barrier());
}

/// `armci_msg_bcast_scope`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_msg_bcast_scope(
    scope: c_int,
    buffer: *mut c_void,
    len: c_int,
    root: c_int,
) {
    let runtime = Runtime::attached();
    // SAFETY: by the caller.
    let outcome = unsafe { runtime.broadcast(scope, runtime.armci.world(), buffer, len, root) };
    or_die("armci_msg_bcast_scope", outcome);
}

/// `armci_msg_bcast`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_msg_bcast(buffer: *mut c_void, len: c_int, root: c_int) {
    let runtime = Runtime::attached();
    // SAFETY: by the caller.
    let outcome = unsafe { runtime.broadcast(SCOPE_ALL, runtime.armci.world(), buffer, len, root) };
    or_die("armci_msg_bcast", outcome);
}

/// `armci_msg_brdcst`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_msg_brdcst(buffer: *mut c_void, len: c_int, root: c_int) {
    let runtime = Runtime::attached();
    // SAFETY: by the caller.
    let outcome = unsafe { runtime.broadcast(SCOPE_ALL, runtime.armci.world(), buffer, len, root) };
    or_die("armci_msg_brdcst", outcome);
}

/// `armci_msg_clus_brdcst`: to the ranks that share memory with this one, of which there are none.
#[unsafe(no_mangle)]
pub extern "C" fn armci_msg_clus_brdcst(_buf: *mut c_void, _len: c_int) {}

/// `armci_msg_group_bcast_scope`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_msg_group_bcast_scope(
    scope: c_int,
    buf: *mut c_void,
    len: c_int,
    root: c_int,
    group: *mut c_int,
) {
    let runtime = Runtime::attached();
    let broadcast = || {
        // SAFETY: by the caller.
        unsafe {
            let group = runtime.groups.at_or_world(group)?;
            runtime.broadcast(scope, &group, buf, len, root)
        }
    };
    or_die("armci_msg_group_bcast_scope", broadcast());
}

/// `armci_grp_clus_brdcst`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_grp_clus_brdcst(
    buf: *mut c_void,
    len: c_int,
    grp_master: c_int,
    grp_clus_nproc: c_int,
    mastergroup: *mut c_int,
) {
    let runtime = Runtime::attached();
    let broadcast = || {
        let (root, count) = (runtime.rank(grp_master)?, length(grp_clus_nproc)?);
        // SAFETY: by the caller.
        let (group, data) =
            unsafe { (runtime.groups.at_or_world(mastergroup)?, bytes_mut(buf, length(len)?)?) };
        if group.rank() >= count {
            return Ok(());
        }
        if root != runtime.armci.rank() {
            runtime.armci.post.receive(runtime.armci, BROADCAST, Sender::Rank(root), None, data)?;
            return Ok(());
        }
        for member in 0..count.min(group.size()) {
            let rank = group.absolute(member)?;
            if rank != root {
                runtime.armci.post.send(runtime.armci, BROADCAST, rank, 0, data)?;
            }
        }
        Ok(())
    };
    or_die("armci_grp_clus_brdcst", broadcast());
}

/// Writes the places of this rank in a binary tree of a scope of a group.
unsafe fn tree(scope: c_int, group: &Group, out: [*mut c_int; 4]) -> Result<(), Refusal> {
    let own = group.absolute(group.rank())? as c_int;
    let (rank, size) = (group.rank(), group.size());
    let absolute = |member: usize| group.absolute(member).map_or(-1, |rank| rank as c_int);
    let values = match Scope::new(scope)? {
        Scope::Node => [own, -1, -1, -1],
        Scope::All => [
            absolute(0),
            rank.checked_sub(1).map_or(-1, |below| absolute(below / 2)),
            Some(2 * rank + 1).filter(|&left| left < size).map_or(-1, absolute),
            Some(2 * rank + 2).filter(|&right| right < size).map_or(-1, absolute),
        ],
    };
    for (out, value) in out.into_iter().zip(values) {
        if out.is_null() {
            return Err(Refusal::Local);
        }
        // SAFETY: by the caller.
        unsafe { out.write(value) };
    }
    Ok(())
}

/// `armci_msg_bintree`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_msg_bintree(
    scope: c_int,
    root: *mut c_int,
    up: *mut c_int,
    left: *mut c_int,
    right: *mut c_int,
) {
    // SAFETY: by the caller.
    let outcome =
        unsafe { tree(scope, Runtime::attached().armci.world(), [root, up, left, right]) };
    or_die("armci_msg_bintree", outcome);
}

/// `armci_msg_group_bintree`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_msg_group_bintree(
    scope: c_int,
    root: *mut c_int,
    up: *mut c_int,
    left: *mut c_int,
    right: *mut c_int,
    group: *mut c_int,
) {
    // SAFETY: by the caller.
    let outcome = unsafe {
        Runtime::attached()
            .groups
            .at_or_world(group)
            .and_then(|group| tree(scope, &group, [root, up, left, right]))
    };
    or_die("armci_msg_group_bintree", outcome);
}

weak_aliases! {
    armci_msg_barrier => parmci_msg_barrier;
    armci_msg_group_barrier => parmci_msg_group_barrier;
}

//! Communicators and receives under way: what `include/mpi/mpi.h` is made of.
//!
//! A communicator is a group: all ranks, the rank alone, or one that was made. Its messages are not
//! kept apart from those of others.

use core::ffi::{c_int, c_void};
use std::prelude::v1::*;

use crate::capi::calls::start::ARMCIX_Progress;
use crate::capi::convert::{bytes_mut, length};
use crate::capi::groups::{GroupInUse, WORLD};
use crate::capi::receives::Receive;
use crate::capi::refusal::Refusal;
use crate::capi::runtime::{Runtime, code, or_die};
use crate::team::message::{Received, Sender};

/// The header's `MPI_COMM_NULL`, `MPI_COMM_WORLD` and `MPI_COMM_SELF`. The others follow, in the
/// order of the groups.
const NO_COMM: c_int = 0;
const COMM_WORLD: c_int = 1;
const COMM_SELF: c_int = 2;

/// The header's `MPI_ANY_SOURCE`, and `MPI_ANY_TAG`.
const ANY: c_int = -1;
/// The header's `MPI_UNDEFINED`.
const UNDEFINED: c_int = -32766;

/// `ARMCI_COMM_WORLD`: the communicator of the ranks that ARMCI has.
#[unsafe(no_mangle)]
pub static ARMCI_COMM_WORLD: c_int = COMM_WORLD;

fn communicator(group: c_int) -> c_int {
    if group == WORLD { COMM_WORLD } else { group + COMM_SELF }
}

/// The number of a communicator's group, which is not the rank alone.
fn group_of(comm: c_int) -> Result<c_int, Refusal> {
    match comm {
        COMM_WORLD => Ok(WORLD),
        _ if comm > COMM_SELF => Ok(comm - COMM_SELF),
        _ => Err(Refusal::Communicator),
    }
}

impl Runtime {
    fn communicator(&self, comm: c_int) -> Result<GroupInUse, Refusal> {
        self.groups.get(group_of(comm)?).map_err(|_| Refusal::Communicator)
    }

    /// Refuses a communicator that has not all ranks in their order.
    pub(in crate::capi) fn check_all_ranks(&self, comm: c_int) -> Result<(), Refusal> {
        let all = || {
            let group = self.communicator(comm).ok()?;
            let in_order =
                (0..group.size()).all(|member| group.world_rank(member) == member as u32);
            (group.size() == self.armci.size() && in_order).then_some(())
        };
        all().ok_or(Refusal::SomeRanks)
    }
}

/// The communicator of a group.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn armci_group_comm(group: *mut c_int) -> c_int {
    let communicator = || {
        // SAFETY: by the caller.
        let id = unsafe { group.as_ref() }.copied().filter(|&id| id >= WORLD)?;
        Runtime::attached().groups.get(id).ok()?;
        Some(communicator(id))
    };
    communicator().unwrap_or(NO_COMM)
}

/// The group of a communicator, for `armci_msg_group_*`; below zero if there is none.
#[unsafe(no_mangle)]
pub extern "C" fn xenolith_mpi_group(comm: c_int) -> c_int {
    let runtime = Runtime::attached();
    runtime.communicator(comm).and_then(|_| group_of(comm)).unwrap_or(-1)
}

/// This rank's number in a communicator, and how many it has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenolith_mpi_place(
    comm: c_int,
    rank: *mut c_int,
    size: *mut c_int,
) -> c_int {
    let place = || {
        let (own, members) = match comm {
            COMM_SELF => (0, 1),
            _ => {
                let runtime = Runtime::attached();
                let group = runtime.communicator(comm)?;
                (group.rank(), group.size())
            }
        };
        for (out, value) in [(rank, own), (size, members)] {
            // SAFETY: by the caller.
            if let Some(out) = unsafe { out.as_mut() } {
                *out = value as c_int;
            }
        }
        Ok(())
    };
    code(place())
}

/// The rank in the world of a rank of a communicator; below zero if there is none.
#[unsafe(no_mangle)]
pub extern "C" fn xenolith_mpi_world_rank(comm: c_int, rank: c_int) -> c_int {
    let runtime = Runtime::attached();
    let absolute = |member| runtime.communicator(comm).ok()?.absolute(member).ok();
    usize::try_from(rank).ok().and_then(absolute).map_or(-1, |rank| rank as c_int)
}

/// `MPI_Comm_split`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenolith_mpi_split(
    comm: c_int,
    color: c_int,
    key: c_int,
    made: *mut c_int,
) -> c_int {
    let split = || {
        let runtime = Runtime::attached();
        // SAFETY: by the caller.
        let made = unsafe { made.as_mut() }.ok_or(Refusal::Local)?;
        *made = match comm {
            COMM_SELF if color < 0 => NO_COMM,
            COMM_SELF => COMM_SELF,
            _ => {
                let parent = runtime.communicator(comm)?;
                let group = parent.split(runtime.armci, color, key)?;
                group.map_or(NO_COMM, |group| communicator(runtime.groups.keep(Some(group))))
            }
        };
        Ok(())
    };
    code(split())
}

/// `MPI_Comm_free`.
#[unsafe(no_mangle)]
pub extern "C" fn xenolith_mpi_free(comm: c_int) -> c_int {
    let free = || match comm {
        COMM_WORLD | COMM_SELF => Ok(()),
        _ => Runtime::attached().free_group(group_of(comm)?),
    };
    code(free())
}

/// From whom and with which tag a message may come.
fn wanted(
    runtime: &Runtime,
    (from, tag, comm): (c_int, c_int, c_int),
) -> Result<(Sender, Option<i32>), Refusal> {
    let sender = match comm {
        COMM_SELF => Sender::Rank(runtime.armci.rank()),
        _ => match from {
            ANY => runtime.communicator(comm).map(|_| Sender::Any)?,
            from => {
                let member = usize::try_from(from).map_err(|_| Refusal::Rank(from))?;
                let group = runtime.communicator(comm)?;
                Sender::Rank(group.absolute(member).map_err(|_| Refusal::Rank(from))?)
            }
        },
    };
    Ok((sender, Some(tag).filter(|&tag| tag != ANY)))
}

/// Writes what the header's `MPI_Status` says: who in the communicator, tag, no error, bytes.
unsafe fn tell(runtime: &Runtime, comm: c_int, status: *mut c_int, received: Received) {
    let from = match comm {
        COMM_SELF => Some(0),
        _ => runtime.communicator(comm).ok().and_then(|group| group.member(received.from)),
    };
    let from = from.map_or(UNDEFINED, |member| member as c_int);
    if !status.is_null() {
        // SAFETY: by the caller.
        unsafe {
            status.cast::<[c_int; 4]>().write([from, received.tag, 0, received.bytes as c_int])
        };
    }
}

/// `MPI_Irecv`: returns the request's number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenolith_mpi_begin_receive(
    buffer: *mut c_void,
    bytes: c_int,
    from: c_int,
    tag: c_int,
    comm: c_int,
) -> c_int {
    let begin = || {
        let runtime = Runtime::attached();
        let (from, tag) = wanted(&runtime, (from, tag, comm))?;
        let len = length(bytes)?;
        let number = runtime.receives.last.get() + 1;
        runtime.receives.last.set(number);
        let receive = Receive { number, from, tag, comm, buffer, len, received: None };
        runtime.receives.begun.borrow_mut().push(receive);
        Ok(number)
    };
    or_die("MPI_Irecv", begin())
}

/// `MPI_Test` of a receive: 1 if it has ended, and is known no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenolith_mpi_has_received(request: c_int, status: *mut c_int) -> c_int {
    let test = || {
        let runtime = Runtime::attached();
        // SAFETY: by the caller.
        unsafe { runtime.receives.go_on(runtime.armci)? };
        let ended = runtime.receives.take_ended(request)?;
        if let Some((comm, received)) = ended {
            // SAFETY: by the caller.
            unsafe { tell(&runtime, comm, status, received) };
        }
        Ok(ended.is_some().into())
    };
    or_die("MPI_Wait", test())
}

/// `MPI_Wait` of a receive. It looks again and again: more than one message may be awaited.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenolith_mpi_wait_received(request: c_int, status: *mut c_int) {
    // SAFETY: by the caller.
    while unsafe { xenolith_mpi_has_received(request, status) } == 0 {
        let check = || Ok(Runtime::attached().armci.look_again(0).map(drop)?);
        or_die("MPI_Wait", check());
        ARMCIX_Progress();
    }
}

/// `MPI_Recv`: waits without looking if no other receive is under way.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenolith_mpi_receive(
    buffer: *mut c_void,
    bytes: c_int,
    from: c_int,
    tag: c_int,
    comm: c_int,
    status: *mut c_int,
) {
    if !Runtime::attached().receives.begun.borrow().is_empty() {
        // SAFETY: by the caller.
        unsafe {
            let request = xenolith_mpi_begin_receive(buffer, bytes, from, tag, comm);
            return xenolith_mpi_wait_received(request, status);
        }
    }
    let receive = || {
        let runtime = Runtime::attached();
        let (from, tag) = wanted(&runtime, (from, tag, comm))?;
        // SAFETY: by the caller.
        let data = unsafe { bytes_mut(buffer, length(bytes)?)? };
        let received = runtime.armci.receive(from, tag, data)?;
        // SAFETY: by the caller.
        unsafe { tell(&runtime, comm, status, received) };
        Ok(())
    };
    or_die("MPI_Recv", receive());
}

/// `MPI_Iprobe`: 1 if such a message has come that no receive under way will get.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xenolith_mpi_probe(
    from: c_int,
    tag: c_int,
    comm: c_int,
    status: *mut c_int,
) -> c_int {
    let probe = || {
        let runtime = Runtime::attached();
        // SAFETY: by whoever began them.
        unsafe { runtime.receives.go_on(runtime.armci)? };
        let (from, tag) = wanted(&runtime, (from, tag, comm))?;
        let come = runtime.armci.probe(from, tag)?;
        if let Some(come) = come {
            // SAFETY: by the caller.
            unsafe { tell(&runtime, comm, status, come) };
        }
        Ok(come.is_some().into())
    };
    let come = or_die("MPI_Iprobe", probe());
    if come == 0 {
        // It is called in loops.
        ARMCIX_Progress();
    }
    come
}

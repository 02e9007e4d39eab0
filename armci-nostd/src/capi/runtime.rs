//! What the C functions share: the rank, and what they remember from call to call.

use core::cell::Cell;
use core::ffi::c_int;
use core::fmt::Display;
use core::ops::Deref;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use std::prelude::v1::*;

use crate::api::armci::Armci;
use crate::capi::allocations::{Allocations, Sharing};
use crate::capi::groups::Groups;
use crate::capi::handles::Handles;
use crate::capi::mutex_sets::MutexSets;
use crate::capi::receives::Receives;
use crate::capi::refusal::Refusal;
use crate::capi::system::{SYSTEM, System, Turn};

/// Null, or a [`Runtime`] that lives forever.
static RUNTIME: AtomicPtr<Runtime> = AtomicPtr::new(null_mut());

/// What the C functions remember.
pub(super) struct Runtime {
    pub armci: &'static Armci,
    pub system: System,
    /// Whether ARMCI is in use: from `ARMCI_Init` to `ARMCI_Finalize`.
    pub initialised: Cell<bool>,
    pub memory: Allocations,
    pub handles: Handles,
    pub groups: Groups,
    pub mutexes: MutexSets,
    pub receives: Receives,
    /// By rank: notifications that were waited for.
    pub notices: Vec<Cell<c_int>>,
}

/// A call of C, in which its thread alone uses the runtime, unless it waits for another rank.
pub(super) struct Call {
    runtime: &'static Runtime,
    _turn: Turn,
}

impl Deref for Call {
    type Target = Runtime;

    #[inline]
    fn deref(&self) -> &Runtime {
        self.runtime
    }
}

impl Runtime {
    fn new(system: System) -> Self {
        let armci = (system.rank)();
        Self {
            armci,
            system,
            initialised: Cell::new(false),
            memory: Allocations::default(),
            handles: Handles::default(),
            groups: Groups::new(armci.world()),
            mutexes: MutexSets::default(),
            receives: Receives::default(),
            notices: (0..armci.size()).map(|_| Cell::new(0)).collect(),
        }
    }

    /// The runtime, if this process is a rank.
    #[inline]
    pub fn get() -> Option<Call> {
        let turn = Turn::take();
        // SAFETY: null, or from `attach`, which never frees what it has stored. Whoever has the
        // turn is the only thread that uses it.
        unsafe { RUNTIME.load(Ordering::Acquire).as_ref() }
            .map(|runtime| Call { runtime, _turn: turn })
    }

    /// The runtime; attaches this process if it is no rank yet.
    pub fn attached() -> Call {
        // Nobody may attach in between.
        let turn = Turn::take();
        let runtime = match Self::get() {
            Some(call) => call.runtime,
            None => Self::attach(),
        };
        Call { runtime, _turn: turn }
    }

    fn attach() -> &'static Self {
        let runtime = Box::leak(Box::new(Self::new(SYSTEM)));
        RUNTIME.store(runtime, Ordering::Release);
        runtime
    }

    /// The runtime, between `ARMCI_Init` and `ARMCI_Finalize`.
    #[inline]
    pub fn ready() -> Result<Call, Refusal> {
        Self::get().filter(|runtime| runtime.initialised.get()).ok_or(Refusal::NotInitialised)
    }

    /// A rank of the world.
    pub fn rank(&self, proc: c_int) -> Result<usize, Refusal> {
        usize::try_from(proc)
            .ok()
            .filter(|&rank| rank < self.armci.size())
            .ok_or(Refusal::Rank(proc))
    }

    /// Checks that `len` bytes of a rank at a remote address may be touched.
    pub fn sharing(&self, rank: usize, remote: u64, len: usize) -> Result<Sharing, Refusal> {
        let end = remote.checked_add(len as u64).ok_or(Refusal::Remote)?;
        self.memory.sharing(self.armci, rank, remote..end)
    }

    /// Ends this rank, and with it the job, with a line for the user.
    pub fn end(&self, status: u8, line: impl Display) -> ! {
        (self.system.say)(&format!("rank {}: {line}", self.armci.rank()));
        (self.system.end)(status)
    }
}

/// What a function returns that can be refused. If the job has failed the rank ends here.
pub(super) fn number(outcome: Result<c_int, Refusal>) -> c_int {
    outcome.unwrap_or_else(|refusal| {
        end_with_job(refusal);
        refusal.number()
    })
}

/// The same for a function that returns nothing else.
pub(super) fn code(outcome: Result<(), Refusal>) -> c_int {
    number(outcome.map(|()| 0))
}

/// Does what works between `ARMCI_Init` and `ARMCI_Finalize` only. The turn ends when the number is
/// known: so a short call need not keep a whole refusal until then.
#[inline]
pub(super) fn code_of(work: impl FnOnce(&Runtime) -> Result<(), Refusal>) -> c_int {
    match Runtime::ready() {
        Ok(runtime) => code(work(&runtime)),
        Err(refusal) => code(Err(refusal)),
    }
}

/// For a function that has no way to return an error: ends the job instead.
pub(super) fn or_die<T>(function: &str, outcome: Result<T, Refusal>) -> T {
    outcome.unwrap_or_else(|refusal| {
        end_with_job(refusal);
        Runtime::attached().end(1, format_args!("{function}: {refusal}"))
    })
}

/// Ends the rank without a word if there is no job any more.
fn end_with_job(refusal: Refusal) {
    if let Some(runtime) = Runtime::get().filter(|_| refusal.ends_the_job()) {
        (runtime.system.end)(1)
    }
}

/// An exit status that says that something failed.
pub(super) fn exit_status(code: c_int) -> u8 {
    u8::try_from(code).ok().filter(|&status| status != 0).unwrap_or(1)
}

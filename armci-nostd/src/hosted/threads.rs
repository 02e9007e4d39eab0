//! Threads of a process that is a rank: one at a time uses the rank.
//!
//! A thread has its turn from the begin of a call to its end. While it waits for another rank,
//! which may in turn wait for another thread of this one, it gives its turn away; while it waits
//! for the proxy, which waits for nobody, it keeps it. A process with one thread needs no turns,
//! and pays for none.

use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Looks with a yield in between, before a thread sleeps between two looks.
const YIELDS: u32 = 200;
/// How long it sleeps then.
const SLEEP: Duration = Duration::from_micros(50);

static TURN: Mutex<()> = Mutex::new(());
/// The thread whose turn was the first.
static FIRST: AtomicUsize = AtomicUsize::new(0);
/// Whether another one has had a turn. Until then a thread that waits may block.
static SEVERAL: AtomicBool = AtomicBool::new(false);

std::thread_local! {
    /// The turn of this thread, if it has one. Not dropped with the thread: what runs at the end of
    /// the process may still call.
    static OWN: Cell<Option<ManuallyDrop<MutexGuard<'static, ()>>>> = const { Cell::new(None) };
    /// Calls that this thread is in, one within the other.
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// Whether this process has one thread, and so nobody else can come in between.
#[inline]
fn is_single() -> bool {
    #[cfg(target_env = "gnu")]
    {
        use core::sync::atomic::AtomicI8;
        unsafe extern "C" {
            #[allow(non_upper_case_globals, reason = "the C library's name")]
            static __libc_single_threaded: AtomicI8;
        }
        // SAFETY: a `char` of the C library, which it clears before it starts a second thread.
        unsafe { __libc_single_threaded.load(Ordering::Relaxed) != 0 }
    }
    #[cfg(not(target_env = "gnu"))]
    false
}

/// A thread's turn. It may take another one within.
#[must_use]
pub(crate) struct Turn {
    counted: bool,
    /// It ends in the thread in which it began.
    _here: PhantomData<*const ()>,
}

impl Turn {
    /// Waits until it is this thread's turn.
    #[inline]
    pub(crate) fn take() -> Self {
        let counted = !is_single();
        if counted {
            begin();
        }
        Self { counted, _here: PhantomData }
    }
}

impl Drop for Turn {
    #[inline]
    fn drop(&mut self) {
        if self.counted {
            end();
        }
    }
}

// Out of the way of processes with one thread.
#[cold]
#[inline(never)]
fn begin() {
    let within = CALLS.get();
    if within == 0 {
        regain();
        let this = CALLS.with(|calls| core::ptr::from_ref(calls).addr());
        // Whoever has the turn is the only writer.
        match FIRST.load(Ordering::Relaxed) {
            0 => FIRST.store(this, Ordering::Relaxed),
            first if first != this => SEVERAL.store(true, Ordering::Relaxed),
            _ => (),
        }
    }
    CALLS.set(within + 1);
}

#[cold]
#[inline(never)]
fn end() {
    let within = CALLS.get() - 1;
    CALLS.set(within);
    if within == 0 {
        give_away();
    }
}

fn regain() {
    // Nothing is protected by the lock that a panic could have left half done.
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    OWN.set(Some(ManuallyDrop::new(turn)));
}

/// False if it was not this thread's turn.
fn give_away() -> bool {
    OWN.take().map(ManuallyDrop::into_inner).is_some()
}

/// Lets other threads have their turns between two looks at what another rank does. False if there
/// are none: then the thread may block.
pub(super) fn let_others(looks: u32) -> bool {
    if !SEVERAL.load(Ordering::Relaxed) || !give_away() {
        return false;
    }
    if looks < YIELDS {
        thread::yield_now();
    } else {
        thread::sleep(SLEEP);
    }
    regain();
    true
}

/// Does something while other threads may have their turns. It is told whether they may.
pub(super) fn meanwhile<T>(work: impl FnOnce(bool) -> T) -> T {
    let given_away = give_away();
    let done = work(given_away);
    if given_away {
        regain();
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_at_a_time_has_its_turn_and_gives_it_away_when_it_waits() {
        static IN: AtomicBool = AtomicBool::new(false);
        static LET: AtomicBool = AtomicBool::new(false);
        let turns = || {
            for _ in 0..1000 {
                let _turn = Turn::take();
                let _within = Turn::take();
                assert!(!IN.swap(true, Ordering::Relaxed));
                assert!(IN.swap(false, Ordering::Relaxed));
            }
            // Waits for the other thread within its own turn.
            let _turn = Turn::take();
            let mut looks = 0;
            while !LET.load(Ordering::Relaxed) {
                if let_others(looks) {
                    looks += 1;
                } else {
                    meanwhile(|_| thread::yield_now());
                }
            }
        };
        thread::scope(|scope| {
            scope.spawn(turns);
            scope.spawn(turns);
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(20));
                let _turn = Turn::take();
                LET.store(true, Ordering::Relaxed);
            });
        });
    }
}

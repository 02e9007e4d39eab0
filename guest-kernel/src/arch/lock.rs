//! Exclusive access on one virtual CPU.

use core::cell::{OnceCell, UnsafeCell};
use core::sync::atomic::{AtomicBool, Ordering};

use super::cpu::{interrupts_enabled, without_interrupts};

/// A value that is used with interrupts off, so that the event upcall and what it interrupts never
/// both use it.
pub(crate) struct IrqLock<T> {
    value: UnsafeCell<T>,
    taken: AtomicBool,
}

// SAFETY: there is one virtual CPU; with interrupts off nothing else runs, and `taken` catches a
// use within a use.
unsafe impl<T: Send> Sync for IrqLock<T> {}

impl<T> IrqLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        IrqLock { value: UnsafeCell::new(value), taken: AtomicBool::new(false) }
    }

    /// Uses the value.
    ///
    /// # Panics
    /// If it is in use already further up the call stack, which is a bug of the kernel's.
    pub(crate) fn with<R>(&self, with: impl FnOnce(&mut T) -> R) -> R {
        without_interrupts(|| {
            assert!(!self.taken.swap(true, Ordering::Relaxed), "a lock was taken twice");
            // SAFETY: `taken` was clear, so there is no other reference.
            let result = with(unsafe { &mut *self.value.get() });
            self.taken.store(false, Ordering::Relaxed);
            result
        })
    }
}

/// A value that is set once, at boot, and only read afterwards.
pub(crate) struct Once<T> {
    value: UnsafeCell<Option<T>>,
    set: AtomicBool,
}

// SAFETY: the value changes only in `set`, before which nobody has a reference to it.
unsafe impl<T: Send + Sync> Sync for Once<T> {}

impl<T> Once<T> {
    pub(crate) const fn new() -> Self {
        Once { value: UnsafeCell::new(None), set: AtomicBool::new(false) }
    }

    /// Sets the value.
    ///
    /// # Panics
    /// If it is set already.
    pub(crate) fn set(&self, value: T) -> &T {
        without_interrupts(|| {
            assert!(!self.set.load(Ordering::Relaxed), "set twice");
            // SAFETY: not set yet, so there are no references; interrupts are off, so none come to
            // be.
            unsafe { *self.value.get() = Some(value) };
            self.set.store(true, Ordering::Release);
        });
        self.get().unwrap_or_else(|| unreachable!())
    }

    /// The value, if it is set.
    pub(crate) fn get(&self) -> Option<&T> {
        if !self.set.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: set, and never changed again.
        unsafe { (*self.value.get()).as_ref() }
    }
}

/// A value that is made when it is first needed, and used by the application's flow of control
/// alone, never where events are dealt with: it need not be `Sync`.
pub(crate) struct MainOnce<T> {
    value: OnceCell<T>,
}

// SAFETY: there is one virtual CPU, and `check` lets in no code that runs with interrupts off. Such
// is all that interrupts the application, and nothing of it turns them on.
unsafe impl<T> Sync for MainOnce<T> {}

impl<T> MainOnce<T> {
    pub(crate) const fn new() -> Self {
        MainOnce { value: OnceCell::new() }
    }

    /// The value, made if there is none.
    ///
    /// # Panics
    /// With interrupts off, as in the upcall.
    pub(crate) fn get_or_make(&self, make: impl FnOnce() -> T) -> &T {
        Self::check();
        self.value.get_or_init(make)
    }

    /// The value, if it was made.
    ///
    /// # Panics
    /// With interrupts off, as in the upcall.
    pub(crate) fn get(&self) -> Option<&T> {
        Self::check();
        self.value.get()
    }

    fn check() {
        assert!(interrupts_enabled(), "this is for the application alone");
    }
}

//! Single-producer, single-consumer rings in memory shared with a side that may be hostile.
//!
//! The algorithms are apart from the memory they work on ([`Slots`]), so that the same code runs on
//! a guest's pages, in unit tests and under loom. Rules that hold for both sides:
//!
//! - an entry is copied out of shared memory once, and only the copy is looked at;
//! - indices come from the other side, so a distance larger than the ring is an error
//!   ([`IndexJumped`]), not an access;
//! - what a side wrote itself it keeps in a local, and never reads back.
//!
//! Indices are published once a batch: [`Producer::publish`], [`Consumer::release`]. Sleeping and
//! waking is [`Bell`]'s.

use crate::shared::sync::{AtomicU32, Ordering, fence};

/// The other side's index is farther from ours than the ring is long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ring index jumped: {theirs} against {ours} in a ring of {capacity} entries")]
pub struct IndexJumped {
    /// What the other side published.
    pub theirs: u32,
    /// Where this side is.
    pub ours: u32,
    /// Entries in the ring.
    pub capacity: u32,
}

/// Where a ring's entries lie.
pub trait Slots {
    /// One entry, any of whose bit patterns is a value.
    type Entry: Copy;

    /// Number of slots, a power of two.
    fn capacity(&self) -> u32;

    /// Copies the entry of slot `index` out, reading it once. `index` is below the capacity.
    fn read(&self, index: u32) -> Self::Entry;

    /// Puts `entry` into slot `index`, which is below the capacity.
    fn write(&self, index: u32, entry: Self::Entry);
}

/// The side that adds entries.
#[derive(Debug)]
pub struct Producer<'a, S> {
    slots: S,
    tail: &'a AtomicU32,
    head: &'a AtomicU32,
    /// Entries written, published or not.
    written: u32,
    /// The other side's head when last looked at.
    seen_head: u32,
}

impl<'a, S: Slots> Producer<'a, S> {
    /// Takes up the ring where its indices say that it is.
    pub fn new(slots: S, tail: &'a AtomicU32, head: &'a AtomicU32) -> Self {
        let written = tail.load(Ordering::Relaxed);
        Self { slots, tail, head, written, seen_head: head.load(Ordering::Acquire) }
    }

    /// Adds `entry`, to be seen by the other side after [`publish`](Self::publish). False when the
    /// ring is full.
    pub fn push(&mut self, entry: S::Entry) -> Result<bool, IndexJumped> {
        let capacity = self.slots.capacity();
        if self.written.wrapping_sub(self.seen_head) >= capacity {
            self.seen_head = self.head.load(Ordering::Acquire);
            let waiting = self.written.wrapping_sub(self.seen_head);
            if waiting > capacity {
                return Err(IndexJumped { theirs: self.seen_head, ours: self.written, capacity });
            }
            if waiting == capacity {
                return Ok(false);
            }
        }
        self.slots.write(self.written & (capacity - 1), entry);
        self.written = self.written.wrapping_add(1);
        Ok(true)
    }

    /// Lets the other side see all entries pushed so far.
    pub fn publish(&mut self) {
        self.tail.store(self.written, Ordering::Release);
    }
}

/// The side that takes entries.
#[derive(Debug)]
pub struct Consumer<'a, S> {
    slots: S,
    tail: &'a AtomicU32,
    head: &'a AtomicU32,
    /// Entries taken, released or not.
    taken: u32,
    /// The other side's tail when last looked at.
    seen_tail: u32,
}

impl<'a, S: Slots> Consumer<'a, S> {
    /// Takes up the ring where its indices say that it is.
    pub fn new(slots: S, tail: &'a AtomicU32, head: &'a AtomicU32) -> Self {
        let taken = head.load(Ordering::Relaxed);
        Self { slots, tail, head, taken, seen_tail: taken }
    }

    /// The next entry, if there is one.
    pub fn pop(&mut self) -> Result<Option<S::Entry>, IndexJumped> {
        if self.taken == self.seen_tail {
            let tail = self.tail.load(Ordering::Acquire);
            let capacity = self.slots.capacity();
            if tail.wrapping_sub(self.taken) > capacity {
                return Err(IndexJumped { theirs: tail, ours: self.taken, capacity });
            }
            self.seen_tail = tail;
            if tail == self.taken {
                return Ok(None);
            }
        }
        let entry = self.slots.read(self.taken & (self.slots.capacity() - 1));
        self.taken = self.taken.wrapping_add(1);
        Ok(Some(entry))
    }

    /// Undoes the last [`pop`](Self::pop), which has not been released: the next one takes that
    /// entry again.
    pub fn put_back(&mut self) {
        self.taken = self.taken.wrapping_sub(1);
    }

    /// Whether [`pop`](Self::pop) has something to say, an error included.
    pub fn has_entries(&self) -> bool {
        self.taken != self.seen_tail || self.tail.load(Ordering::Acquire) != self.taken
    }

    /// Gives the slots of all entries popped so far back to the other side.
    pub fn release(&mut self) {
        self.head.store(self.taken, Ordering::Release);
    }
}

/// A flag by which a side says that it is about to block and must be notified.
///
/// The sleeper calls [`arm`](Self::arm), looks once more whether there is work, and only then
/// blocks. The waker publishes its work, then calls [`take`](Self::take). Each does so with a full
/// fence between its store and its load, so that one of the two sees the other: no wake-up is lost.
#[derive(Clone, Copy, Debug)]
pub struct Bell<'a>(pub &'a AtomicU32);

impl Bell<'_> {
    /// From now on the other side notifies. The caller must look for work again before it blocks.
    pub fn arm(&self) {
        // An exchange, so that it has its place after an exchange of `take` that it did not see.
        self.0.swap(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Whether the other side wants to be notified of what was published before this call, by
    /// whoever then [takes](Self::take) it.
    pub fn is_armed(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Notifications are not wanted.
    pub fn disarm(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Whether the other side must be notified of what was published before this call. True at most
    /// once for each [`arm`](Self::arm).
    pub fn take(&self) -> bool {
        self.is_armed() && self.0.swap(0, Ordering::Relaxed) != 0
    }
}

/// Slots in plain shared memory.
#[cfg(not(loom))]
#[derive(Debug)]
pub struct SharedSlots<E> {
    base: *mut E,
    capacity: u32,
}

#[cfg(not(loom))]
impl<E> SharedSlots<E> {
    /// Slots at `base`.
    ///
    /// # Safety
    /// `base` must be aligned for `E` and valid for reads and writes of `capacity` entries as long
    /// as the value lives. The memory may be shared with another process or domain that changes it
    /// at any time, but no Rust reference to it may exist.
    ///
    /// # Panics
    /// If `capacity` is not a power of two.
    pub unsafe fn new(base: *mut E, capacity: u32) -> Self {
        assert!(capacity.is_power_of_two(), "a ring's capacity must be a power of two");
        Self { base, capacity }
    }
}

#[cfg(not(loom))]
// SAFETY: the memory is shared by design; who may touch a slot follows from the ring's indices.
unsafe impl<E: Send> Send for SharedSlots<E> {}

#[cfg(not(loom))]
impl<E: Copy + zerocopy::FromBytes> Slots for SharedSlots<E> {
    type Entry = E;

    fn capacity(&self) -> u32 {
        self.capacity
    }

    fn read(&self, index: u32) -> E {
        assert!(index < self.capacity);
        // SAFETY: in bounds and valid by `new`; volatile, since the other side may be writing; any
        // bits are an `E`.
        unsafe { self.base.add(index as usize).read_volatile() }
    }

    fn write(&self, index: u32, entry: E) {
        assert!(index < self.capacity);
        // SAFETY: in bounds and valid by `new`.
        unsafe { self.base.add(index as usize).write_volatile(entry) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::prelude::v1::*;
    use std::rc::Rc;

    use proptest::prelude::*;

    /// Slots in ordinary memory.
    #[derive(Clone)]
    struct Memory(Rc<RefCell<Vec<u64>>>);

    impl Memory {
        fn new(capacity: usize) -> Self {
            Self(Rc::new(RefCell::new(vec![0; capacity])))
        }
    }

    impl Slots for Memory {
        type Entry = u64;
        fn capacity(&self) -> u32 {
            self.0.borrow().len() as u32
        }
        fn read(&self, index: u32) -> u64 {
            self.0.borrow()[index as usize]
        }
        fn write(&self, index: u32, entry: u64) {
            self.0.borrow_mut()[index as usize] = entry;
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_bounded_queue(start in any::<u32>(), steps in proptest::collection::vec(0u8..4, 0..200)) {
            let (tail, head) = (AtomicU32::new(start), AtomicU32::new(start));
            let memory = Memory::new(8);
            let mut producer = Producer::new(memory.clone(), &tail, &head);
            let mut consumer = Consumer::new(memory, &tail, &head);
            let (mut unpublished, mut visible, mut unreleased) = (VecDeque::new(), VecDeque::new(), 0);
            let mut next = 0;
            for step in steps {
                match step {
                    0 => {
                        let pushed = producer.push(next).unwrap();
                        prop_assert_eq!(pushed, unpublished.len() + visible.len() + unreleased < 8);
                        if pushed {
                            unpublished.push_back(next);
                        }
                        next += 1;
                    }
                    1 => {
                        producer.publish();
                        visible.append(&mut unpublished);
                    }
                    2 => {
                        prop_assert_eq!(consumer.has_entries(), !visible.is_empty());
                        let popped = consumer.pop().unwrap();
                        prop_assert_eq!(popped, visible.pop_front());
                        unreleased += usize::from(popped.is_some());
                    }
                    _ => {
                        consumer.release();
                        unreleased = 0;
                    }
                }
            }
        }

        #[test]
        fn a_jumping_index_is_an_error(ours in any::<u32>(), theirs in any::<u32>()) {
            let (tail, head) = (AtomicU32::new(ours), AtomicU32::new(ours));
            let mut consumer = Consumer::new(Memory::new(8), &tail, &head);
            tail.store(theirs, Ordering::Relaxed);
            let result = consumer.pop();
            prop_assert_eq!(result.is_err(), theirs.wrapping_sub(ours) > 8);

            let (tail, head) = (AtomicU32::new(ours), AtomicU32::new(ours.wrapping_sub(8)));
            let mut producer = Producer::new(Memory::new(8), &tail, &head);
            head.store(theirs, Ordering::Relaxed);
            let result = producer.push(1);
            prop_assert_eq!(result.is_err(), ours.wrapping_sub(theirs) > 8);
        }
    }

    #[test]
    fn shared_slots_hold_entries() {
        let mut memory = [0u64; 4];
        // SAFETY: `memory` outlives the slots and is reached through them only.
        let slots = unsafe { SharedSlots::new(memory.as_mut_ptr(), 4) };
        slots.write(3, 7);
        assert_eq!((slots.read(3), slots.read(0)), (7, 0));
    }
}

/// The interleavings of a short run, by loom: `RUSTFLAGS="--cfg loom" cargo test -p armci-nostd
/// --release --lib`.
#[cfg(all(test, loom))]
mod model {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    /// Slots whose every access loom checks for data races.
    struct CheckedSlots([UnsafeCell<u32>; 2]);

    impl Slots for Arc<CheckedSlots> {
        type Entry = u32;
        fn capacity(&self) -> u32 {
            2
        }
        fn read(&self, index: u32) -> u32 {
            // SAFETY: loom reports any concurrent access.
            self.0[index as usize].with(|slot| unsafe { *slot })
        }
        fn write(&self, index: u32, entry: u32) {
            // SAFETY: loom reports any concurrent access.
            self.0[index as usize].with_mut(|slot| unsafe { *slot = entry })
        }
    }

    struct Shared {
        tail: AtomicU32,
        head: AtomicU32,
        asleep: AtomicU32,
        /// A doorbell that remembers, as event channels and eventfds do.
        rung: Mutex<bool>,
        bell: Condvar,
    }

    #[test]
    fn no_entry_is_torn_and_no_wake_up_is_lost() {
        const ENTRIES: u32 = 3;
        let mut model = loom::model::Builder::new();
        // All interleavings with up to three preemptions: seconds instead of hours, and enough for
        // every bug that this has shown.
        model.preemption_bound = Some(3);
        model.check(|| {
            let slots = Arc::new(CheckedSlots([UnsafeCell::new(0), UnsafeCell::new(0)]));
            let shared = Arc::new(Shared {
                tail: AtomicU32::new(0),
                head: AtomicU32::new(0),
                asleep: AtomicU32::new(0),
                rung: Mutex::new(false),
                bell: Condvar::new(),
            });
            let (producer_slots, producer_shared) = (slots.clone(), shared.clone());
            let producing = thread::spawn(move || {
                let shared = producer_shared;
                let mut producer = Producer::new(producer_slots, &shared.tail, &shared.head);
                for entry in 1..=ENTRIES {
                    while !producer.push(entry).unwrap() {
                        thread::yield_now();
                    }
                    producer.publish();
                    if Bell(&shared.asleep).take() {
                        *shared.rung.lock().unwrap() = true;
                        shared.bell.notify_one();
                    }
                }
            });
            let mut consumer = Consumer::new(slots, &shared.tail, &shared.head);
            let bell = Bell(&shared.asleep);
            let mut expected = 1;
            while expected <= ENTRIES {
                while let Some(entry) = consumer.pop().unwrap() {
                    assert_eq!(entry, expected);
                    expected += 1;
                    consumer.release();
                }
                if expected > ENTRIES {
                    break;
                }
                bell.arm();
                if !consumer.has_entries() {
                    // A lost wake-up is a deadlock here, which loom reports.
                    let mut rung = shared.rung.lock().unwrap();
                    while !*rung {
                        rung = shared.bell.wait(rung).unwrap();
                    }
                    *rung = false;
                }
                bell.disarm();
            }
            producing.join().unwrap();
        });
    }
}

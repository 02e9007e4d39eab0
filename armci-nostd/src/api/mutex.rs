//! Mutexes: `ARMCI_Create_mutexes`, `ARMCI_Lock`, `ARMCI_Unlock`.
//!
//! A queue lock (J. Mellor-Crummey, M. Scott, "Algorithms for Scalable Synchronization on
//! Shared-Memory Multiprocessors", 1991): a mutex is one word, the last in its queue; who comes
//! puts itself there by a swap and waits on a word of its own until the one before it hands the
//! mutex on. So mutexes are fair, and waiting makes no traffic.

use core::cell::RefCell;
use std::prelude::v1::*;

use crate::api::armci::Armci;
use crate::api::global::Global;
use crate::error::Error;
use crate::team::group::Group;

/// Mutexes that a rank can hold or wait for at a time.
const MOST_HELD: usize = 256;
/// Words of a place in a queue: whether it is its turn, and who comes next.
const WORDS: usize = 2;

/// The mutexes of a job, some on each rank.
#[derive(Debug)]
pub struct Mutexes {
    /// The last in the queue of each of a rank's mutexes, or zero.
    tails: Global<u64>,
    /// This rank's places in queues, `WORDS` words each.
    places: Global<u64>,
    /// Which place is in which queue.
    held: RefCell<Vec<Option<(usize, usize)>>>,
}

impl Mutexes {
    /// `ARMCI_Create_mutexes`, collective: `count` mutexes on this rank, reachable by all. Ranks
    /// may ask for different numbers, zero included.
    pub fn create(armci: &Armci, count: usize) -> Result<Self, Error> {
        Self::create_in(armci, armci.world(), count)
    }

    /// The same for the members of a group, collective in it. Members are meant by their ranks in
    /// the job.
    pub fn create_in(armci: &Armci, group: &Group, count: usize) -> Result<Self, Error> {
        let tails = armci.malloc_in(group, count)?;
        let all: u64 =
            tails.segment.parts().iter().map(|part| part.len / size_of::<u64>() as u64).sum();
        let most = all.min(MOST_HELD as u64) as usize;
        let places = match armci.malloc_in(group, most * WORDS) {
            Ok(places) => places,
            Err(error) => {
                armci.free_in(group, tails)?;
                return Err(error);
            }
        };
        Ok(Self { tails, places, held: RefCell::new(vec![None; most]) })
    }

    /// `ARMCI_Destroy_mutexes`, collective.
    pub fn destroy(self, armci: &Armci) -> Result<(), Error> {
        self.destroy_in(armci, armci.world())
    }

    /// The same, collective in the group for which they were created.
    pub fn destroy_in(self, armci: &Armci, group: &Group) -> Result<(), Error> {
        armci.free_in(group, self.places)?;
        armci.free_in(group, self.tails)
    }

    /// How many there are on a rank.
    pub fn count(&self, rank: usize) -> Result<usize, Error> {
        self.tails.place(rank, 0).map(|place| place.room)
    }

    /// `ARMCI_Lock`: waits until this rank holds mutex `mutex` of `rank`. Those who wait get it in
    /// the order in which they came.
    ///
    /// # Errors
    /// [`Error::Mutex`] if there is no such mutex, this rank holds it already, or holds 256 others.
    pub fn lock(&self, armci: &Armci, mutex: usize, rank: usize) -> Result<(), Error> {
        let (place, own) = self.enqueue(armci, mutex, rank)?;
        let tail = self.tails.place(rank, mutex)?;
        let before = armci.swap(tail, own)?;
        if before != 0 {
            let (other, theirs) = from_wire(before);
            armci.set_flag(self.places.place(other, theirs * WORDS + 1)?, own)?;
            armci.wait_flag(&self.places, place * WORDS, |turn| turn != 0)?;
        }
        Ok(())
    }

    /// Takes the mutex if it is free. False if it is not.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock).
    pub fn try_lock(&self, armci: &Armci, mutex: usize, rank: usize) -> Result<bool, Error> {
        let (place, own) = self.enqueue(armci, mutex, rank)?;
        let taken = armci.compare_swap(self.tails.place(rank, mutex)?, 0, own)? == 0;
        if !taken {
            self.held.borrow_mut()[place] = None;
        }
        Ok(taken)
    }

    /// `ARMCI_Unlock`: hands the mutex on. Whoever gets it next sees what this rank has put before.
    ///
    /// # Errors
    /// [`Error::Mutex`] if this rank does not hold it.
    pub fn unlock(&self, armci: &Armci, mutex: usize, rank: usize) -> Result<(), Error> {
        let place = self.held.borrow().iter().position(|held| *held == Some((mutex, rank)));
        let place =
            place.ok_or(Error::Mutex { mutex, rank, problem: "is not held by this rank" })?;
        armci.all_fence()?;
        let next_at = place * WORDS + 1;
        let mut next = self.places.load(next_at)?;
        if next == 0 {
            let own = to_wire(armci.rank(), place);
            if armci.compare_swap(self.tails.place(rank, mutex)?, own, 0)? == own {
                self.held.borrow_mut()[place] = None;
                return Ok(());
            }
            // Somebody has come, and is about to say who.
            next = armci.wait_flag(&self.places, next_at, |next| next != 0)?;
        }
        let (other, theirs) = from_wire(next);
        self.held.borrow_mut()[place] = None;
        armci.set_flag(self.places.place(other, theirs * WORDS)?, 1)
    }

    /// The rank that came last of those that hold the mutex or wait for it, if there is one.
    pub fn last_in_queue(
        &self,
        armci: &Armci,
        mutex: usize,
        rank: usize,
    ) -> Result<Option<usize>, Error> {
        let tail = armci.get_value(self.tails.place(rank, mutex)?)?;
        Ok((tail != 0).then(|| from_wire(tail).0))
    }

    /// A free place of this rank, made ready for the queue of a mutex.
    fn enqueue(&self, armci: &Armci, mutex: usize, rank: usize) -> Result<(usize, u64), Error> {
        let wrong = |problem| Error::Mutex { mutex, rank, problem };
        if rank >= armci.size() || mutex >= self.count(rank)? {
            return Err(wrong("does not exist"));
        }
        let mut held = self.held.borrow_mut();
        if held.contains(&Some((mutex, rank))) {
            return Err(wrong("is already held by this rank"));
        }
        let place = held
            .iter()
            .position(Option::is_none)
            .ok_or(wrong("is one more than the 256 that a rank can hold"))?;
        self.places.write(place * WORDS, &[0; WORDS])?;
        held[place] = Some((mutex, rank));
        Ok((place, to_wire(armci.rank(), place)))
    }
}

/// A place of a rank, as others know it; never zero.
fn to_wire(rank: usize, place: usize) -> u64 {
    (rank as u64 + 1) << 32 | place as u64
}

fn from_wire(word: u64) -> (usize, usize) {
    (((word >> 32) as usize).wrapping_sub(1), word as u32 as usize)
}

//! A rank's end of the ring: starts operations, notices their ends, waits.

use core::cell::{Cell, RefCell};
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, Ordering};
use std::prelude::v1::*;

use crate::error::Error;
use crate::path::platform::{Awaited, Platform};
use crate::shared::gate::Gate;
use crate::shared::ring::{Bell, Consumer, Producer, SharedSlots};
use crate::wire::area::{JobState, RuntimeArea};
use crate::wire::limits::{COMPLETIONS, SUBMISSIONS};
use crate::wire::request::{Completion, Request, Status};

/// A rank's end of the ring.
pub(crate) struct ProxyLink {
    platform: Box<dyn Platform>,
    area: &'static RuntimeArea,
    rings: RefCell<RingPair>,
    /// Operations under way, by tag.
    tags: Tags,
}

struct RingPair {
    submissions: Producer<'static, SharedSlots<Request>>,
    completions: Consumer<'static, SharedSlots<Completion>>,
}

/// An operation that was started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    tag: u32,
    generation: u32,
}

/// Which tags are in use. A tag is free again as soon as its operation has ended, whether or not
/// anybody waits for it: a [`Ticket`] of an earlier generation has ended.
struct Tags {
    free: Cell<u128>,
    /// Of those in use, the ones whose operations touch memory.
    busy: Cell<u128>,
    generations: [Cell<u32>; SUBMISSIONS as usize],
    values: [Cell<u64>; SUBMISSIONS as usize],
}

const _: () = assert!(SUBMISSIONS == u128::BITS, "one bit of `Tags::free` for each submission");

impl Tags {
    fn new() -> Self {
        Self {
            free: Cell::new(u128::MAX),
            busy: Cell::new(0),
            generations: [const { Cell::new(0) }; SUBMISSIONS as usize],
            values: [const { Cell::new(0) }; SUBMISSIONS as usize],
        }
    }

    fn take(&self) -> Option<Ticket> {
        let free = self.free.get();
        let tag = free.trailing_zeros();
        if tag == u128::BITS {
            return None;
        }
        self.free.set(free & !(1 << tag));
        Some(Ticket { tag, generation: self.generations[tag as usize].get() })
    }

    /// Notes the end of the operation with `tag`. False if there is none.
    fn end(&self, tag: u32, value: u64) -> bool {
        if tag >= u128::BITS || self.free.get() & (1 << tag) != 0 {
            return false;
        }
        let generation = &self.generations[tag as usize];
        generation.set(generation.get().wrapping_add(1));
        self.values[tag as usize].set(value);
        self.free.set(self.free.get() | 1 << tag);
        self.busy.set(self.busy.get() & !(1 << tag));
        true
    }

    fn ended(&self, ticket: Ticket) -> bool {
        self.generations[ticket.tag as usize].get() != ticket.generation
    }
}

/// A wait for another rank that the proxy can see, until it is dropped.
struct KnownWait<'a>(&'a AtomicU32);

impl<'a> KnownWait<'a> {
    fn begin(waits: &'a AtomicU32) -> Self {
        // Only this rank writes it.
        waits.store(waits.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        Self(waits)
    }
}

impl Drop for KnownWait<'_> {
    fn drop(&mut self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}

impl ProxyLink {
    /// Takes up the ring of `platform`, and waits until the proxy has attached the job.
    pub fn attach(platform: Box<dyn Platform>) -> Result<Self, Error> {
        let area = platform.area();
        let header = &area.header;
        // SAFETY: the slots lie in the area, which lives forever; nobody makes references to them.
        let (submissions, completions) = unsafe {
            (
                SharedSlots::new(area.submissions.get().cast(), SUBMISSIONS),
                SharedSlots::new(area.completions.get().cast(), COMPLETIONS),
            )
        };
        let link = Self {
            rings: RefCell::new(RingPair {
                submissions: Producer::new(
                    submissions,
                    &header.submission_tail.0,
                    &header.submission_head.0,
                ),
                completions: Consumer::new(
                    completions,
                    &header.completion_tail.0,
                    &header.completion_head.0,
                ),
            }),
            area,
            platform,
            tags: Tags::new(),
        };
        link.wait_until(Awaited::Proxy, || link.state() == JobState::Attached)?;
        Ok(link)
    }

    #[inline]
    pub fn platform(&self) -> &dyn Platform {
        &*self.platform
    }

    #[inline]
    pub fn area(&self) -> &'static RuntimeArea {
        self.area
    }

    /// The gate to the neighbours' memory.
    #[inline]
    pub fn gate(&self) -> Gate<'static> {
        let header = &self.area.header;
        Gate { epoch: &header.gate.0, inside: &header.inside.0 }
    }

    /// Whether the proxy is done with all that it was asked to do to memory, so that what is done
    /// now comes after it.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.tags.busy.get() == 0 || self.gets_quiet()
    }

    #[cold]
    fn gets_quiet(&self) -> bool {
        // An error comes back in whatever is done instead.
        self.drain().is_ok() && self.tags.busy.get() == 0
    }

    fn state(&self) -> JobState {
        JobState::from_wire(self.area.header.state.0.load(Ordering::Acquire))
    }

    /// Starts an operation; `request.tag` is filled in here.
    pub fn start(&self, mut request: Request) -> Result<Ticket, Error> {
        let ticket = loop {
            match self.tags.take() {
                Some(ticket) => break ticket,
                None => self.wait_until(Awaited::Proxy, || self.tags.free.get() != 0)?,
            }
        };
        request.tag = ticket.tag;
        if request.len != 0 {
            self.tags.busy.set(self.tags.busy.get() | 1 << ticket.tag);
        }
        // As many tags as slots: a free tag means a free slot as soon as the proxy has released it.
        while !self.push(request)? {
            spin_loop();
            self.check_alive()?;
        }
        if Bell(&self.area.header.proxy_asleep.0).take() {
            self.platform.notify();
        }
        Ok(ticket)
    }

    fn push(&self, request: Request) -> Result<bool, Error> {
        let submissions = &mut self.rings.borrow_mut().submissions;
        let pushed = submissions.push(request)?;
        submissions.publish();
        Ok(pushed)
    }

    /// Waits for the end of an operation and returns the completion's value.
    pub fn finish(&self, ticket: Ticket) -> Result<u64, Error> {
        self.wait_until(Awaited::Proxy, || self.tags.ended(ticket))?;
        Ok(self.tags.values[ticket.tag as usize].get())
    }

    /// Whether an operation has ended.
    pub fn test(&self, ticket: Ticket) -> Result<bool, Error> {
        self.drain()?;
        if !self.tags.ended(ticket) {
            self.check_alive()?;
        }
        Ok(self.tags.ended(ticket))
    }

    /// Notes all completions that are there.
    fn drain(&self) -> Result<(), Error> {
        let completions = &mut self.rings.borrow_mut().completions;
        let mut any = false;
        while let Some(completion) = completions.pop()? {
            any = true;
            if completion.status != u32::from(Status::Ok as u8) {
                return Err(Error::JobFailed);
            }
            if !self.tags.end(completion.tag, completion.value) {
                return Err(Error::StrayCompletion(completion.tag));
            }
        }
        if any {
            completions.release();
        }
        Ok(())
    }

    pub fn check_alive(&self) -> Result<(), Error> {
        match self.state() {
            JobState::Failed => Err(Error::JobFailed),
            _ => Ok(()),
        }
    }

    /// A pause between two looks at something that nobody rings for, so that it never blocks;
    /// returns the number of the next look.
    pub fn look_again(&self, looks: u32) -> u32 {
        if self.platform.pause(looks, Awaited::Rank) {
            return looks + 1;
        }
        // The rank that it is about may be waiting for this processor.
        self.platform.yield_now();
        looks
    }

    /// Waits until `ready`, noting completions meanwhile. `ready` must depend on completions, or on
    /// memory whose writer rings this rank's doorbell afterwards; `awaited` says on whom.
    pub fn wait_until(
        &self,
        awaited: Awaited,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), Error> {
        let bell = Bell(&self.area.mailbox.asleep.0);
        let mut looks = 0;
        let mut wait = None;
        loop {
            self.drain()?;
            if ready() {
                return Ok(());
            }
            self.check_alive()?;
            let let_in = awaited == Awaited::Rank && self.platform.let_threads_in(looks);
            if let_in || self.platform.pause(looks, awaited) {
                looks += 1;
                continue;
            }
            if awaited == Awaited::Rank {
                wait.get_or_insert_with(|| KnownWait::begin(&self.area.header.standing.waits));
            }
            bell.arm();
            let idle = !self.rings.borrow().completions.has_entries()
                && !ready()
                && self.check_alive().is_ok();
            let result = if idle { self.platform.wait(awaited) } else { Ok(()) };
            bell.disarm();
            result?;
        }
    }
}

//! Memory shared with the ranks in other domains of this host: what makes an operation between them
//! a copy.
//!
//! A rank [shares](share) pages and gets a token. Another rank, to which it has told its number,
//! the token and the length, [maps](map) them, and reads and writes them in place. For that both
//! must know which domains they are in: each rank asks for [its own](own_domain), the ranks tell
//! each other by ARMCI, and each [says](set_neighbours) what it was told. Nothing that a rank is
//! told is believed: with wrong numbers it maps nothing, or lets the wrong rank of its own job in,
//! or nobody.
//!
//! # Suspension
//!
//! Domains and references are bound to a place, and a domain must not be saved with pages of
//! another in it. So every suspension takes all mappings away, at whatever instruction it comes,
//! and changes the [generation]. Whoever uses a mapping [holds](hold) suspensions off, looks
//! whether the generation is still the one in which it was mapped, makes its access, and
//! [releases](release). In a new domain the neighbours are unknown besides, until they have told
//! where they are now; tokens stay what they are.

use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use armci_nostd::shared::gate::Gate;

use super::place;
use crate::arch::foreign::{self, ForeignMapping};
use crate::arch::landing::Landed;
use crate::arch::lock::IrqLock;
use crate::arch::{heap, runtime_area};
use crate::logic::grant_blocks;
use crate::logic::memory_map::Span;

use crate::xen::error::PartError;
use crate::xen::hold::Hold;
use crate::xen::part::Part;
use crate::xen::{grants, xenstore};

pub use crate::arch::foreign::ForeignError;
pub use crate::xen::error::GrantError;
pub use crate::xen::hold::{hold, release};

/// A number that is no domain's, for [`set_neighbours`].
pub const NO_DOMAIN: u32 = u32::MAX;

/// What is mapped.
static MAPPED: IrqLock<Vec<ForeignMapping>> = IrqLock::new(Vec::new());
/// How often all mappings have been taken away.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Why a neighbour's memory is not mapped, or still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The rank is no neighbour: it is this one, on another host, or has not told its domain.
    #[error("rank {0} is no neighbour")]
    NoNeighbour(u32),
    /// The length is not one of whole pages, or the token is none.
    #[error("no memory has this token and length")]
    BadToken,
    /// Nothing of this length is mapped at this address, or not any more.
    #[error("no such memory is mapped")]
    NotMapped,
    /// It could not be done.
    #[error(transparent)]
    Foreign(#[from] ForeignError),
}

/// The number of the domain that this rank is in, as xenstore says. It changes when the domain is
/// restored or moved.
///
/// None if xenstore does not say. Waits for xenstore.
pub fn own_domain() -> Option<u32> {
    let number = xenstore::read("domid").ok()?;
    str::from_utf8(&number).ok()?.trim().parse().ok()
}

/// Says which domains the job's ranks are in, by rank. What is no domain's number, such as
/// [`NO_DOMAIN`], says that the rank is no neighbour; this rank's own number does not matter. What
/// is shared already is granted to new neighbours.
///
/// # Errors
/// [`GrantError::InUse`] if a rank has changed its domain and the old one has shared memory mapped
/// still: then the rank does not get that memory. [`GrantError::NoMemory`] if there is none to
/// remember it; then nothing has changed.
pub fn set_neighbours(domains: &[u32]) -> Result<(), GrantError> {
    let own = place::rank();
    let mut known = Vec::new();
    known.try_reserve_exact(place::size() as usize).map_err(|_| GrantError::NoMemory)?;
    known.extend((0..place::size()).map(|rank| {
        let number = domains.get(rank as usize).copied().filter(|_| rank != own)?;
        grant_blocks::domain(number)
    }));
    grants::set_neighbours(known, own)
}

/// Lets all neighbours read and write the whole pages that hold these bytes. Memory must be the
/// heap's or the runtime area, begin at a page and be a whole number of pages: what else is in a
/// page would be shared too.
///
/// Returns a token: the first of `size - 1` blocks of grant references, one for each other rank.
/// Rank p's block is number p, or p - 1 if p is above this rank; it has a reference for each page,
/// consecutive.
///
/// # Errors
/// Any [`GrantError`] but `InUse`; often [`GrantError::NoReferences`]: max_grant_frames in xl.cfg
/// says how many there are.
pub fn share(memory: NonNull<u8>, len: usize) -> Result<u64, GrantError> {
    let span = shareable(memory, len)?;
    grants::share(span, place::rank(), place::size()).map(u64::from)
}

/// Withdraws what was [shared](share), with the token that it was given.
///
/// # Errors
/// [`GrantError::InUse`] if a neighbour still has a page mapped: it can change the memory until it
/// unmaps it or ends, so the memory must not be used for anything else. Nobody else can map it any
/// more. It can be tried again.
pub fn unshare(memory: NonNull<u8>, len: usize, token: u64) -> Result<(), GrantError> {
    let span = shareable(memory, len)?;
    grants::unshare(span, u32::try_from(token).map_err(|_| GrantError::NotShared)?)
}

/// Whole pages that other ranks may be let into.
fn shareable(memory: NonNull<u8>, len: usize) -> Result<Span, GrantError> {
    let address = memory.addr().get() as u64;
    let runtime = runtime_area::address();
    let runtime = Span { start: runtime, end: runtime + runtime_area::SIZE };
    let span = Span::sized(address, len as u64);
    let inside = [heap::span(), runtime]
        .iter()
        .any(|whole| whole.start <= span.start && span.end <= whole.end);
    match grant_blocks::pages(address, len) {
        Some(_) if inside => Ok(span),
        _ => Err(GrantError::NotShareable { address, len }),
    }
}

/// Maps what the neighbour `rank` shares under `token`, `len` bytes of it from its beginning on if
/// that was all: the length must be the one that was shared. Returns where it is, at the beginning
/// of a page.
///
/// The neighbour, and all others to whom it is shared, may change it at any moment: it is to be
/// used by raw copies and atomics only, and as the [module](self) says with suspensions held off.
///
/// # Errors
/// Any [`MapError`]; if the neighbour has not granted it, `Foreign` with what Xen says. Then
/// nothing is mapped.
pub fn map(rank: u32, token: u64, len: usize) -> Result<NonNull<u8>, MapError> {
    // From the reference to the mapping that is remembered, all belongs to one domain.
    let _held = Hold::new();
    let domain = grants::neighbour(rank).ok_or(MapError::NoNeighbour(rank))?;
    let references = grant_blocks::pages(0, len)
        .and_then(|pages| grant_blocks::references(token, rank, place::rank(), pages))
        .ok_or(MapError::BadToken)?;
    MAPPED.with(|mapped| mapped.try_reserve(1).map_err(|_| ForeignError::NoMemory))?;
    let mapping = foreign::map(domain, references)?;
    let address = mapping.address();
    MAPPED.with(|mapped| mapped.push(mapping));
    Ok(address)
}

/// Unmaps what was [mapped](map).
///
/// # Errors
/// [`MapError::NotMapped`] if it is not, also because a suspension has taken it away. `Foreign` if
/// Xen refuses: then the neighbour may find its memory in use forever.
pub fn unmap(mapped: NonNull<u8>, len: usize) -> Result<(), MapError> {
    let _held = Hold::new();
    let is_it = |mapping: &ForeignMapping| {
        mapping.address() == mapped && Some(mapping.pages() as u32) == grant_blocks::pages(0, len)
    };
    let mapping = MAPPED.with(|all| all.iter().position(is_it).map(|at| all.swap_remove(at)));
    Ok(foreign::unmap(mapping.ok_or(MapError::NotMapped)?)?)
}

/// Takes all mappings away. The [generation] changes.
pub fn unmap_all() {
    let _held = Hold::new();
    take_all_away();
}

/// Changes whenever all mappings have been taken away, as by a suspension: what was mapped in an
/// earlier generation is not there any more, and its addresses may be another mapping's.
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Bytes of the heap that are in use: for tests that look for leaks.
pub fn heap_used() -> usize {
    heap::usage().used
}

/// Gives back the gate to the neighbours' memory, which is about to be taken away, or where nobody
/// is to be. False if the rank is there now: it will leave soon, and have what it holds up
/// [go on](crate::xen::hold::go_on).
pub(crate) fn leave() -> bool {
    let header = &runtime_area::get().header;
    let gate = Gate { epoch: &header.gate.0, inside: &header.inside.0 };
    gate.give_back();
    gate.is_empty()
}

fn take_all_away() {
    for mapping in begin_generation() {
        // Xen refuses only what is not mapped, and then nothing is left to be done; the addresses
        // are not used again.
        let _ = foreign::unmap(mapping);
    }
}

/// What was mapped, and is to go.
fn begin_generation() -> Vec<ForeignMapping> {
    // ARMCI's too, which opens its gate again when it has mapped anew what it uses. Nobody is
    // inside: suspensions wait for that.
    leave();
    GENERATION.store(GENERATION.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    MAPPED.with(core::mem::take)
}

/// Memory of other domains.
pub(crate) struct NeighboursMemory;

impl Part for NeighboursMemory {
    fn name(&self) -> &'static str {
        "memory of neighbours"
    }

    fn suspend(&self) {
        take_all_away();
    }

    fn arrive(&self) -> Result<(), PartError> {
        // Nothing is mapped again by itself: the neighbours may have gone elsewhere.
        Ok(())
    }

    fn land(&self, landed: &Landed) -> Result<(), PartError> {
        begin_generation().into_iter().for_each(foreign::forget);
        // All grant what they share before any of them is let in again.
        let domain = |rank| landed.domain(rank).and_then(grant_blocks::domain);
        Ok(grants::neighbours_have_moved(domain, place::rank())?)
    }
}

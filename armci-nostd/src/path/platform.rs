//! What a rank needs of the system that it runs on, a unikernel or a Linux process.

use core::alloc::Layout;
use core::ops::Range;
use core::ptr::NonNull;

use crate::error::ProxyGone;
use crate::wire::area::{Mailbox, RuntimeArea};

/// Whom a rank waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The proxy.
    Proxy,
    /// Another rank.
    Rank,
}

/// What of another rank's memory this rank can reach by itself from the start.
#[derive(Clone, Debug)]
pub struct View {
    /// The other rank's mailbox, as it is mapped here.
    pub mailbox: NonNull<Mailbox>,
    /// The other rank's whole public memory; `None` where only what ranks
    /// [`share`](Platform::share) can be mapped, piece by piece.
    pub public: Option<PublicView>,
}

/// A rank's public memory as it is mapped here.
#[derive(Clone, Debug)]
pub struct PublicView {
    /// Its addresses at that rank.
    pub there: Range<u64>,
    /// Where its first byte is here.
    pub here: NonNull<u8>,
}

/// The system that a rank runs on, and its attachment to the proxy: all that differs between a
/// unikernel and a Linux process.
///
/// # Safety
/// [`area`](Self::area) must return the same area each time, and [`alloc`](Self::alloc) memory of
/// its own that stays valid until it is given to [`dealloc`](Self::dealloc), as
/// [`GlobalAlloc`](core::alloc::GlobalAlloc) does. What [`view`](Self::view) and [`map`](Self::map)
/// return must be mapped whole, and stay valid in the [generation](Self::generation) in which they
/// were called, or until it is given to [`unmap`](Self::unmap). A generation must end outside of
/// the gate, in this order: the gate is [given back](crate::shared::gate::Gate::give_back), nobody
/// is inside, the mappings go, and the generation changes.
pub unsafe trait Platform {
    /// The memory shared with the proxy.
    fn area(&self) -> &'static RuntimeArea;

    /// Rings the proxy's doorbell.
    fn notify(&self);

    /// Blocks until the rank's own doorbell has rung since the last call. May return early. Where
    /// another rank is awaited, other threads of this one may use it meanwhile.
    fn wait(&self, awaited: Awaited) -> Result<(), ProxyGone>;

    /// A short pause after `looks` looks that found nothing. False where it is better to block than
    /// to look again.
    fn pause(&self, looks: u32, awaited: Awaited) -> bool;

    /// Lets other threads of this rank use it, after `looks` looks at what another rank does;
    /// called only where nothing of the rank's state is borrowed. False where there are none.
    fn let_threads_in(&self, _looks: u32) -> bool {
        false
    }

    /// Whether the bytes at `address` lie in the window, so that the proxy can reach them.
    fn contains(&self, address: usize, len: usize) -> bool;

    /// The addresses of the public part of the window, which other ranks can reach.
    fn public(&self) -> Range<u64>;

    /// Zeroed memory in that part.
    fn alloc(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// Takes memory of [`alloc`](Self::alloc) back.
    ///
    /// # Safety
    /// `memory` must come from `alloc` of this platform with the same layout, and not be used
    /// afterwards.
    unsafe fn dealloc(&self, memory: NonNull<u8>, layout: Layout);

    /// How neighbours let this rank in: a number that [`meet`](Self::meet) of the others
    /// understands.
    fn identity(&self) -> u64 {
        0
    }

    /// Tells this rank the identities of all on its host; ranks of other hosts have none, since
    /// theirs may mean somebody else here. Called before any of the calls below, and again each
    /// time that ranks get acquainted anew.
    fn meet(&self, _identities: &[Option<u64>]) {}

    /// What can be reached of `rank` from the start, if it is a neighbour that can be reached.
    fn view(&self, _rank: usize) -> Option<View> {
        None
    }

    /// Whether this rank can [`ring`](Self::ring) at a neighbour's. Otherwise the proxy does.
    fn rings(&self) -> bool {
        false
    }

    /// Wakes the neighbour `rank`.
    fn ring(&self, _rank: usize) {}

    /// Processors that the ranks of this host share; `usize::MAX` where that is not known.
    fn processors(&self) -> usize {
        usize::MAX
    }

    /// Lets others have the processor for a moment.
    fn yield_now(&self) {}

    /// Bytes of a page, where memory is shared piece by piece: each piece is of whole pages.
    fn page(&self) -> Option<usize> {
        None
    }

    /// Lets neighbours map `memory`, whole pages of this rank. They need the token to do so. `None`
    /// if they cannot.
    fn share(&self, _memory: NonNull<u8>, _len: usize) -> Option<u64> {
        None
    }

    /// Takes back what [`share`](Self::share) gave. False if a neighbour still has it mapped: then
    /// the memory must not be used for anything else.
    fn unshare(&self, _memory: NonNull<u8>, _len: usize, _token: u64) -> bool {
        true
    }

    /// Maps `len` bytes that `rank` shares by `token`.
    fn map(&self, _rank: usize, _len: usize, _token: u64) -> Option<NonNull<u8>> {
        None
    }

    /// Undoes [`map`](Self::map).
    ///
    /// # Safety
    /// `mapped` must come from `map` with the same rank and length, and not be used afterwards.
    unsafe fn unmap(&self, _rank: usize, _mapped: NonNull<u8>, _len: usize) {}

    /// Changes whenever all that was mapped has been taken away, as by a suspension: what was
    /// mapped in an earlier generation is not there any more.
    fn generation(&self) -> u64 {
        0
    }

    /// The rank is out of its neighbours' memory, and has found the gate closed. An interrupt on
    /// this processor that closed it, found the rank inside and put off what it was about to do may
    /// do that now. (Whoever looks from another processor has to look again.)
    fn left(&self) {}
}

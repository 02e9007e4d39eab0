//! Memory shared piece by piece, where ranks cannot reach each other's whole windows: it is offered
//! to the neighbours, who map it when they first use it.

use core::ptr::NonNull;

use crate::path::neighbour::Offer;
use crate::path::paths::Paths;
use crate::shared::gate::CLOSED;

impl Paths {
    /// Bytes of a page, where memory is shared piece by piece.
    pub(crate) fn shared_page(&self) -> Option<usize> {
        self.platform()?.page()
    }

    /// Lets the neighbours map whole pages of this rank. They need the token to do so.
    pub(crate) fn share(&self, memory: NonNull<u8>, len: usize) -> Option<u64> {
        self.shared_page()?;
        self.platform()?.share(memory, len)
    }

    /// Takes back what [`share`](Self::share) gave. False if a neighbour still has it mapped.
    pub(crate) fn unshare(&self, memory: NonNull<u8>, len: usize, token: u64) -> bool {
        self.platform().is_none_or(|platform| platform.unshare(memory, len, token))
    }

    /// Notes what a rank shares, as it says itself, to be mapped when it is first used.
    pub(crate) fn note_offer(&self, rank: u32, address: u64, len: u64, token: u64) {
        if let Some(end) = address.checked_add(len)
            && let Some(neighbour) = self.acquaintance.borrow_mut().neighbour_mut(rank)
        {
            neighbour.offer(address..end, token);
        }
    }

    /// Maps what `rank` shares at `address` and nobody has used from here yet. False if there is no
    /// such thing.
    #[cold]
    pub(crate) fn map_on_demand(&self, rank: u32, address: u64) -> bool {
        let Some(platform) = self.platform() else { return false };
        let accept = || {
            if self.epoch.get() == CLOSED {
                return None;
            }
            self.acquaintance.borrow_mut().neighbour_mut(rank)?.accept(address)
        };
        let Some(Offer { there, token }) = accept() else { return false };
        // The length is another rank's word, so it may be any.
        let Some(len) = self.whole_pages(there.end - there.start) else { return false };
        // What cannot be mapped is reached by the proxy.
        let Some(here) = platform.map(rank as usize, len, token) else { return false };
        let mut acquaintance = self.acquaintance.borrow_mut();
        let neighbour = acquaintance.neighbour_mut(rank);
        neighbour.map(|neighbour| neighbour.add(there, here)).is_some()
    }

    /// Gives up what `rank` shares at `address`, which it is about to free.
    pub(crate) fn unmap(&self, rank: u32, address: u64) {
        let forget = || self.acquaintance.borrow_mut().neighbour_mut(rank)?.remove(address);
        if let (Some(platform), Some((here, len))) = (self.platform(), forget())
            && let Some(len) = self.whole_pages(len)
        {
            // SAFETY: mapped on demand with this rank and length; nothing leads there any more.
            unsafe { platform.unmap(rank as usize, here, len) };
        }
    }

    fn whole_pages(&self, len: u64) -> Option<usize> {
        usize::try_from(len).ok()?.checked_next_multiple_of(self.shared_page().unwrap_or(1))
    }
}

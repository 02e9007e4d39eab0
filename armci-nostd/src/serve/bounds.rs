//! The limits of a rank's memory: what a request may name.

use core::mem::offset_of;
use core::ops::Range;

use crate::error::{Fault, Side};
use crate::wire::area::{Mailbox, RuntimeArea};
use crate::wire::attach::WindowLayout;

/// The limits of a rank's memory, in the rank's own addresses: its layout, found to be possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// All that the proxy can reach.
    window: Range<u64>,
    /// The part that other ranks may touch.
    public: Range<u64>,
    /// The rank's mailbox.
    mailbox: Range<u64>,
}

/// A layout that cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Window, public range or runtime area wrap around the address space.
    #[error("its memory wraps around the address space")]
    Wraps,
    /// The public range does not lie in the window.
    #[error("its public range does not lie in its window")]
    PublicOutside,
    /// The runtime area does not lie in the window, or not on a page boundary.
    #[error("its runtime area does not lie on whole pages of its window")]
    RuntimeOutside,
    /// The public range covers the runtime area.
    #[error("its public range covers its runtime area")]
    Overlap,
}

impl Bounds {
    /// The limits that `layout` says.
    pub fn new(layout: &WindowLayout) -> Result<Self, LayoutError> {
        let end = layout.window.checked_add(layout.len).ok_or(LayoutError::Wraps)?;
        let runtime_end = layout
            .runtime
            .checked_add(size_of::<RuntimeArea>() as u64)
            .ok_or(LayoutError::Wraps)?;
        let public = layout.public_start..layout.public_end;
        if public.start < layout.window || public.end > end || public.start > public.end {
            return Err(LayoutError::PublicOutside);
        }
        let page = align_of::<RuntimeArea>() as u64;
        if layout.runtime < layout.window
            || runtime_end > end
            || !(layout.runtime - layout.window).is_multiple_of(page)
            || !layout.runtime.is_multiple_of(page)
        {
            return Err(LayoutError::RuntimeOutside);
        }
        if public.start < runtime_end && layout.runtime < public.end {
            return Err(LayoutError::Overlap);
        }
        let mailbox = layout.runtime + offset_of!(RuntimeArea, mailbox) as u64;
        Ok(Self {
            window: layout.window..end,
            public,
            mailbox: mailbox..mailbox + size_of::<Mailbox>() as u64,
        })
    }

    /// What they were made of.
    pub fn layout(&self) -> WindowLayout {
        WindowLayout {
            window: self.window.start,
            len: self.window.end - self.window.start,
            runtime: self.runtime(),
            public_start: self.public.start,
            public_end: self.public.end,
        }
    }

    /// All that the proxy can reach.
    pub fn window(&self) -> &Range<u64> {
        &self.window
    }

    /// Where the runtime area begins, on a page.
    pub(super) fn runtime(&self) -> u64 {
        self.mailbox.start - offset_of!(RuntimeArea, mailbox) as u64
    }

    /// Checks bytes that the rank itself names.
    pub(super) fn own(&self, address: u64, len: u64) -> Result<u64, Fault> {
        Fault::check_range(Side::Local, address, len, &self.window).map(|()| address)
    }

    /// Checks bytes that another rank names by their address.
    pub(super) fn public(&self, address: u64, len: u64) -> Result<u64, Fault> {
        Fault::check_range(Side::Remote, address, len, &self.public).map(|()| address)
    }

    /// Checks bytes of the mailbox that another rank names by their offset, and says their address.
    pub(super) fn mailbox(&self, offset: u64, len: u64) -> Result<u64, Fault> {
        let address = self.mailbox.start.saturating_add(offset);
        Fault::check_range(Side::Remote, address, len, &self.mailbox).map(|()| address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_that_cannot_be_true_are_refused() {
        let len = size_of::<RuntimeArea>() as u64 + 8192;
        let good = WindowLayout {
            window: 0x10000,
            len,
            runtime: 0x10000,
            public_start: 0x10000 + size_of::<RuntimeArea>() as u64,
            public_end: 0x10000 + len - 4096,
        };
        let refused = |layout| Bounds::new(&layout).err();
        assert_eq!(refused(good), None);
        assert_eq!(refused(WindowLayout { window: u64::MAX, ..good }), Some(LayoutError::Wraps));
        assert_eq!(
            refused(WindowLayout { runtime: u64::MAX - 4095, ..good }),
            Some(LayoutError::Wraps)
        );
        assert_eq!(
            refused(WindowLayout { public_end: good.window + good.len + 1, ..good }),
            Some(LayoutError::PublicOutside)
        );
        assert_eq!(
            refused(WindowLayout { public_start: 0, ..good }),
            Some(LayoutError::PublicOutside)
        );
        assert_eq!(
            refused(WindowLayout { runtime: 0x10008, ..good }),
            Some(LayoutError::RuntimeOutside)
        );
        assert_eq!(
            refused(WindowLayout { runtime: good.window + good.len - 4096, ..good }),
            Some(LayoutError::RuntimeOutside)
        );
        assert_eq!(
            refused(WindowLayout { public_start: good.window, ..good }),
            Some(LayoutError::Overlap)
        );
    }
}

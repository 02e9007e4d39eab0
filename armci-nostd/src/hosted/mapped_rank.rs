//! Another rank's window, mapped here.

use core::mem::offset_of;
use core::ptr::NonNull;
use std::os::fd::OwnedFd;

use crate::hosted::error::{HostedError, system};
use crate::hosted::window::map_forever;
use crate::path::platform::{PublicView, View};
use crate::serve::bounds::Bounds;
use crate::wire::area::RuntimeArea;
use crate::wire::attach::{Introduction, MessageError};

/// Another rank's window, mapped here as long as the process lives, and its doorbell.
pub(super) struct MappedRank {
    pub view: View,
    pub bell: OwnedFd,
}

impl MappedRank {
    /// Maps what the proxy has introduced. It has checked that the layout is possible and that the
    /// memory has these bytes and keeps them.
    pub fn new(
        introduction: &Introduction,
        window: &OwnedFd,
        bell: OwnedFd,
    ) -> Result<Self, HostedError> {
        let layout = &introduction.layout;
        // Whatever the proxy says: nothing is reached outside of what is mapped here.
        Bounds::new(layout).map_err(|_| MessageError::Malformed)?;
        let len = usize::try_from(layout.len).map_err(|_| MessageError::Malformed)?;
        let start = map_forever(window, len).map_err(system("map another rank's window"))?;
        // SAFETY: the addresses lie in the window, or at its end, as the bounds say.
        let place = |address: u64| unsafe { start.add((address - layout.window) as usize) };
        let mailbox = layout.runtime + offset_of!(RuntimeArea, mailbox) as u64;
        let there = layout.public_start..layout.public_end;
        let here: NonNull<u8> = place(layout.public_start);
        let public = Some(PublicView { there, here });
        Ok(Self { view: View { mailbox: place(mailbox).cast(), public }, bell })
    }
}

//! A rank as a domain: what it writes to `data/xenolith/attach` in xenstore, and what is made of
//! it.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use armci_nostd::serve::Window;
use armci_nostd::wire::attach::{WindowLayout, XenAttach};
use xen_hypercall::PAGE_SIZE;
use xen_hypercall::grant_table_op::FIRST_FREE_REFERENCE;

use super::attachment::RankAttachment;
use super::bad_attach::BadAttach;
use super::doorbell::Doorbell;
use super::memory::RankMemory;
use crate::error::is_want;
use crate::xen::{EventChannel, EventDevice, GrantMapping};

/// Bytes of a page.
const PAGE: u64 = PAGE_SIZE as u64;
/// No honest node is longer: eight numbers of at most 20 digits.
const MAX_NODE: usize = 180;

/// What a domain's node says, checked against what the domain was given.
///
/// Everything in the node is hostile. `memory` is what the domain was created with.
pub fn parse(node: &[u8], memory: u64) -> Result<(XenAttach, WindowLayout), BadAttach> {
    if node.len() > MAX_NODE {
        return Err(BadAttach::rank(format_args!("its attach node has {} bytes", node.len())));
    }
    let node = str::from_utf8(node).map_err(|_| BadAttach::rank("its attach node is not text"))?;
    let attach: XenAttach = node.parse().map_err(BadAttach::rank)?;
    let len = u64::from(attach.pages) * PAGE;
    if len == 0 || len > memory {
        return Err(BadAttach::rank(format_args!(
            "it grants {} pages and has {} (its node says {node:?})",
            attach.pages,
            memory / PAGE
        )));
    }
    if attach.first_ref < FIRST_FREE_REFERENCE
        || attach.first_ref.checked_add(attach.pages).is_none()
    {
        return Err(BadAttach::rank(format_args!(
            "its grant references start at {} and number {}",
            attach.first_ref, attach.pages
        )));
    }
    let layout = WindowLayout {
        window: 0,
        len,
        runtime: attach.runtime,
        public_start: attach.public_start,
        public_end: attach.public_end,
    };
    Ok((attach, layout))
}

/// Maps the memory of `domain` as its node says and binds its event channel, through the device
/// that the job's ranks share.
pub fn attach(
    domain: u32,
    node: &[u8],
    memory: u64,
    device: &Arc<EventDevice>,
) -> Result<RankAttachment, BadAttach> {
    let (attach, layout) = parse(node, memory)?;
    let mapping = GrantMapping::new(domain, attach.first_ref, attach.pages).map_err(|error| {
        BadAttach::host(format_args!(
            "its {} pages could not be mapped: {error}: domain 0 may have too many mapped, so use \
             fewer or smaller ranks, or boot Xen with a larger gnttab_max_maptrack_frames",
            attach.pages
        ))
    })?;
    // SAFETY: `mapping` maps `layout.len` bytes on a page boundary, and lives in the attachment as
    // long as the window.
    let window = unsafe { Window::new(mapping.base(), &layout) }.map_err(BadAttach::rank)?;
    let bind = |port| {
        EventChannel::bind(device.clone(), domain, port).map_err(|error| {
            let why = format!("its event channel {port} could not be bound: {error}");
            if is_want(&error) { BadAttach::Host(why) } else { BadAttach::Rank(why) }
        })
    };
    let (doorbell, park_bell) = (Box::new(bind(attach.port)?), Box::new(bind(attach.park_port)?));
    // SAFETY: the window points into `mapping`, which unmaps only when it is dropped.
    let attachment = unsafe { RankAttachment::new(window, doorbell, None, Box::new(mapping)) }?;
    Ok(attachment.that_parks_by(park_bell))
}

/// All pages of a domain are there from its start.
impl RankMemory for GrantMapping {}

impl Doorbell for EventChannel {
    fn ring(&self) {
        if let Err(error) = self.notify() {
            tracing::debug!(%error, "an event could not be sent: the domain is gone");
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.device().fd()
    }

    fn acknowledge(&self) -> bool {
        self.device().acknowledge().unwrap_or_else(|error| {
            tracing::warn!(%error, "event channels could not be read");
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn an_honest_node_is_understood() {
        let (attach, layout) = parse(b"4 8 4096 5 6 2097152 3145728 16777216", 16 * MIB).unwrap();
        assert_eq!((attach.first_ref, attach.pages), (8, 4096));
        assert_eq!((attach.port, attach.park_port), (5, 6));
        assert_eq!(layout.len, 16 * MIB);
        assert_eq!((layout.window, layout.runtime), (0, 2 * MIB));
    }

    #[test]
    fn hostile_nodes_are_refused() {
        let long = "1".repeat(4096);
        for node in [
            "",
            "4 8 4096",
            "4 8 4097 5 6 2097152 3145728 16777216",
            "4 8 0 5 6 2097152 3145728 16777216",
            "4 8 4294967295 5 6 2097152 3145728 16777216",
            "4 4294967295 4096 5 6 2097152 3145728 16777216",
            "4 0 4096 5 6 2097152 3145728 16777216",
            "3 8 4096 5 6 2097152 3145728 16777216",
            "4 8 4096 5 6 2097152 3145728 99999999999999999999",
            "4 8 4096 5 6 2097152 3145728 16777216\0",
            &long,
        ] {
            assert!(parse(node.as_bytes(), 16 * MIB).is_err(), "{node}");
        }
        assert!(parse(b"\xff\xfe", 16 * MIB).is_err());
    }
}

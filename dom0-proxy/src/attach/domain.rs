//! A rank as a domain: what it writes to `data/xenolith/attach` in xenstore, and what is made of
//! it; or to `data/xenolith/landing`, as long as it waits to become a rank that was saved.

use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use armci_nostd::serve::Window;
use armci_nostd::wire::XenLanding;
use armci_nostd::wire::attach::{WindowLayout, XenAttach};
use xen_hypercall::PAGE_SIZE;
use xen_hypercall::grant_table_op::FIRST_FREE_REFERENCE;

use super::attachment::RankAttachment;
use super::bad_attach::BadAttach;
use super::doorbell::Doorbell;
use super::landing::Landing;
use super::memory::RankMemory;
use crate::error::is_want;
use crate::xen::{EventChannel, EventDevice, GrantMapping};

/// Bytes of a page.
const PAGE: u64 = PAGE_SIZE as u64;
/// No honest node is longer: eight numbers, or eleven, of at most 20 digits.
const MAX_NODE: usize = 180;
const MAX_LANDING_NODE: usize = 245;
/// A domain needs no more pages than these for itself until it has landed.
const MOST_APART: u64 = 64;

/// What a domain's node says, checked against what the domain was given.
///
/// Everything in the node is hostile. `memory` is what the domain was created with.
pub fn parse(node: &[u8], memory: u64) -> Result<(XenAttach, WindowLayout), BadAttach> {
    let attach = text(node, MAX_NODE)?.parse().map_err(BadAttach::rank)?;
    Ok((attach, layout(&attach, memory)?))
}

/// What the node of a domain says that waits to become a rank with the memory `saved`: where its
/// memory and ports are, and where in its window it waits. Everything in it is hostile.
pub fn parse_landing(
    node: &[u8],
    saved: &WindowLayout,
) -> Result<(XenAttach, Range<u64>, u64), BadAttach> {
    let landing: XenLanding = text(node, MAX_LANDING_NODE)?.parse().map_err(BadAttach::rank)?;
    let XenLanding { attach, apart, pages } = landing;
    let there = layout(&attach, u64::MAX)?;
    if (there.len, there.runtime) != (saved.len, saved.runtime) {
        return Err(BadAttach::rank(format_args!(
            "it has another memory plan than what was saved: {} pages with the runtime area at \
             {:#x}, and there were {} with {:#x}",
            there.len / PAGE,
            there.runtime,
            saved.len / PAGE,
            saved.runtime
        )));
    }
    // The range is of whole pages, and has the landing pages in it.
    if apart.end > saved.len || (apart.end - apart.start) / PAGE > MOST_APART {
        return Err(BadAttach::rank(format_args!(
            "it wants to keep {apart:#x?} of its {} pages to itself",
            saved.len / PAGE
        )));
    }
    Ok((attach, apart, pages))
}

/// A node as text, which may have that many bytes.
fn text(node: &[u8], most: usize) -> Result<&str, BadAttach> {
    if node.len() > most {
        return Err(BadAttach::rank(format_args!("its attach node has {} bytes", node.len())));
    }
    str::from_utf8(node).map_err(|_| BadAttach::rank("its attach node is not text"))
}

/// Where the memory of a domain is that has `memory` bytes, as it says.
fn layout(attach: &XenAttach, memory: u64) -> Result<WindowLayout, BadAttach> {
    let len = u64::from(attach.pages) * PAGE;
    if len == 0 || len > memory {
        return Err(BadAttach::rank(format_args!(
            "it grants {} pages and has {} (its node says {attach})",
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
    Ok(WindowLayout {
        window: 0,
        len,
        runtime: attach.runtime,
        public_start: attach.public_start,
        public_end: attach.public_end,
    })
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
    let Parts { mapping, window, doorbell, park_bell } = take(domain, &attach, &layout, device)?;
    // SAFETY: the window points into `mapping`, which unmaps only when it is dropped.
    let attachment = unsafe { RankAttachment::new(window, doorbell, None, Box::new(mapping)) }?;
    Ok(attachment.that_parks_by(park_bell))
}

/// Maps the memory of `domain`, which waits to become a rank with the memory `saved`, as its node
/// says, and binds its event channels.
pub fn attach_landing(
    domain: u32,
    node: &[u8],
    saved: &WindowLayout,
    device: &Arc<EventDevice>,
) -> Result<RankAttachment, BadAttach> {
    let (attach, apart, pages) = parse_landing(node, saved)?;
    // What others may touch was checked when it was saved, and the domain has no say in it.
    let Parts { mapping, window, doorbell, park_bell } = take(domain, &attach, saved, device)?;
    let landing = Landing { domain, apart, pages };
    // SAFETY: the window points into `mapping`, which unmaps only when it is dropped.
    let attachment =
        unsafe { RankAttachment::of_landing(window, doorbell, landing, Box::new(mapping)) };
    Ok(attachment.that_parks_by(park_bell))
}

/// What an attachment is made of. The window points into the mapping.
struct Parts {
    mapping: GrantMapping,
    window: Window,
    doorbell: Box<EventChannel>,
    park_bell: Box<EventChannel>,
}

/// Maps the memory of `domain`, which has this layout, and binds its event channels.
fn take(
    domain: u32,
    attach: &XenAttach,
    layout: &WindowLayout,
    device: &Arc<EventDevice>,
) -> Result<Parts, BadAttach> {
    let mapping = GrantMapping::new(domain, attach.first_ref, attach.pages).map_err(|error| {
        BadAttach::host(format_args!(
            "its {} pages could not be mapped: {error}: domain 0 may have too many mapped, so use \
             fewer or smaller ranks, or boot Xen with a larger gnttab_max_maptrack_frames",
            attach.pages
        ))
    })?;
    // SAFETY: `mapping` maps `layout.len` bytes on a page boundary, since that is as many pages as
    // the node names, and goes wherever the window goes.
    let window = unsafe { Window::new(mapping.base(), layout) }.map_err(BadAttach::rank)?;
    let bind = |port| {
        EventChannel::bind(device.clone(), domain, port).map_err(|error| {
            let why = format!("its event channel {port} could not be bound: {error}");
            if is_want(&error) { BadAttach::Host(why) } else { BadAttach::Rank(why) }
        })
    };
    let (doorbell, park_bell) = (Box::new(bind(attach.port)?), Box::new(bind(attach.park_port)?));
    Ok(Parts { mapping, window, doorbell, park_bell })
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
        let (attach, layout) = parse(b"5 8 4096 5 6 2097152 3145728 16777216", 16 * MIB).unwrap();
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
            "5 8 4096",
            "5 8 4097 5 6 2097152 3145728 16777216",
            "5 8 0 5 6 2097152 3145728 16777216",
            "5 8 4294967295 5 6 2097152 3145728 16777216",
            "5 4294967295 4096 5 6 2097152 3145728 16777216",
            "5 0 4096 5 6 2097152 3145728 16777216",
            "3 8 4096 5 6 2097152 3145728 16777216",
            "5 8 4096 5 6 2097152 3145728 99999999999999999999",
            "5 8 4096 5 6 2097152 3145728 16777216\0",
            &long,
        ] {
            assert!(parse(node.as_bytes(), 16 * MIB).is_err(), "{node}");
        }
        assert!(parse(b"\xff\xfe", 16 * MIB).is_err());
    }

    /// What was saved of a rank of 16 MiB.
    fn saved() -> WindowLayout {
        WindowLayout {
            window: 0,
            len: 16 * MIB,
            runtime: 2 * MIB,
            public_start: 3 * MIB,
            public_end: 16 * MIB,
        }
    }

    #[test]
    fn a_domain_that_waits_says_where() {
        let node = b"5 8 4096 5 6 2097152 4194304 16777216 1048576 1073152 1056768";
        let (attach, apart, pages) = parse_landing(node, &saved()).unwrap();
        assert_eq!((attach.first_ref, attach.pages, attach.park_port), (8, 4096, 6));
        assert_eq!((apart, pages), (MIB..MIB + 6 * PAGE, MIB + 2 * PAGE));
    }

    #[test]
    fn hostile_landing_nodes_are_refused() {
        let long = format!("{}4 8 4096 5 6 2097152 4194304 16777216 0 8192 0", " ".repeat(300));
        for (node, why) in [
            ("", "decimal"),
            // What a rank writes that does not wait.
            ("5 8 4096 5 6 2097152 3145728 16777216", "decimal"),
            ("3 8 4096 5 6 2097152 4194304 16777216 1048576 1073152 1056768", "version"),
            // More or less memory, or arranged in another way.
            ("5 8 4097 5 6 2097152 4194304 16777216 1048576 1073152 1056768", "memory plan"),
            ("5 8 4095 5 6 2097152 4194304 16777216 1048576 1073152 1056768", "memory plan"),
            ("5 8 4096 5 6 2101248 4194304 16777216 1048576 1073152 1056768", "memory plan"),
            ("5 4294967295 4096 5 6 2097152 4194304 16777216 1048576 1073152 1056768", "grant"),
            ("5 8 0 5 6 2097152 4194304 16777216 1048576 1073152 1056768", "grants 0 pages"),
            // Too much of it, or what is behind its end.
            ("5 8 4096 5 6 2097152 4194304 16777216 1048576 1314816 1056768", "to itself"),
            ("5 8 4096 5 6 2097152 4194304 16777216 16769024 16781312 16769024", "to itself"),
            ("5 8 4096 5 6 2097152 4194304 16777216 0 18446744073709547520 0", "to itself"),
            (&long, "bytes"),
        ] {
            let error = parse_landing(node.as_bytes(), &saved()).unwrap_err().to_string();
            assert!(error.contains(why), "{node}: {error}");
        }
        assert!(parse_landing(b"\xff\xfe", &saved()).is_err());
    }
}

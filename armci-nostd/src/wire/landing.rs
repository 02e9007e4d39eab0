//! How a domain that was made for it becomes a rank that was saved.
//!
//! The domain boots the saved rank's image, with `xenolith.landing` on its command line. It grants
//! its memory and makes its ports as any rank does, says so in a node of its own ([`XenLanding`]),
//! and waits for [`LandingPages::go`] in pages that are *apart*: no saved memory is laid over them.
//! The proxy fills all other pages, says where the job's ranks are now, and writes `go`; then the
//! domain is the rank, which stood still when it was saved and does so now, until
//! [`Header::park`](super::Header::park) is zero.

use core::fmt;
use core::ops::Range;
use core::str::FromStr;
use core::sync::atomic::AtomicU32;

use crate::wire::attach::{MessageError, XenAttach};

/// Ranks whose domains a landing can be told.
pub const LANDING_DOMAINS: usize = 1024;

/// No domain's number: the rank is not on this host.
pub const NO_DOMAIN: u32 = u32::MAX;

/// The pages by which the proxy lands a rank. All zeros until it does.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct LandingPages {
    /// Written by the proxy, last of all: not zero, the memory is the saved rank's.
    pub go: AtomicU32,
    /// Written by the proxy: how many of `domains` are told.
    pub size: AtomicU32,
    /// What the waiting domain uses for itself: not for the proxy.
    pub private: [u64; 511],
    /// Written by the proxy: the numbers of the domains in which the job's ranks are now, by rank,
    /// or [`NO_DOMAIN`].
    pub domains: [AtomicU32; LANDING_DOMAINS],
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(LandingPages, size) == 4);
    assert!(offset_of!(LandingPages, domains) == 4096);
    assert!(size_of::<LandingPages>() == 8192);
};

/// What a domain that waits for a saved rank writes to `data/xenolith/landing`: what any rank says
/// when it attaches, and three numbers more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XenLanding {
    /// How its memory and its ports are reached.
    pub attach: XenAttach,
    /// Addresses of the pages that must be left as they are.
    pub apart: Range<u64>,
    /// Address of the [`LandingPages`], which are among them.
    pub pages: u64,
}

impl fmt::Display for XenLanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attach, apart, pages } = self;
        write!(f, "{attach} {} {} {pages}", apart.start, apart.end)
    }
}

impl FromStr for XenLanding {
    type Err = MessageError;

    fn from_str(node: &str) -> Result<Self, MessageError> {
        let malformed = || MessageError::MalformedNode(node.chars().take(100).collect());
        let mut words = node.rsplitn(4, ' ');
        let mut next =
            || words.next().and_then(|word| word.parse::<u64>().ok()).ok_or_else(malformed);
        let (pages, end, start) = (next()?, next()?, next()?);
        let attach = words.next().ok_or_else(malformed)?.parse()?;
        let size = size_of::<LandingPages>() as u64;
        let is_inside = start <= pages && pages.checked_add(size).is_some_and(|it| it <= end);
        let is_aligned = [start, end, pages].iter().all(|address| address % 4096 == 0);
        if is_inside && is_aligned {
            Ok(Self { attach, apart: start..end, pages })
        } else {
            Err(malformed())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::prelude::v1::*;

    #[test]
    fn a_node_comes_back_and_nothing_else_is_one() {
        let attach = "5 8 4096 5 6 2097152 3145728 16777216";
        let node = XenLanding {
            attach: attach.parse().unwrap(),
            apart: 0x200000..0x206000,
            pages: 0x204000,
        };
        assert_eq!(node.to_string().parse(), Ok(node));
        for rest in [
            "",
            " 2097152",
            " 2097152 2121728",
            " 2097152 2121728 2113536 1",
            // Not apart, not whole pages, wrapping.
            " 2097152 2121728 2121728",
            " 2097152 2121728 2093056",
            " 2097152 2121728 2113537",
            " 2097153 2121728 2113536",
            " 2097152 18446744073709547520 18446744073709547520",
            " -2097152 2121728 2113536",
        ] {
            assert!(format!("{attach}{rest}").parse::<XenLanding>().is_err(), "{rest:?}");
        }
    }
}

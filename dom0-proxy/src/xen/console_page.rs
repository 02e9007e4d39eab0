//! The page through which a domain's console is written.

use std::io;
use std::sync::atomic::Ordering;

use xen_hypercall::grant_table_op::CONSOLE_REFERENCE;
use xen_hypercall::io::console::ConsolePage as Layout;

use super::GrantMapping;

/// A domain's console page, mapped: it has the kernel's own count of what it has written, whatever
/// xenconsoled has made of that, and a word by which the kernel is asked to wait. The domain cannot
/// go while this lives.
#[derive(Debug)]
pub struct ConsolePage {
    mapping: GrantMapping,
}

impl ConsolePage {
    /// Maps the page of `domain`, which Xen's tools grant to domain 0 when they make a domain.
    pub fn new(domain: u32) -> io::Result<Self> {
        Ok(Self { mapping: GrantMapping::new(domain, CONSOLE_REFERENCE, 1)? })
    }

    /// Bytes that the domain says it has written, modulo 2^32.
    pub fn written(&self) -> u32 {
        self.layout().interface.out_prod.load(Ordering::Acquire)
    }

    /// Asks the domain to write nothing more for now, or allows it again.
    pub fn hold(&self, held: bool) {
        self.layout().hold.store(held.into(), Ordering::Relaxed);
    }

    fn layout(&self) -> &Layout {
        // SAFETY: the structure is a page, which stays mapped as long as `self`; all of it is
        // atomic, so that the domain may write to it meanwhile.
        unsafe { self.mapping.base().cast().as_ref() }
    }
}

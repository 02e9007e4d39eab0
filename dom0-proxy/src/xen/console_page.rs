//! The page through which a domain's console is written.

use std::io;
use std::sync::atomic::Ordering;

use xen_hypercall::grant_table_op::CONSOLE_REFERENCE;
use xen_hypercall::io::console::ConsolePage as Layout;

use super::GrantMapping;

/// A domain's console page, mapped: it has the kernel's own count of what it has written, whatever
/// xenconsoled has made of that, a word by which the kernel is asked to wait, and standard input.
/// The domain cannot go while this lives.
#[derive(Debug)]
pub struct ConsolePage {
    mapping: GrantMapping,
}

/// What is in a console's ring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// Bytes that xenconsoled has taken before, modulo 2^32.
    pub from: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
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

    /// The bytes in the ring: those that the domain has written and xenconsoled has not taken.
    pub fn unread(&self) -> Unread {
        let interface = &self.layout().interface;
        let from = interface.out_cons.load(Ordering::Acquire);
        let length = self.written().wrapping_sub(from) as usize;
        // More than there is room for is nonsense, of which nothing is believed.
        let length = if length > interface.output.len() { 0 } else { length as u32 };
        let byte = |offset: u32| {
            let index = from.wrapping_add(offset) as usize % interface.output.len();
            interface.output[index].load(Ordering::Relaxed)
        };
        Unread { from, bytes: (0..length).map(byte).collect() }
    }

    /// Asks the domain to write nothing more for now, or allows it again.
    pub fn hold(&self, held: bool) {
        self.layout().hold.store(held.into(), Ordering::Relaxed);
    }

    /// Whether the domain has asked for standard input.
    pub fn wants_input(&self) -> bool {
        self.layout().stdin.wanted.load(Ordering::Relaxed) != 0
    }

    /// For how many bytes of standard input there is room; `None` if the domain has made nonsense
    /// of its ring.
    pub fn room_for_input(&self) -> Option<usize> {
        let stdin = &self.layout().stdin;
        let produced = stdin.produced.load(Ordering::Relaxed);
        let used = produced.wrapping_sub(stdin.consumed.load(Ordering::Acquire));
        stdin.bytes.len().checked_sub(used as usize)
    }

    /// Gives the domain bytes of standard input: those for which there is room.
    pub fn give_input(&self, bytes: &[u8]) {
        let stdin = &self.layout().stdin;
        let start = stdin.produced.load(Ordering::Relaxed);
        let bytes = &bytes[..bytes.len().min(self.room_for_input().unwrap_or(0))];
        for (index, byte) in (start..).zip(bytes) {
            stdin.bytes[index as usize % stdin.bytes.len()].store(*byte, Ordering::Relaxed);
        }
        stdin.produced.store(start.wrapping_add(bytes.len() as u32), Ordering::Release);
    }

    /// Tells the domain that there is no more standard input.
    pub fn end_input(&self) {
        self.layout().stdin.ended.store(1, Ordering::Release);
    }

    fn layout(&self) -> &Layout {
        // SAFETY: the structure is a page, which stays mapped as long as `self`; all of it is
        // atomic, so that the domain may write to it meanwhile.
        unsafe { self.mapping.base().cast().as_ref() }
    }
}

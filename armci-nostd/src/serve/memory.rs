//! What one request does to the memory of ranks: checked first, then done.
//!
//! The proxy calls [`execute`] for every entry that it takes from a ring; a rank without a proxy
//! calls it on its own memory. Requests are hostile until checked: nothing is touched before rank,
//! range and alignment are known to be right. The memory itself is shared with running ranks, so it
//! is reached by raw pointers only, and nothing that is read from it decides where something is
//! written.

use core::ops::Range;
use core::ptr::{self, NonNull};

use crate::error::{Fault, Side};
use crate::moves::accumulate::accumulate;
use crate::moves::copy::copy;
use crate::moves::rmw::read_modify_write;
use crate::shared::lock::{PROXY, TargetLock};
use crate::wire::area::{Mailbox, RuntimeArea};
use crate::wire::attach::Layout;
use crate::wire::request::{ALL_RANKS, AccKind, Flags, INLINE_BYTES, Opcode, Request, RmwKind};

/// One rank's memory, as it is mapped here.
#[derive(Debug)]
pub struct Window {
    /// Where the window's first byte is mapped.
    base: NonNull<u8>,
    /// The rank's own addresses of the window.
    window: Range<u64>,
    /// The part that other ranks may touch.
    public: Range<u64>,
    /// The rank's mailbox.
    mailbox: Range<u64>,
}

// SAFETY: the memory behind the pointer is shared by design; all accesses are raw.
unsafe impl Send for Window {}

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

impl Window {
    /// The memory described by `layout`, mapped at `base`.
    ///
    /// # Safety
    /// `base` must be page-aligned and valid for reads and writes of `layout.len` bytes as long as
    /// the value lives. The memory may change at any time, but no Rust reference to it may exist.
    pub unsafe fn new(base: NonNull<u8>, layout: &Layout) -> Result<Self, LayoutError> {
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
        let mailbox = layout.runtime + core::mem::offset_of!(RuntimeArea, mailbox) as u64;
        Ok(Self {
            base,
            window: layout.window..end,
            public,
            mailbox: mailbox..mailbox + size_of::<Mailbox>() as u64,
        })
    }

    /// Where the runtime area is mapped.
    pub fn area(&self) -> NonNull<RuntimeArea> {
        let runtime = self.mailbox.start - core::mem::offset_of!(RuntimeArea, mailbox) as u64;
        self.mapped(runtime).cast()
    }

    /// Copies bytes of the window, from the one that is `offset` behind its start: as many as
    /// `buffer` has room for, or as there are. How many that were.
    pub fn copy_out(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let there = (self.window.end - self.window.start).saturating_sub(offset);
        let count = buffer.len().min(usize::try_from(there).unwrap_or(usize::MAX));
        if count != 0 {
            // SAFETY: within the window, which is mapped whole; the buffer is not of it.
            unsafe {
                let from = self.base.add(offset as usize);
                ptr::copy_nonoverlapping(from.as_ptr(), buffer.as_mut_ptr(), count);
            }
        }
        count
    }

    /// The rank's lock for accumulates and read-modify-writes.
    fn lock(&self) -> TargetLock<'_> {
        // SAFETY: the area is mapped, whole and aligned, as long as the window lives; an atomic may
        // be shared.
        TargetLock(unsafe { &(*self.area().as_ptr()).mailbox.lock.0 })
    }

    /// Where the rank's `address`, which lies in the window or at its end, is mapped here.
    fn mapped(&self, address: u64) -> NonNull<u8> {
        debug_assert!(self.window.contains(&address) || address == self.window.end);
        // SAFETY: every caller has checked that the address lies in the window, which is mapped
        // whole.
        unsafe { self.base.add((address - self.window.start) as usize) }
    }

    /// The rank's own bytes at `address`.
    fn own(&self, address: u64, len: u64) -> Result<NonNull<u8>, Fault> {
        self.checked(address, len, &self.window, Side::Local)
    }

    /// The bytes that another rank means by `request.remote`.
    fn target(&self, request: &Request, flags: Flags, len: u64) -> Result<NonNull<u8>, Fault> {
        if !flags.contains(Flags::MAILBOX) {
            return self.checked(request.remote, len, &self.public, Side::Remote);
        }
        let address = self.mailbox.start.checked_add(request.remote);
        self.checked(address.unwrap_or(u64::MAX), len, &self.mailbox, Side::Remote)
    }

    fn checked(
        &self,
        address: u64,
        len: u64,
        range: &Range<u64>,
        side: Side,
    ) -> Result<NonNull<u8>, Fault> {
        // Nothing is touched at length zero, so any address will do, null included.
        if len == 0 {
            return Ok(self.base);
        }
        match address.checked_add(len) {
            Some(end) if address >= range.start && end <= range.end => Ok(self.mapped(address)),
            _ => Err(Fault::Range { side, address, len, start: range.start, end: range.end }),
        }
    }
}

/// What a request did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// For the completion: what a read-modify-write found.
    pub value: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// The rank whose doorbell is to be rung.
    pub notify: Option<u32>,
}

/// How a request without a fault ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done(Effect),
    /// Nothing was done, because a rank holds the target's lock: to be tried again.
    Busy,
}

/// Checks a request of rank `origin` and does it. `windows` holds the memory of every rank of the
/// job.
///
/// # Errors
/// A [`Fault`], with no memory touched.
///
/// # Panics
/// If `origin` has no window.
pub fn execute(origin: usize, request: &Request, windows: &[Window]) -> Result<Outcome, Fault> {
    let opcode = Opcode::from_wire(request.opcode).ok_or(Fault::Opcode(request.opcode))?;
    let bad_flags = Fault::Flags { flags: request.flags, opcode };
    let flags = Flags::from_bits(request.flags).ok_or(bad_flags)?;
    if flags.contains(Flags::INLINE) && opcode != Opcode::Put {
        return Err(bad_flags);
    }
    if request.reserved0 != 0 || request.reserved1 != 0 || request.reserved2 != 0 {
        return Err(Fault::Reserved);
    }
    // Operations are done one after the other and at once, so all earlier ones are complete.
    if opcode == Opcode::Fence && request.rank == ALL_RANKS {
        return Ok(Outcome::Done(Effect::default()));
    }
    let own = &windows[origin];
    let target = windows
        .get(request.rank as usize)
        .ok_or(Fault::Rank { rank: request.rank, size: windows.len() })?;
    let len = request.len;
    let mut effect = Effect {
        notify: flags.contains(Flags::NOTIFY).then_some(request.rank),
        ..Effect::default()
    };
    match opcode {
        Opcode::Put if flags.contains(Flags::INLINE) => {
            if len > INLINE_BYTES as u64 {
                return Err(Fault::Length { len, opcode });
            }
            let destination = target.target(request, flags, len)?;
            // SAFETY: `target` has checked the destination; the source is the entry's own copy,
            // long enough.
            unsafe { copy(request.operand.as_ptr().cast(), destination.as_ptr(), len as usize) };
            effect.bytes = len;
        }
        Opcode::Put => {
            let source = own.own(request.local, len)?;
            let destination = target.target(request, flags, len)?;
            // SAFETY: both have been checked; `copy` allows overlap.
            unsafe { ptr::copy(source.as_ptr(), destination.as_ptr(), len as usize) };
            effect.bytes = len;
        }
        Opcode::Get => {
            let source = target.target(request, flags, len)?;
            let destination = own.own(request.local, len)?;
            // SAFETY: both have been checked; `copy` allows overlap.
            unsafe { ptr::copy(source.as_ptr(), destination.as_ptr(), len as usize) };
            effect.bytes = len;
        }
        Opcode::Accumulate => {
            let kind = AccKind::from_wire(request.kind)
                .ok_or(Fault::Kind { kind: request.kind, opcode })?;
            if !len.is_multiple_of(kind.size() as u64) {
                return Err(Fault::Length { len, opcode });
            }
            let source = own.own(request.local, len)?;
            let destination = target.target(request, flags, len)?;
            if len != 0 {
                let Some(_held) = target.lock().try_lock(PROXY) else { return Ok(Outcome::Busy) };
                // SAFETY: both have been checked.
                unsafe {
                    accumulate(
                        kind,
                        &request.operand,
                        source.as_ptr(),
                        destination.as_ptr(),
                        len as usize,
                    )
                };
            }
            effect.bytes = len;
        }
        Opcode::ReadModifyWrite => {
            let kind = RmwKind::from_wire(request.kind)
                .ok_or(Fault::Kind { kind: request.kind, opcode })?;
            if len != kind.size() as u64 {
                return Err(Fault::Length { len, opcode });
            }
            let word = target.target(request, flags, len)?;
            check_align(word, request.remote, kind.size())?;
            let Some(_held) = target.lock().try_lock(PROXY) else { return Ok(Outcome::Busy) };
            // SAFETY: the word has been checked for range and alignment.
            effect.value = unsafe { read_modify_write(kind, word.as_ptr(), request.operand) };
            effect.bytes = len;
        }
        Opcode::Fence => {}
    }
    Ok(Outcome::Done(effect))
}

/// Windows are mapped on page boundaries, so alignment here is alignment at the rank.
fn check_align(mapped: NonNull<u8>, address: u64, align: usize) -> Result<(), Fault> {
    match mapped.addr().get().is_multiple_of(align) {
        true => Ok(()),
        false => Err(Fault::Misaligned { address, align }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::prelude::v1::*;

    use proptest::prelude::*;

    const PAGE: usize = 4096;
    /// Window: the runtime area, then one public page, then one private page.
    const LEN: usize = size_of::<RuntimeArea>() + 2 * PAGE;
    const PUBLIC: usize = size_of::<RuntimeArea>();

    /// One rank's memory, at an address of its own that is not where it is mapped.
    struct Memory {
        bytes: NonNull<u8>,
        window: Window,
        address: u64,
    }

    fn allocation() -> core::alloc::Layout {
        core::alloc::Layout::from_size_align(LEN, PAGE).unwrap()
    }

    impl Memory {
        fn new(address: u64) -> Self {
            // SAFETY: the size is not zero.
            let bytes = NonNull::new(unsafe { std::alloc::alloc_zeroed(allocation()) }).unwrap();
            // SAFETY: valid for LEN bytes until dropped.
            let window = unsafe { Window::new(bytes, &layout(address)) }.unwrap();
            Self { bytes, window, address }
        }

        fn contents(&self) -> Vec<u8> {
            // SAFETY: valid for LEN bytes, and nobody writes while the slice lives.
            unsafe { core::slice::from_raw_parts(self.bytes.as_ptr(), LEN) }.to_vec()
        }

        fn fill(&self, seed: u8) {
            for i in 0..LEN {
                // SAFETY: in bounds.
                unsafe { self.bytes.add(i).write((i as u8).wrapping_mul(31).wrapping_add(seed)) };
            }
            let lock =
                core::mem::offset_of!(RuntimeArea, mailbox) + core::mem::offset_of!(Mailbox, lock);
            // SAFETY: in bounds and aligned.
            unsafe { self.bytes.add(lock).cast::<u32>().write(0) };
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            // SAFETY: allocated with this layout.
            unsafe { std::alloc::dealloc(self.bytes.as_ptr(), allocation()) };
        }
    }

    /// What a request did that finds the locks free.
    fn done(origin: usize, request: &Request, windows: &[Window]) -> Result<Effect, Fault> {
        execute(origin, request, windows).map(|outcome| match outcome {
            Outcome::Done(effect) => effect,
            Outcome::Busy => core::panic!("a lock was left held"),
        })
    }

    fn layout(address: u64) -> Layout {
        Layout {
            window: address,
            len: LEN as u64,
            runtime: address,
            public_start: address + PUBLIC as u64,
            public_end: address + (PUBLIC + PAGE) as u64,
        }
    }

    fn ranks() -> (Vec<Memory>, Vec<Window>) {
        let memories: Vec<_> = [0x10000, 0x7000_0000].map(Memory::new).into();
        let windows = memories
            .iter()
            // SAFETY: as in `Memory::new`; the tests use one at a time.
            .map(|memory| unsafe { Window::new(memory.bytes, &layout(memory.address)) }.unwrap())
            .collect();
        (memories, windows)
    }

    /// A number that is often near a limit.
    fn near() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            (0u64..40).prop_map(|d| u64::MAX - d),
            0u64..=2 * PAGE as u64,
            (0u64..40).prop_map(|d| 0x10000 + PUBLIC as u64 - 20 + d),
            (0u64..40).prop_map(|d| 0x7000_0000 + PUBLIC as u64 - 20 + d),
            (0u64..40).prop_map(|d| 0x7000_0000 + (PUBLIC + PAGE) as u64 - 20 + d),
            (0u64..40).prop_map(|d| 0x10000 + LEN as u64 - 20 + d),
            Just(0x7000_0000 + PUBLIC as u64),
            Just(0x10000 + PUBLIC as u64),
        ]
    }

    fn any_request() -> impl Strategy<Value = Request> {
        let shape =
            (0u8..8, 0u8..16, 0u8..8, prop_oneof![0u32..3, any::<u32>()], any::<[u64; 2]>());
        let len = prop_oneof![0u64..64, near()];
        (shape, near(), near(), len).prop_map(
            |((opcode, flags, kind, rank, operand), remote, local, len)| Request {
                opcode,
                flags,
                kind,
                rank,
                remote,
                local,
                len,
                operand,
                ..Request::default()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// Whatever a rank asks for: only public bytes and the mailbox of the target change, or
        /// bytes of its own that it named; a refused request changes nothing.
        #[test]
        fn nothing_else_is_touched(request in any_request()) {
            let (memories, windows) = ranks();
            memories[0].fill(1);
            memories[1].fill(2);
            let before: Vec<_> = memories.iter().map(Memory::contents).collect();
            let result = done(0, &request, &windows);
            for (rank, memory) in memories.iter().enumerate() {
                let named = request.local.saturating_sub(memory.address)
                    ..request.local.saturating_add(request.len).saturating_sub(memory.address);
                for (i, (old, new)) in before[rank].iter().zip(memory.contents()).enumerate() {
                    let may_change = result.is_ok()
                        && (request.rank as usize == rank
                            && ((PUBLIC..PUBLIC + PAGE).contains(&i)
                                || (request.flags & 2 != 0 && (4 * PAGE..PUBLIC).contains(&i)))
                            || rank == 0 && request.opcode == Opcode::Get as u8 && named.contains(&(i as u64)));
                    prop_assert!(*old == new || may_change, "byte {i:#x} of rank {rank} changed: {result:?}");
                }
            }
        }

        #[test]
        fn put_and_get_move_the_bytes(
            from in 0usize..PAGE, to in 0usize..PAGE, len in 0usize..PAGE, get in any::<bool>(), target in 0u32..2
        ) {
            let len = len.min(PAGE - from).min(PAGE - to);
            let (memories, windows) = ranks();
            memories[0].fill(1);
            memories[1].fill(2);
            let target_at = memories[target as usize].address + PUBLIC as u64;
            let own_at = memories[0].address + PUBLIC as u64;
            let mut model: Vec<_> = memories.iter().map(Memory::contents).collect();
            let t = target as usize;
            let request = if get {
                let bytes = model[t][PUBLIC + from..][..len].to_vec();
                model[0][PUBLIC + to..][..len].copy_from_slice(&bytes);
                Request { opcode: 2, rank: target, remote: target_at + from as u64, local: own_at + to as u64, len: len as u64, ..Request::default() }
            } else {
                let bytes = model[0][PUBLIC + from..][..len].to_vec();
                model[t][PUBLIC + to..][..len].copy_from_slice(&bytes);
                Request { opcode: 1, rank: target, remote: target_at + to as u64, local: own_at + from as u64, len: len as u64, ..Request::default() }
            };
            let effect = done(0, &request, &windows).unwrap();
            prop_assert_eq!(effect, Effect { bytes: len as u64, ..Effect::default() });
            prop_assert_eq!(memories.iter().map(Memory::contents).collect::<Vec<_>>(), model);
        }

        #[test]
        fn integers_accumulate_wrapping(values in proptest::collection::vec(any::<(i64, i64)>(), 1..32), scale in any::<i64>(), shift in 0u64..8) {
            let (memories, windows) = ranks();
            let (source, target) = (LEN - PAGE + shift as usize, PUBLIC + 7 * shift as usize);
            for (i, (old, add)) in values.iter().enumerate() {
                // SAFETY: in bounds; both may be unaligned.
                unsafe {
                    memories[1].bytes.add(target).cast::<i64>().add(i).write_unaligned(*old);
                    memories[0].bytes.add(source).cast::<i64>().add(i).write_unaligned(*add);
                }
            }
            let request = Request {
                opcode: Opcode::Accumulate as u8,
                kind: AccKind::Long as u8,
                rank: 1,
                remote: memories[1].address + target as u64,
                local: memories[0].address + source as u64,
                len: 8 * values.len() as u64,
                operand: [scale as u64, 0],
                ..Request::default()
            };
            done(0, &request, &windows).unwrap();
            let after = memories[1].contents();
            for (i, (old, add)) in values.iter().enumerate() {
                let sum = i64::from_ne_bytes(after[target + 8 * i..][..8].try_into().unwrap());
                prop_assert_eq!(sum, old.wrapping_add(scale.wrapping_mul(*add)));
            }
        }
    }

    #[test]
    fn complex_numbers_multiply_as_such() {
        let (memories, windows) = ranks();
        let (own, target) =
            (memories[0].address + (LEN - PAGE) as u64, memories[1].address + PUBLIC as u64);
        // SAFETY: in bounds and aligned.
        unsafe {
            memories[0].bytes.add(LEN - PAGE).cast::<[f64; 2]>().write([2.0, 3.0]);
            memories[1].bytes.add(PUBLIC).cast::<[f64; 2]>().write([10.0, 20.0]);
        }
        let request = Request {
            opcode: Opcode::Accumulate as u8,
            kind: AccKind::DoubleComplex as u8,
            rank: 1,
            remote: target,
            local: own,
            len: 16,
            operand: [0f64.to_bits(), 1f64.to_bits()],
            ..Request::default()
        };
        done(0, &request, &windows).unwrap();
        // SAFETY: in bounds and aligned.
        assert_eq!(
            unsafe { memories[1].bytes.add(PUBLIC).cast::<[f64; 2]>().read() },
            [10.0 - 3.0, 20.0 + 2.0]
        );
    }

    #[test]
    fn words_change_and_say_what_was_there() {
        let (memories, windows) = ranks();
        let remote = memories[1].address + PUBLIC as u64;
        let rmw = |kind: RmwKind, remote, operand| {
            let request = Request {
                opcode: Opcode::ReadModifyWrite as u8,
                kind: kind as u8,
                rank: 1,
                remote,
                len: kind.size() as u64,
                operand: [operand, 0],
                ..Request::default()
            };
            done(0, &request, &windows).map(|effect| effect.value)
        };
        assert_eq!(rmw(RmwKind::FetchAdd64, remote, u64::MAX), Ok(0));
        assert_eq!(
            rmw(RmwKind::FetchAdd32, remote, 1),
            Ok(u32::MAX as u64),
            "the upper half must not leak in"
        );
        assert_eq!(rmw(RmwKind::Swap64, remote, 7), Ok(u64::MAX << 32), "nor the carry leak out");
        assert_eq!(rmw(RmwKind::Swap32, remote, 8), Ok(7));
        let compare_swap = |expected, new| {
            let request = Request {
                opcode: Opcode::ReadModifyWrite as u8,
                kind: RmwKind::CompareSwap64 as u8,
                rank: 1,
                remote: remote + 8,
                len: 8,
                operand: [expected, new],
                ..Request::default()
            };
            done(0, &request, &windows).map(|effect| effect.value)
        };
        assert_eq!(compare_swap(1, 2), Ok(0), "not what was expected: nothing changes");
        assert_eq!(compare_swap(0, 2), Ok(0));
        assert_eq!(compare_swap(0, 3), Ok(2));
        assert_eq!(
            rmw(RmwKind::Swap64, remote + 4, 8),
            Err(Fault::Misaligned { address: remote + 4, align: 8 })
        );
    }

    #[test]
    fn what_needs_the_lock_waits_for_it() {
        let (memories, windows) = ranks();
        let remote = memories[1].address + PUBLIC as u64;
        let add = Request {
            opcode: Opcode::ReadModifyWrite as u8,
            kind: RmwKind::FetchAdd64 as u8,
            rank: 1,
            remote,
            len: 8,
            operand: [1, 0],
            ..Request::default()
        };
        let accumulate = Request {
            opcode: Opcode::Accumulate as u8,
            kind: AccKind::Long as u8,
            local: memories[0].address + PUBLIC as u64,
            ..add
        };
        let before = memories[1].contents();
        let held = windows[1].lock().try_lock(1).unwrap();
        assert_eq!(execute(0, &add, &windows), Ok(Outcome::Busy));
        assert_eq!(execute(0, &accumulate, &windows), Ok(Outcome::Busy));
        drop(held);
        assert_eq!(memories[1].contents(), before);
        assert_eq!(done(0, &add, &windows).unwrap().value, 0);
        assert_eq!(done(0, &add, &windows).unwrap().value, 1);
    }

    #[test]
    fn layouts_that_can_not_be_true_are_refused() {
        let memory = Memory::new(0x10000);
        let good = layout(0x10000);
        // SAFETY: valid for the length of `good`; no other is used to touch memory.
        let refused = |layout| unsafe { Window::new(memory.bytes, &layout) }.err();
        assert_eq!(refused(good), None);
        assert_eq!(refused(Layout { window: u64::MAX, ..good }), Some(LayoutError::Wraps));
        assert_eq!(refused(Layout { runtime: u64::MAX - 4095, ..good }), Some(LayoutError::Wraps));
        assert_eq!(
            refused(Layout { public_end: good.window + good.len + 1, ..good }),
            Some(LayoutError::PublicOutside)
        );
        assert_eq!(refused(Layout { public_start: 0, ..good }), Some(LayoutError::PublicOutside));
        assert_eq!(refused(Layout { runtime: 0x10008, ..good }), Some(LayoutError::RuntimeOutside));
        assert_eq!(
            refused(Layout { runtime: good.window + good.len - 4096, ..good }),
            Some(LayoutError::RuntimeOutside)
        );
        assert_eq!(
            refused(Layout { public_start: good.window, ..good }),
            Some(LayoutError::Overlap)
        );
        let _ = &memory.window;
    }

    #[test]
    fn each_wrong_request_is_refused_with_its_reason() {
        let (memories, windows) = ranks();
        let remote = memories[1].address + PUBLIC as u64;
        let good = Request {
            opcode: 1,
            rank: 1,
            remote,
            local: memories[0].address,
            len: 64,
            ..Request::default()
        };
        let fault = |request: Request| done(0, &request, &windows).unwrap_err().to_string();
        assert!(done(0, &good, &windows).is_ok());
        assert_eq!(fault(Request { opcode: 99, ..good }), "unknown opcode 99");
        assert_eq!(fault(Request { flags: 0x80, ..good }), "flags 0x80 do not go with Put");
        assert_eq!(fault(Request { rank: 2, ..good }), "no rank 2 in a job of 2");
        assert_eq!(fault(Request { reserved2: 1, ..good }), "a reserved field is not zero");
        assert_eq!(fault(Request { opcode: 3, kind: 9, ..good }), "unknown kind 9 for Accumulate");
        assert_eq!(
            fault(Request { opcode: 3, kind: 2, len: 12, ..good }),
            "12 bytes do not go with Accumulate"
        );
        assert_eq!(
            fault(Request { len: PAGE as u64 + 1, ..good }),
            "4097 bytes at 0x7000b000 are outside of the target's public range 0x7000b000..0x7000c000"
        );
        assert_eq!(
            fault(Request { local: u64::MAX - 10, ..good }),
            "64 bytes at 0xfffffffffffffff5 are outside of the own window 0x10000..0x1d000"
        );
    }
}

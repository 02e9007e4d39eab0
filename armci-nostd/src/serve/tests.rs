//! Whole requests, on the memory of two ranks.

use core::alloc::Layout;
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::prelude::v1::*;

use proptest::prelude::*;
use real_std::thread;

use crate::error::Fault;
use crate::serve::apply::{Busy, Own, apply};
use crate::serve::check::{Checked, check};
use crate::serve::window::Window;
use crate::wire::area::{Mailbox, RuntimeArea};
use crate::wire::attach::WindowLayout;
use crate::wire::request::{AccKind, Opcode, Request, RmwKind};

const PAGE: usize = 4096;
/// Window: the runtime area, then one public page, then one private page.
const LEN: usize = size_of::<RuntimeArea>() + 2 * PAGE;
const PUBLIC: usize = size_of::<RuntimeArea>();

/// One rank's memory, at an address of its own that is not where it is mapped.
struct RankMemory {
    bytes: NonNull<u8>,
    address: u64,
}

fn allocation() -> Layout {
    Layout::from_size_align(LEN, PAGE).unwrap()
}

impl RankMemory {
    fn new(address: u64) -> Self {
        // SAFETY: the size is not zero.
        let bytes = NonNull::new(unsafe { std::alloc::alloc_zeroed(allocation()) }).unwrap();
        Self { bytes, address }
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
        let lock = offset_of!(RuntimeArea, mailbox) + offset_of!(Mailbox, lock);
        // SAFETY: in bounds and aligned.
        unsafe { self.bytes.add(lock).cast::<u32>().write(0) };
    }
}

impl Drop for RankMemory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { std::alloc::dealloc(self.bytes.as_ptr(), allocation()) };
    }
}

/// What a request of rank 0 did: the bytes moved, and the value for the completion.
fn done(request: &Request, windows: &[Window]) -> Result<Result<(u64, u64), Busy>, Fault> {
    let bounds: Vec<_> = windows.iter().map(|window| window.bounds().clone()).collect();
    Ok(match check(request, &bounds[0], &bounds)? {
        Checked::Fence { .. } => Ok((0, 0)),
        Checked::Work(work) => {
            apply(&work, Own::Window(&windows[0]), &windows[work.target() as usize])
                .map(|value| (work.bytes(), value))
        }
    })
}

fn layout(address: u64) -> WindowLayout {
    WindowLayout {
        window: address,
        len: LEN as u64,
        runtime: address,
        public_start: address + PUBLIC as u64,
        public_end: address + (PUBLIC + PAGE) as u64,
    }
}

fn ranks() -> (Vec<RankMemory>, Vec<Window>) {
    let memories: Vec<_> = [0x10000, 0x7000_0000].map(RankMemory::new).into();
    let windows = memories
        .iter()
        // SAFETY: valid for LEN bytes until the memories are dropped, with the windows.
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
    let shape = (0u8..8, 0u8..16, 0u8..8, prop_oneof![0u32..3, any::<u32>()], any::<[u64; 2]>());
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

    /// Whatever a rank asks for: only public bytes and the mailbox of the target change, or bytes
    /// of its own that it named; a refused request changes nothing.
    #[test]
    fn nothing_else_is_touched(request in any_request()) {
        let (memories, windows) = ranks();
        memories[0].fill(1);
        memories[1].fill(2);
        let before: Vec<_> = memories.iter().map(RankMemory::contents).collect();
        let result = done(&request, &windows);
        for (rank, memory) in memories.iter().enumerate() {
            let named = request.local.saturating_sub(memory.address)
                ..request.local.saturating_add(request.len).saturating_sub(memory.address);
            let public = PUBLIC..PUBLIC + PAGE;
            let mailbox = if request.flags & 2 != 0 { 4 * PAGE..PUBLIC } else { 0..0 };
            for (i, (old, new)) in before[rank].iter().zip(memory.contents()).enumerate() {
                let asked = request.rank as usize == rank
                    && (public.contains(&i) || mailbox.contains(&i));
                let got = rank == 0
                    && request.opcode == Opcode::Get as u8
                    && named.contains(&(i as u64));
                prop_assert!(
                    *old == new || result.is_ok() && (asked || got),
                    "byte {i:#x} of rank {rank} changed: {result:?}"
                );
            }
        }
    }

    #[test]
    fn put_and_get_move_the_bytes(
        from in 0usize..PAGE,
        to in 0usize..PAGE,
        len in 0usize..PAGE,
        get in any::<bool>(),
        target in 0u32..2,
    ) {
        let len = len.min(PAGE - from).min(PAGE - to);
        let (memories, windows) = ranks();
        memories[0].fill(1);
        memories[1].fill(2);
        let target_at = memories[target as usize].address + PUBLIC as u64;
        let own_at = memories[0].address + PUBLIC as u64;
        let mut model: Vec<_> = memories.iter().map(RankMemory::contents).collect();
        let t = target as usize;
        let request = Request { rank: target, len: len as u64, ..Request::default() };
        let request = if get {
            let bytes = model[t][PUBLIC + from..][..len].to_vec();
            model[0][PUBLIC + to..][..len].copy_from_slice(&bytes);
            let (remote, local) = (target_at + from as u64, own_at + to as u64);
            Request { opcode: 2, remote, local, ..request }
        } else {
            let bytes = model[0][PUBLIC + from..][..len].to_vec();
            model[t][PUBLIC + to..][..len].copy_from_slice(&bytes);
            let (remote, local) = (target_at + to as u64, own_at + from as u64);
            Request { opcode: 1, remote, local, ..request }
        };
        prop_assert_eq!(done(&request, &windows), Ok(Ok((len as u64, 0))));
        prop_assert_eq!(memories.iter().map(RankMemory::contents).collect::<Vec<_>>(), model);
    }
}

/// A request on the first public word of rank 1.
fn on_word(memories: &[RankMemory], opcode: Opcode, kind: u8, operand: [u64; 2]) -> Request {
    Request {
        opcode: opcode as u8,
        kind,
        rank: 1,
        remote: memories[1].address + PUBLIC as u64,
        len: 8,
        operand,
        ..Request::default()
    }
}

#[test]
fn what_needs_the_lock_waits_for_it() {
    let (memories, windows) = ranks();
    let add = on_word(&memories, Opcode::ReadModifyWrite, RmwKind::FetchAdd64 as u8, [1, 0]);
    let local = memories[0].address + PUBLIC as u64;
    let accumulate = on_word(&memories, Opcode::Accumulate, AccKind::Long as u8, [1, 0]);
    let accumulate = Request { local, ..accumulate };
    let before = memories[1].contents();
    let held = windows[1].lock().try_lock(1).unwrap();
    assert_eq!(done(&add, &windows), Ok(Err(Busy { holder: 1 })));
    assert_eq!(done(&accumulate, &windows), Ok(Err(Busy { holder: 1 })));
    drop(held);
    assert_eq!(memories[1].contents(), before);
    assert_eq!(done(&add, &windows), Ok(Ok((8, 0))));
    assert_eq!(done(&add, &windows), Ok(Ok((8, 1))));
}

#[test]
fn operands_are_passed_on() {
    let (memories, windows) = ranks();
    let change = |kind: RmwKind, operand| {
        let request = on_word(&memories, Opcode::ReadModifyWrite, kind as u8, operand);
        done(&request, &windows).unwrap().unwrap().1
    };
    assert_eq!(change(RmwKind::FetchAdd64, [5, 0]), 0);
    assert_eq!(change(RmwKind::CompareSwap64, [4, 9]), 5, "not what was expected: no change");
    assert_eq!(change(RmwKind::CompareSwap64, [5, 9]), 5);

    let source = LEN - PAGE;
    // SAFETY: in bounds and aligned.
    unsafe { memories[0].bytes.add(source).cast::<i64>().write(7) };
    let local = memories[0].address + source as u64;
    let scaled = on_word(&memories, Opcode::Accumulate, AccKind::Long as u8, [3, 0]);
    assert_eq!(done(&Request { local, ..scaled }, &windows), Ok(Ok((8, 0))));
    assert_eq!(change(RmwKind::FetchAdd64, [0, 0]), 9 + 3 * 7);

    let inline = on_word(&memories, Opcode::Put, 0, [11, 0]);
    let inline = Request { flags: 1, ..inline };
    assert_eq!(done(&inline, &windows), Ok(Ok((8, 0))));
    assert_eq!(change(RmwKind::FetchAdd64, [0, 0]), 11);
}

/// What is put into the word, of this many bytes, when the data are those of round `round`.
fn word(round: u64, len: usize) -> u64 {
    let half = (1 << 16) + round;
    if len == 4 { half } else { half << 32 | half }
}

/// A put of a word, from the request or from memory, is one store, and is seen after all that was
/// put before. Miri also sees if it is not a release: then reading the data is a race.
#[test]
fn who_sees_a_word_sees_it_whole_and_the_data_before_it() {
    const DATA: usize = 64;
    const ROUNDS: u64 = if cfg!(miri) { 20 } else { 500 };
    for (inline, len) in [(true, 4), (true, 8), (false, 4), (false, 8)] {
        let (memories, windows) = ranks();
        // SAFETY: in bounds and aligned; of both, only atomics are used while these references
        // live, or bytes are written through raw pointers.
        let (target, seen) = unsafe {
            let target = memories[1].bytes.as_ptr().add(PUBLIC);
            let seen = memories[0].bytes.as_ptr().add(PUBLIC + PAGE);
            (target, AtomicU64::from_ptr(seen.cast()))
        };
        // SAFETY: as above.
        let (halves, whole, data) = unsafe {
            let data = core::slice::from_raw_parts(target.add(DATA).cast::<AtomicU64>(), DATA / 8);
            (AtomicU32::from_ptr(target.cast()), AtomicU64::from_ptr(target.cast()), data)
        };
        let read = || match len {
            4 => halves.load(Ordering::Acquire).into(),
            _ => whole.load(Ordering::Acquire),
        };
        let put = |from: usize, to: usize, len: usize| Request {
            opcode: Opcode::Put as u8,
            rank: 1,
            remote: memories[1].address + (PUBLIC + to) as u64,
            local: memories[0].address + (PUBLIC + from) as u64,
            len: len as u64,
            ..Request::default()
        };
        let (data_put, word_put) = (put(DATA, DATA, DATA), put(0, 0, len));
        let own = |at: usize, value: u64| {
            // SAFETY: in bounds and aligned, in the memory of rank 0, which nobody else reads.
            unsafe { memories[0].bytes.add(PUBLIC + at).cast::<u64>().write(value) };
        };
        thread::scope(|scope| {
            scope.spawn(move || {
                for round in 1..=ROUNDS {
                    let mut found = read();
                    while found != word(round, len) {
                        let earlier = if round == 1 { 0 } else { word(round - 1, len) };
                        assert_eq!(found, earlier, "inline {inline}, {len} bytes: half a word");
                        thread::yield_now();
                        found = read();
                    }
                    let data = data.iter().map(|word| word.load(Ordering::Relaxed));
                    for value in data {
                        assert_eq!(value, round, "inline {inline}, {len} bytes: data of before");
                    }
                    seen.store(round, Ordering::Release);
                }
            });
            for round in 1..=ROUNDS {
                (DATA..2 * DATA).step_by(8).for_each(|at| own(at, round));
                own(0, word(round, len));
                let operand = [word(round, len), 0];
                let flags = if inline { 1 } else { 0 };
                done(&data_put, &windows).unwrap().unwrap();
                done(&Request { flags, operand, ..word_put }, &windows).unwrap().unwrap();
                while seen.load(Ordering::Acquire) != round {
                    thread::yield_now();
                }
            }
        });
    }
}

//! A rank that breaks the ring's rules, to see that nobody but its own job is harmed.
//!
//! `hostile KIND`: the last rank does what KIND says and then waits forever, as do the others in a
//! barrier; the proxy must end the job and say which rank did what. Without an argument the kinds
//! are listed.

#![cfg_attr(xenolith_guest, no_std, no_main)]

extern crate alloc;

use core::sync::atomic::Ordering;

use guest_kernel::armci::shared::ring::{Producer, SharedSlots};
use guest_kernel::armci::wire::{
    COMPLETIONS, Header, JobState, Opcode, Request, RmwKind, SUBMISSIONS,
};
use guest_kernel::armci::{Armci, Awaited, Error, Platform};
use guest_kernel::{Exit, eprintln, println};

guest_kernel::main!(run);

/// What to do to the ring.
enum Wrong {
    /// Put a wrong request into it.
    Request(Request),
    /// Claim that more requests are there than it can hold.
    SubmissionTail,
    /// Claim that more completions were taken than were made, then ask for enough to make the proxy
    /// look.
    CompletionHead(Request),
}

/// A name, and how to spoil a good request.
type Kind = (&'static str, fn(Request) -> Wrong);

/// All kinds, with what each does given a good request to spoil.
const KINDS: &[Kind] = &[
    ("bad-opcode", |good| Wrong::Request(Request { opcode: 0xee, ..good })),
    ("bad-flags", |good| Wrong::Request(Request { flags: 0xf0, ..good })),
    ("bad-kind", |good| {
        Wrong::Request(Request { opcode: Opcode::Accumulate as u8, kind: 77, ..good })
    }),
    ("reserved-field", |good| Wrong::Request(Request { reserved2: 1, ..good })),
    ("foreign-rank", |good| Wrong::Request(Request { rank: 1000, ..good })),
    ("past-the-end", |good| Wrong::Request(Request { len: 1 << 40, ..good })),
    ("wrapping-length", |good| Wrong::Request(Request { len: u64::MAX - 7, ..good })),
    ("wrapping-address", |good| Wrong::Request(Request { remote: u64::MAX - 7, len: 64, ..good })),
    ("foreign-local", |good| Wrong::Request(Request { local: u64::MAX / 2, ..good })),
    ("outside-the-mailbox", |good| Wrong::Request(Request { flags: 2, remote: 1 << 20, ..good })),
    ("misaligned-word", |good| {
        let (opcode, kind) = (Opcode::ReadModifyWrite as u8, RmwKind::FetchAdd64 as u8);
        Wrong::Request(Request { opcode, kind, remote: good.remote + 1, len: 8, ..good })
    }),
    ("submission-tail-jumps", |_| Wrong::SubmissionTail),
    ("completion-head-jumps", Wrong::CompletionHead),
];

fn run() -> Exit {
    let armci = guest_kernel::armci();
    let kind = guest_kernel::args().first();
    let Some(&(_, spoil)) = KINDS.iter().find(|(name, _)| kind.is_some_and(|kind| kind == name))
    else {
        KINDS.iter().for_each(|(name, _)| println!("{name}"));
        return Exit::from(0);
    };
    let Some(platform) = armci.platform() else {
        eprintln!("error: there is no proxy to be hostile to: start this with pgas run");
        return Exit::from(1);
    };
    match attack(armci, platform, spoil) {
        Ok(()) => eprintln!("error: the job went on"),
        Err(error) => eprintln!("error: {error}"),
    }
    Exit::from(1)
}

fn attack(
    armci: &Armci,
    platform: &dyn Platform,
    spoil: fn(Request) -> Wrong,
) -> Result<(), Error> {
    let global = armci.malloc::<u64>(64)?;
    if armci.rank() == armci.size() - 1 {
        println!("attacking");
        let area = platform.area();
        let good = Request {
            opcode: Opcode::Put as u8,
            rank: 0,
            remote: global.address_at(0),
            local: global.address_at(armci.rank()),
            len: 64,
            ..Request::default()
        };
        let header = &area.header;
        // SAFETY: the slots lie in the area, which lives forever; nothing is under way on it.
        let slots = unsafe { SharedSlots::new(area.submissions.get().cast(), SUBMISSIONS) };
        let mut producer =
            Producer::new(slots, &header.submission_tail.0, &header.submission_head.0);
        match spoil(good) {
            Wrong::Request(request) => {
                producer.push(request)?;
                producer.publish();
            }
            Wrong::SubmissionTail => {
                header.submission_tail.0.fetch_add(SUBMISSIONS * 1000, Ordering::Release);
            }
            Wrong::CompletionHead(request) => {
                header.completion_head.0.fetch_sub(1 << 31, Ordering::Release);
                for _ in 0..2 * COMPLETIONS {
                    while attached(header) && !producer.push(request)? {}
                    producer.publish();
                    platform.notify();
                }
            }
        }
        platform.notify();
        // Not by `armci`, whose next request would overwrite the wrong one.
        while attached(header) {
            platform.wait(Awaited::Proxy)?;
        }
        return Err(Error::JobFailed);
    }
    armci.barrier()?;
    armci.free(global)
}

fn attached(header: &Header) -> bool {
    JobState::from_wire(header.state.0.load(Ordering::Acquire)) == JobState::Attached
}

//! From a request to what it asks for, if that can be done.

use core::ops::Range;

use crate::error::Fault;
use crate::serve::bounds::Bounds;
use crate::wire::request::{ALL_RANKS, AccKind, Flags, INLINE_BYTES, Opcode, Request, RmwKind};

/// What a request asks for. All of it exists, and whatever is to be touched may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// To be answered when the asking rank's earlier requests are done.
    Fence {
        /// At this target, or at all.
        target: Option<u32>,
        /// Whether the target's doorbell is to be rung then.
        notify: bool,
    },
    /// To be applied to memory.
    Work(Work),
}

/// Something to be done to the memory of a rank; made only by [`check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    target: u32,
    notify: bool,
    effect: Effect,
}

/// What is done. Addresses are those of the rank whose memory it is; those of no bytes may be any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A copy of bytes that came in the request itself.
    PutInline {
        /// The bytes, from the first on.
        data: [u64; 2],
        /// Where they go at the target.
        to: u64,
        /// How many: [`INLINE_BYTES`] at most.
        len: u64,
    },
    /// A copy to the target.
    Put {
        /// Where the bytes are at the asking rank.
        from: u64,
        /// Where they go at the target.
        to: u64,
        /// How many.
        len: u64,
    },
    /// A copy from the target.
    Get {
        /// Where the bytes are at the target.
        from: u64,
        /// Where they go at the asking rank.
        to: u64,
        /// How many.
        len: u64,
    },
    /// `to += scale * from`, element by element, under the target's lock.
    Accumulate {
        /// The elements' type.
        kind: AccKind,
        /// The bytes of one element.
        scale: [u64; 2],
        /// Where the elements are at the asking rank.
        from: u64,
        /// Where they are added at the target.
        to: u64,
        /// Bytes: whole elements.
        len: u64,
    },
    /// A change of one aligned word, under the target's lock.
    ReadModifyWrite {
        /// Which change.
        kind: RmwKind,
        /// With what.
        operand: [u64; 2],
        /// Where the word is at the target.
        word: u64,
    },
}

impl Checked {
    /// The rank whose doorbell is to be rung afterwards.
    pub fn notify(&self) -> Option<u32> {
        match *self {
            Self::Fence { target, notify } => target.filter(|_| notify),
            Self::Work(Work { target, notify, .. }) => Some(target).filter(|_| notify),
        }
    }
}

impl Work {
    /// The rank on whose memory it is done.
    pub fn target(&self) -> u32 {
        self.target
    }

    /// What it reads or writes: of the asking rank's memory, and of the target's.
    pub fn touches(&self) -> (Range<u64>, Range<u64>) {
        let (own, at_target, len) = match self.effect {
            Effect::PutInline { to, len, .. } => (None, to, len),
            Effect::Put { from, to, len } | Effect::Accumulate { from, to, len, .. } => {
                (Some(from), to, len)
            }
            Effect::Get { from, to, len } => (Some(to), from, len),
            Effect::ReadModifyWrite { kind, word, .. } => (None, word, kind.size() as u64),
        };
        // The check has found that none wraps; the address of no bytes may be any.
        let range = |start: u64| start..start.saturating_add(len);
        (own.map_or(0..0, range), range(at_target))
    }

    /// What is done.
    pub fn effect(&self) -> &Effect {
        &self.effect
    }

    /// Bytes that it moves.
    pub fn bytes(&self) -> u64 {
        match self.effect {
            Effect::PutInline { len, .. }
            | Effect::Put { len, .. }
            | Effect::Get { len, .. }
            | Effect::Accumulate { len, .. } => len,
            Effect::ReadModifyWrite { kind, .. } => kind.size() as u64,
        }
    }
}

/// Checks a request of a rank with the memory `own`, in a job of ranks with the memory `all`. No
/// memory is touched.
pub fn check(request: &Request, own: &Bounds, all: &[Bounds]) -> Result<Checked, Fault> {
    check_with(request, |address, len| own.own(address, len), all)
}

/// Checks a request of a rank whose memory is elsewhere, and whose data come or go apart: see
/// [`Own::Bytes`](crate::serve::Own::Bytes).
pub fn check_from_elsewhere(request: &Request, all: &[Bounds]) -> Result<Checked, Fault> {
    check_with(request, |_, _| Ok(0), all)
}

fn check_with(
    request: &Request,
    own: impl Fn(u64, u64) -> Result<u64, Fault>,
    all: &[Bounds],
) -> Result<Checked, Fault> {
    let opcode = Opcode::from_wire(request.opcode).ok_or(Fault::Opcode(request.opcode))?;
    let bad_flags = Fault::Flags { flags: request.flags, opcode };
    let flags = Flags::from_bits(request.flags).ok_or(bad_flags)?;
    let inline = flags.contains(Flags::INLINE);
    if inline && opcode != Opcode::Put {
        return Err(bad_flags);
    }
    if request.reserved0 != 0 || request.reserved1 != 0 || request.reserved2 != 0 {
        return Err(Fault::Reserved);
    }
    let notify = flags.contains(Flags::NOTIFY);
    if opcode == Opcode::Fence && request.rank == ALL_RANKS {
        return Ok(Checked::Fence { target: None, notify });
    }
    let target = all
        .get(request.rank as usize)
        .ok_or(Fault::Rank { rank: request.rank, size: all.len() })?;
    let Request { len, operand, .. } = *request;
    let local = || own(request.local, len);
    let remote = || match flags.contains(Flags::MAILBOX) {
        true => target.mailbox(request.remote, len),
        false => target.public(request.remote, len),
    };
    let wrong_length = Fault::Length { len, opcode };
    let wrong_kind = Fault::Kind { kind: request.kind, opcode };
    let effect = match opcode {
        Opcode::Put if inline => {
            if len > INLINE_BYTES as u64 {
                return Err(wrong_length);
            }
            Effect::PutInline { data: operand, to: remote()?, len }
        }
        Opcode::Put => Effect::Put { from: local()?, to: remote()?, len },
        Opcode::Get => Effect::Get { from: remote()?, to: local()?, len },
        Opcode::Accumulate => {
            let kind = AccKind::from_wire(request.kind).ok_or(wrong_kind)?;
            if !len.is_multiple_of(kind.size() as u64) {
                return Err(wrong_length);
            }
            Effect::Accumulate { kind, scale: operand, from: local()?, to: remote()?, len }
        }
        Opcode::ReadModifyWrite => {
            let kind = RmwKind::from_wire(request.kind).ok_or(wrong_kind)?;
            if len != kind.size() as u64 {
                return Err(wrong_length);
            }
            let word = remote()?;
            if !word.is_multiple_of(len) {
                return Err(Fault::Misaligned { address: request.remote, align: kind.size() });
            }
            Effect::ReadModifyWrite { kind, operand, word }
        }
        Opcode::Fence => return Ok(Checked::Fence { target: Some(request.rank), notify }),
    };
    Ok(Checked::Work(Work { target: request.rank, notify, effect }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::prelude::v1::*;

    use crate::wire::area::RuntimeArea;
    use crate::wire::attach::WindowLayout;

    const PAGE: u64 = 4096;
    /// Where the public page of a window begins, behind the runtime area.
    const PUBLIC: u64 = size_of::<RuntimeArea>() as u64;

    /// A window of the runtime area, a public page and a private page.
    fn bounds(window: u64) -> Bounds {
        Bounds::new(&WindowLayout {
            window,
            len: PUBLIC + 2 * PAGE,
            runtime: window,
            public_start: window + PUBLIC,
            public_end: window + PUBLIC + PAGE,
        })
        .unwrap()
    }

    #[test]
    fn each_wrong_request_is_refused_with_its_reason() {
        let all = [bounds(0x10000), bounds(0x7000_0000)];
        let good = Request {
            opcode: 1,
            rank: 1,
            remote: 0x7000_0000 + PUBLIC,
            local: 0x10000,
            len: 64,
            ..Request::default()
        };
        let fault = |request: Request| check(&request, &all[0], &all).unwrap_err().to_string();
        assert!(check(&good, &all[0], &all).is_ok());
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
            fault(Request { len: PAGE + 1, ..good }),
            "4097 bytes at 0x7000b000 are outside of the target's public range \
             0x7000b000..0x7000c000"
        );
        assert_eq!(
            fault(Request { local: u64::MAX - 10, ..good }),
            "64 bytes at 0xfffffffffffffff5 are outside of the own window 0x10000..0x1d000"
        );
        assert_eq!(
            fault(Request { opcode: 4, kind: 2, len: 8, remote: good.remote + 4, ..good }),
            "address 0x7000b004 is not a multiple of 8"
        );
    }

    #[test]
    fn what_is_asked_for_comes_out() {
        let all = [bounds(0x10000), bounds(0x7000_0000)];
        let checked = |request| check(&request, &all[0], &all).unwrap();
        let get = Request {
            opcode: 2,
            flags: Flags::MAILBOX.bits(),
            rank: 1,
            remote: 8,
            local: 0x10010,
            len: 24,
            ..Request::default()
        };
        let mailbox = core::mem::offset_of!(RuntimeArea, mailbox) as u64;
        let Checked::Work(work) = checked(get) else { core::panic!("a get is work") };
        assert_eq!((work.target(), work.bytes()), (1, 24));
        let from = 0x7000_0000 + mailbox + 8;
        assert_eq!(*work.effect(), Effect::Get { from, to: 0x10010, len: 24 });

        let fence = Request { opcode: 5, flags: Flags::NOTIFY.bits(), ..Request::default() };
        let one = checked(Request { rank: 1, ..fence });
        assert_eq!(one, Checked::Fence { target: Some(1), notify: true });
        assert_eq!(one.notify(), Some(1));
        let all_ranks = checked(Request { rank: ALL_RANKS, ..fence });
        assert_eq!(all_ranks, Checked::Fence { target: None, notify: true });
        assert_eq!(all_ranks.notify(), None);
    }
}

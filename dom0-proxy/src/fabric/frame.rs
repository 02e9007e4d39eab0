//! What the proxies of two hosts say to each other, in bytes. No I/O here.
//!
//! A frame is a `u32` that says what it is, a `u32` with the length of what follows, and that.
//! Numbers are little-endian. Whatever the other side may have written comes out as a value or as
//! an error.

use armci_nostd::wire::Request;
use zerocopy::{FromBytes, IntoBytes};

/// The most bytes that one frame moves; longer operations are asked for in pieces. Whole elements
/// of every type.
pub const PIECE: usize = 256 << 10;

/// Bytes of a frame in front of its body.
pub const HEAD: usize = 8;

/// No body is longer.
pub const MAX_BODY: usize = size_of::<Request>() + PIECE;

const HELLO: u32 = 1;
const ASK: u32 = 2;
const ANSWER: u32 = 3;
const DONE: u32 = 4;
const BYE: u32 = 5;

/// One frame, still where it was received.
#[derive(Debug, PartialEq)]
pub enum Frame<'a> {
    /// The first of each side: what the other must know of its ranks.
    Hello(&'a [u8]),
    /// An operation on the memory of a rank of the receiving host, with the data of a put or an
    /// accumulate unless they are in the request. `local` and `tag` say nothing.
    Ask {
        /// The operation.
        request: Request,
        /// The data.
        data: &'a mut [u8],
    },
    /// What an operation has brought: of a read-modify-write the value that was there, of a get the
    /// data. Answers come in the order of the operations.
    Answer {
        /// The value.
        value: u64,
        /// The data.
        data: &'a [u8],
    },
    /// As many operations, of all that were asked for on this connection, are done.
    Done(u64),
    /// The sender has nothing to say any more: its part of the job ends.
    Bye,
}

/// Bytes that are no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Of no kind that there is.
    #[error("it sends a frame of the unknown kind {0}")]
    Kind(u32),
    /// Longer or shorter than such a frame can be.
    #[error("it sends a frame of kind {kind} with {length} bytes")]
    Length {
        /// What it is.
        kind: u32,
        /// The length that it claims.
        length: u32,
    },
}

/// The first frame of what was received, and its length; `None` if some of it is still to come.
pub fn parse(received: &mut [u8]) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let word = |at: usize| -> Option<u32> {
        let bytes = received.get(at..at + size_of::<u32>())?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let Some((kind, length)) = word(0).zip(word(4)) else { return Ok(None) };
    let body = length as usize;
    let fits = match kind {
        HELLO => body <= MAX_BODY,
        ASK => (size_of::<Request>()..=MAX_BODY).contains(&body),
        ANSWER => (size_of::<u64>()..=size_of::<u64>() + PIECE).contains(&body),
        DONE => body == size_of::<u64>(),
        BYE => body == 0,
        _ => return Err(FrameError::Kind(kind)),
    };
    let wrong = FrameError::Length { kind, length };
    if !fits {
        return Err(wrong);
    }
    let Some(body) = received.get_mut(HEAD..HEAD + body) else { return Ok(None) };
    let count = HEAD + body.len();
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes);
    let frame = match kind {
        HELLO => Frame::Hello(body),
        ASK => {
            let (request, data) = body.split_at_mut(size_of::<Request>());
            let request = Request::read_from_bytes(request).map_err(|_| wrong)?;
            Frame::Ask { request, data }
        }
        ANSWER => {
            let (value, data) = body.split_at(size_of::<u64>());
            Frame::Answer { value: number(value).map_err(|_| wrong)?, data }
        }
        DONE => Frame::Done(number(body).map_err(|_| wrong)?),
        _ => Frame::Bye,
    };
    Ok(Some((frame, count)))
}

/// Appends a frame whose body is `body` and then `room` more bytes, which are zeros. Where those
/// begin.
fn append(to: &mut Vec<u8>, kind: u32, body: &[u8], room: usize) -> usize {
    let length = (body.len() + room) as u32;
    to.extend_from_slice(&kind.to_le_bytes());
    to.extend_from_slice(&length.to_le_bytes());
    to.extend_from_slice(body);
    let begin = to.len();
    to.resize(begin + room, 0);
    begin
}

/// Appends a [`Frame::Hello`], which is no longer than [`MAX_BODY`].
pub fn hello(to: &mut Vec<u8>, body: &[u8]) {
    append(to, HELLO, body, 0);
}

/// Appends a [`Frame::Ask`] with room for its data. Where those begin.
pub fn ask(to: &mut Vec<u8>, request: &Request, data: usize) -> usize {
    append(to, ASK, request.as_bytes(), data)
}

/// Appends a [`Frame::Answer`] with room for its data. Where those begin.
pub fn answer(to: &mut Vec<u8>, value: u64, data: usize) -> usize {
    append(to, ANSWER, &value.to_le_bytes(), data)
}

/// Appends a [`Frame::Done`].
pub fn done(to: &mut Vec<u8>, count: u64) {
    append(to, DONE, &count.to_le_bytes(), 0);
}

/// Appends a [`Frame::Bye`].
pub fn bye(to: &mut Vec<u8>) {
    append(to, BYE, &[], 0);
}

#[cfg(test)]
mod tests {
    use armci_nostd::wire::Opcode;
    use proptest::prelude::*;

    use super::*;

    fn all() -> Vec<u8> {
        let mut bytes = Vec::new();
        hello(&mut bytes, b"it is me");
        let request = Request { opcode: Opcode::Put as u8, rank: 3, len: 4, ..Request::default() };
        let at = ask(&mut bytes, &request, 4);
        bytes[at..at + 4].copy_from_slice(b"data");
        let at = answer(&mut bytes, 7, 3);
        bytes[at..at + 3].copy_from_slice(b"got");
        done(&mut bytes, 9);
        bye(&mut bytes);
        bytes
    }

    /// The frames that these bytes are, in words.
    fn frames(bytes: &[u8]) -> (Vec<String>, usize) {
        let (mut frames, mut bytes, mut taken) = (Vec::new(), bytes.to_vec(), 0);
        while let Some((frame, count)) = parse(&mut bytes[taken..]).unwrap() {
            frames.push(format!("{frame:?}"));
            taken += count;
        }
        (frames, taken)
    }

    #[test]
    fn what_is_appended_comes_out() {
        let bytes = all();
        let (frames, taken) = frames(&bytes);
        assert_eq!((frames.len(), taken), (5, bytes.len()));
        assert!(frames[1].contains("rank: 3") && frames[1].contains("[100, 97, 116, 97]"));
        assert_eq!(frames[2], "Answer { value: 7, data: [103, 111, 116] }");
        assert_eq!(frames[3..], ["Done(9)", "Bye"]);
    }

    #[test]
    fn what_is_cut_off_is_still_to_come() {
        let bytes = all();
        let (whole, _) = frames(&bytes);
        for length in 0..bytes.len() {
            let (frames, taken) = frames(&bytes[..length]);
            assert!(taken <= length && frames[..] == whole[..frames.len()]);
        }
    }

    #[test]
    fn what_no_frame_can_be_is_refused_before_it_has_come() {
        for (kind, length) in [
            (HELLO, MAX_BODY as u32 + 1),
            (ASK, 63),
            (ASK, u32::MAX),
            (ANSWER, 7),
            (ANSWER, (8 + PIECE + 1) as u32),
            (DONE, 9),
            (BYE, 1),
        ] {
            let mut head = [kind.to_le_bytes(), length.to_le_bytes()].concat();
            assert_eq!(parse(&mut head), Err(FrameError::Length { kind, length }));
        }
        for kind in [0, 6, u32::MAX] {
            let mut head = [kind.to_le_bytes(), [0; 4]].concat();
            assert_eq!(parse(&mut head), Err(FrameError::Kind(kind)));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            kind in 0u32..7,
        ) {
            let _ = parse(&mut bytes);
            if bytes.len() >= HEAD {
                bytes[..4].copy_from_slice(&kind.to_le_bytes());
                bytes[5..8].fill(0);
                if let Ok(Some((_, count))) = parse(&mut bytes.clone()) {
                    prop_assert!(count <= bytes.len());
                }
            }
        }
    }
}

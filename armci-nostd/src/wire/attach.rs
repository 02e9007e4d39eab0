//! Messages that are sent once: a hosted rank's attach and its answer.
//!
//! Each is one frame on a Unix stream socket: a `u32`, little-endian, with the length of what
//! follows, then the message in postcard. A Xen guest says the same in one xenstore node, see
//! [`XenAttach`].

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::prelude::v1::*;

use crate::wire::limits::PROTOCOL_VERSION;

/// No frame of this protocol is longer. A longer one is refused before anything is allocated for
/// it.
pub const MAX_FRAME: usize = 64 * 1024;

/// Where a rank's memory is, by addresses in its own space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowLayout {
    /// Address of the window's first byte.
    pub window: u64,
    /// Bytes of the window.
    pub len: u64,
    /// Address of the [`RuntimeArea`](super::RuntimeArea), in the window.
    pub runtime: u64,
    /// First address that other ranks may touch.
    pub public_start: u64,
    /// The address after the last that other ranks may touch.
    pub public_end: u64,
}

/// A hosted rank's first message. With its first byte come three file descriptors: the window as a
/// memfd that is sealed against shrinking, the proxy's doorbell as an eventfd, and the rank's
/// doorbell as one end of a pair of Unix stream sockets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// [`PROTOCOL_VERSION`].
    pub version: u32,
    /// The job, as `$XENOLITH_JOB` says.
    pub job: String,
    /// The rank, as `$XENOLITH_RANK` says.
    pub rank: u32,
    /// What only that rank was told, in `$XENOLITH_TOKEN`: so no other takes its place.
    pub token: String,
    /// Where its memory is.
    pub layout: WindowLayout,
}

/// The proxy's answer to [`Attach`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttachReply {
    /// The rank is part of the job; its state word follows when all ranks are.
    Accepted {
        /// How many other ranks of the job run on this host: as many introductions follow.
        neighbours: u32,
    },
    /// It is not, with one line that says why.
    Refused(String),
}

/// What the proxy tells a hosted rank of each other rank, after [`AttachReply::Accepted`] and when
/// all are there. With its first byte come two file descriptors: the other rank's window and its
/// doorbell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// The other rank.
    pub rank: u32,
    /// Where its memory is, by its own addresses.
    pub layout: WindowLayout,
}

/// What a Xen guest writes to `data/xenolith/attach` under its own xenstore path.
///
/// Text: decimal numbers with one space between: version, first grant reference, pages,
/// event-channel port, port for parking, runtime area, start and end of the public range. The
/// guest's memory starts at address 0, and page `p` is granted by reference `first_ref + p`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XenAttach {
    /// Grant reference of page 0.
    pub first_ref: u32,
    /// Pages granted.
    pub pages: u32,
    /// Unbound event-channel port for domain 0: the doorbells of both sides.
    pub port: u32,
    /// Another one, by which domain 0 interrupts the rank to have it stand still or go on, as
    /// [`Header::park`](super::Header::park) says.
    pub park_port: u32,
    /// Address of the runtime area.
    pub runtime: u64,
    /// First address that other ranks may touch.
    pub public_start: u64,
    /// The address after the last that other ranks may touch.
    pub public_end: u64,
}

/// Why a message was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// A frame that claims more than [`MAX_FRAME`] bytes.
    #[error("a message of {0} bytes is longer than the {MAX_FRAME} allowed")]
    TooLong(usize),
    /// Not the bytes of this message.
    #[error("a message could not be decoded")]
    Malformed,
    /// A Xen attach node that is not eight numbers.
    #[error("the attach node {0:?} is not eight decimal numbers")]
    MalformedNode(String),
    /// The other side speaks another version.
    #[error(
        "the other side speaks protocol version {0}, this one {PROTOCOL_VERSION}: \
         rebuild the older of the two"
    )]
    Version(u32),
}

/// The frame that carries `message`.
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, MessageError> {
    let mut frame = Vec::from([0; 4]);
    frame = postcard::to_extend(message, frame).map_err(|_| MessageError::Malformed)?;
    let length = frame.len() - 4;
    if length > MAX_FRAME {
        return Err(MessageError::TooLong(length));
    }
    frame[..4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(frame)
}

/// The length of the body that a frame's first four bytes announce.
pub fn body_length(prefix: [u8; 4]) -> Result<usize, MessageError> {
    match u32::from_le_bytes(prefix) as usize {
        length if length <= MAX_FRAME => Ok(length),
        length => Err(MessageError::TooLong(length)),
    }
}

/// The version that a frame's body begins with, as an [`Attach`] of every version does.
pub fn version(body: &[u8]) -> Result<u32, MessageError> {
    postcard::take_from_bytes(body).map(|(version, _)| version).map_err(|_| MessageError::Malformed)
}

/// The message in a frame's body.
pub fn decode<M: DeserializeOwned>(body: &[u8]) -> Result<M, MessageError> {
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Ok(message),
        _ => Err(MessageError::Malformed),
    }
}

impl fmt::Display for XenAttach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first_ref, pages, port, park_port, runtime, public_start, public_end } = self;
        write!(
            f,
            "{PROTOCOL_VERSION} {first_ref} {pages} {port} {park_port} {runtime} \
             {public_start} {public_end}"
        )
    }
}

impl FromStr for XenAttach {
    type Err = MessageError;

    fn from_str(node: &str) -> Result<Self, MessageError> {
        let malformed = || MessageError::MalformedNode(node.chars().take(100).collect());
        let mut words = node.split(' ');
        let mut next =
            || words.next().and_then(|word| word.parse::<u64>().ok()).ok_or_else(malformed);
        let narrow = |word: u64| u32::try_from(word).map_err(|_| malformed());
        let version = narrow(next()?)?;
        if version != PROTOCOL_VERSION {
            return Err(MessageError::Version(version));
        }
        let attach = Self {
            first_ref: narrow(next()?)?,
            pages: narrow(next()?)?,
            port: narrow(next()?)?,
            park_port: narrow(next()?)?,
            runtime: next()?,
            public_start: next()?,
            public_end: next()?,
        };
        match words.next() {
            None => Ok(attach),
            Some(_) => Err(malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attach() -> Attach {
        Attach {
            version: PROTOCOL_VERSION,
            job: "ab12cd".into(),
            rank: 3,
            token: "5eed".into(),
            layout: WindowLayout {
                window: 4096,
                len: 1 << 20,
                runtime: 4096,
                public_start: 65536,
                public_end: 1 << 20,
            },
        }
    }

    #[test]
    fn frames_round_trip() {
        let frame = encode(&attach()).unwrap();
        let length = body_length(frame[..4].try_into().unwrap()).unwrap();
        assert_eq!(length, frame.len() - 4);
        assert_eq!(version(&frame[4..]), Ok(PROTOCOL_VERSION));
        assert_eq!(decode::<Attach>(&frame[4..]), Ok(attach()));
    }

    #[test]
    fn torn_and_padded_frames_are_refused() {
        let frame = encode(&attach()).unwrap();
        for end in 4..frame.len() {
            assert!(decode::<Attach>(&frame[4..end]).is_err());
        }
        let mut longer = frame.clone();
        longer.push(0);
        assert!(decode::<Attach>(&longer[4..]).is_err());
        assert_eq!(
            body_length(u32::MAX.to_le_bytes()),
            Err(MessageError::TooLong(u32::MAX as usize))
        );
    }

    #[test]
    fn xen_attach_round_trips_and_refuses_anything_else() {
        let node = XenAttach {
            first_ref: 8,
            pages: 4096,
            port: 5,
            park_port: 6,
            runtime: 2 << 20,
            public_start: 3 << 20,
            public_end: 16 << 20,
        };
        let text = node.to_string();
        assert_eq!(text.parse(), Ok(node));
        for bad in [
            "",
            "1",
            "5 2 3 4 5 6 7",
            "5 2 3 4 5 6 7 8 9",
            "5 2 3 4 5 6 7 x",
            "5 4294967296 3 4 5 6 7 8",
            "5 2 3 4 4294967296 6 7 8",
            "4  2 3 4 5 6 7 8",
            "-4 2 3 4 5 6 7 8",
        ] {
            assert!(bad.parse::<XenAttach>().is_err(), "{bad:?}");
        }
        assert_eq!("9 2 3 4 5 6 7 8".parse::<XenAttach>(), Err(MessageError::Version(9)));
    }
}

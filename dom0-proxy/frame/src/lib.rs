//! Messages on a byte stream, each in a frame: a `u32`, little-endian, with the length of what
//! follows, then the message in postcard.
//!
//! So `pgas` talks with the daemon, and qemu-ci with the agent in a host's dom0. A rank's attach
//! has frames of the same form, made in `armci_nostd::wire`, which must do without std; there file
//! descriptors come with the first byte.

#![forbid(unsafe_code)]

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// No frame is longer: a greater length is a broken stream, not a message. It must hold the
/// arguments and the environment of a user's process.
pub const MAX_FRAME: usize = 8 << 20;

/// Writes one message, in one piece as far as the stream takes it so.
///
/// # Errors
/// When the stream does not take it, or it is longer than [`MAX_FRAME`].
pub fn send<M: Serialize>(mut stream: impl Write, message: &M) -> io::Result<()> {
    let mut frame = postcard::to_extend(message, vec![0; 4]).map_err(invalid)?;
    let length = frame.len() - 4;
    if length > MAX_FRAME {
        return Err(invalid(format!(
            "a message of {length} bytes is longer than the {MAX_FRAME} allowed"
        )));
    }
    frame[..4].copy_from_slice(&(length as u32).to_le_bytes());
    stream.write_all(&frame)
}

/// Reads one message; `None` when the other side has closed the connection between two messages.
///
/// # Errors
/// When the stream breaks, or what it brings is not such a message.
pub fn receive<M: DeserializeOwned>(mut stream: impl Read) -> io::Result<Option<M>> {
    let mut prefix = [0; 4];
    let mut filled = 0;
    while filled < prefix.len() {
        match stream.read(&mut prefix[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && filled == 0 => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
    let length = u32::from_le_bytes(prefix) as usize;
    if length > MAX_FRAME {
        return Err(invalid(format!(
            "a message of {length} bytes is longer than the {MAX_FRAME} allowed"
        )));
    }
    let mut body = Vec::new();
    stream.take(length as u64).read_to_end(&mut body)?;
    if body.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match postcard::take_from_bytes(&body) {
        Ok((message, [])) => Ok(Some(message)),
        _ => Err(invalid("a message could not be decoded")),
    }
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        send(&mut bytes, message).unwrap();
        bytes
    }

    #[test]
    fn messages_round_trip_and_the_end_is_no_error() {
        let bytes = [frame(&"one"), frame(&"two")].concat();
        let mut stream = bytes.as_slice();
        assert_eq!(receive::<String>(&mut stream).unwrap().as_deref(), Some("one"));
        assert_eq!(receive::<String>(&mut stream).unwrap().as_deref(), Some("two"));
        assert_eq!(receive::<String>(&mut stream).unwrap(), None);
    }

    #[test]
    fn torn_long_and_padded_frames_are_errors() {
        let whole = frame(&"one");
        for end in 1..whole.len() {
            assert!(receive::<String>(&whole[..end]).is_err(), "{end}");
        }
        let long = (MAX_FRAME as u32 + 1).to_le_bytes();
        assert_eq!(receive::<String>(&long[..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut padded = whole.clone();
        padded[0] += 1;
        padded.push(0);
        assert_eq!(receive::<String>(&padded[..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_claimed_length_allocates_nothing_before_the_bytes_are_there() {
        let claim = (MAX_FRAME as u32).to_le_bytes();
        assert_eq!(receive::<String>(&claim[..]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn too_long_a_message_is_not_sent() {
        assert!(send(Vec::new(), &"x".repeat(MAX_FRAME)).is_err());
    }
}

//! The xenstore protocol: messages of a 16-byte header and at most 4096 bytes.
//!
//! From Xen's `docs/misc/xenstore.txt` and `public/io/xs_wire.h`.

use std::io::{self, Read};

/// No message carries more.
pub const MAX_PAYLOAD: usize = 4096;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Operation {
    /// Names of a node's children.
    #[doc(alias = "XS_DIRECTORY")]
    Directory = 1,
    /// A node's value.
    #[doc(alias = "XS_READ")]
    Read = 2,
    /// From now on events of a node and those below it.
    #[doc(alias = "XS_WATCH")]
    Watch = 4,
    /// No more of these.
    #[doc(alias = "XS_UNWATCH")]
    Unwatch = 5,
    /// Sets a node's value, creating it.
    #[doc(alias = "XS_WRITE")]
    Write = 11,
    /// Removes a node and those below it.
    #[doc(alias = "XS_RM")]
    Remove = 13,
}

/// Type of a message that comes by itself.
#[doc(alias = "XS_WATCH_EVENT")]
pub const WATCH_EVENT: u32 = 15;
/// Type of an answer that is an error.
#[doc(alias = "XS_ERROR")]
pub const ERROR: u32 = 16;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// An [`Operation`]'s number, [`WATCH_EVENT`] or [`ERROR`].
    pub kind: u32,
    /// The same in a request and its answer.
    pub request: u32,
    /// The rest.
    pub payload: Vec<u8>,
}

impl Message {
    /// The message's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let transaction = 0;
        let header = [self.kind, self.request, transaction, self.payload.len() as u32];
        let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// Reads one message.
    pub fn read(mut stream: impl Read) -> io::Result<Self> {
        let mut header = [0; 16];
        stream.read_exact(&mut header)?;
        let word = |index: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&header[4 * index..4 * index + 4]);
            u32::from_ne_bytes(bytes)
        };
        let length = word(3) as usize;
        if length > MAX_PAYLOAD {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a message of {length} bytes is longer than the {MAX_PAYLOAD} allowed"),
            ));
        }
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload)?;
        Ok(Self { kind: word(0), request: word(1), payload })
    }
}

/// The strings of a payload, each ended by a NUL.
pub fn strings(payload: &[u8]) -> impl Iterator<Item = String> {
    let payload = payload.strip_suffix(b"\0").unwrap_or(payload);
    let words = (!payload.is_empty()).then(|| payload.split(|&byte| byte == 0));
    words.into_iter().flatten().map(|word| String::from_utf8_lossy(word).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_round_trip() {
        let message = Message { kind: 2, request: 7, payload: b"/local\0".to_vec() };
        let bytes = message.encode();
        assert_eq!(bytes.len(), 16 + 7);
        assert_eq!(Message::read(bytes.as_slice()).unwrap(), message);
        for end in 0..bytes.len() {
            assert!(Message::read(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn a_long_message_is_refused() {
        let mut bytes = Message { kind: 2, request: 7, payload: vec![0; MAX_PAYLOAD] }.encode();
        bytes[12..16].copy_from_slice(&(MAX_PAYLOAD as u32 + 1).to_ne_bytes());
        bytes.push(0);
        assert_eq!(Message::read(bytes.as_slice()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn strings_end_at_nul() {
        let of = |bytes: &[u8]| strings(bytes).collect::<Vec<_>>();
        assert_eq!(of(b"a\0bc\0"), ["a", "bc"]);
        assert_eq!(of(b"a\0bc"), ["a", "bc"]);
        assert_eq!(of(b""), [""; 0]);
        assert_eq!(of(b"\0"), [""; 0]);
    }
}

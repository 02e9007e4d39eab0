//! The xenstore protocol: messages of a 16-byte header and at most 4096 bytes.
//!
//! From Xen's `docs/misc/xenstore.txt`; numbers and header are `xen-hypercall`'s.

use std::io::{self, Read};

use xen_hypercall::io::xenstore::{MessageHeader, MessageType, PAYLOAD_MAX};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreMessage {
    /// What it is.
    pub kind: MessageType,
    /// The same in a request and its answer.
    pub request: u32,
    /// The rest.
    pub payload: Vec<u8>,
}

impl StoreMessage {
    /// The message's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let Self { kind, request, ref payload } = *self;
        let header = MessageHeader { kind, request, transaction: 0, len: payload.len() as u32 };
        [&header.to_bytes(), payload.as_slice()].concat()
    }

    /// Reads one message.
    pub fn read(mut stream: impl Read) -> io::Result<Self> {
        let mut header = [0; MessageHeader::SIZE];
        stream.read_exact(&mut header)?;
        let MessageHeader { kind, request, len, .. } = MessageHeader::from_bytes(header);
        let len = len as usize;
        if len > PAYLOAD_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a message of {len} bytes is longer than the {PAYLOAD_MAX} allowed"),
            ));
        }
        let mut payload = vec![0; len];
        stream.read_exact(&mut payload)?;
        Ok(Self { kind, request, payload })
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
        let message =
            StoreMessage { kind: MessageType::READ, request: 7, payload: b"/local\0".to_vec() };
        let bytes = message.encode();
        assert_eq!(bytes.len(), 16 + 7);
        assert_eq!(StoreMessage::read(bytes.as_slice()).unwrap(), message);
        for end in 0..bytes.len() {
            assert!(StoreMessage::read(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn a_long_message_is_refused() {
        let mut bytes =
            StoreMessage { kind: MessageType::READ, request: 7, payload: vec![0; PAYLOAD_MAX] }
                .encode();
        bytes[12..16].copy_from_slice(&(PAYLOAD_MAX as u32 + 1).to_ne_bytes());
        bytes.push(0);
        assert_eq!(
            StoreMessage::read(bytes.as_slice()).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
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

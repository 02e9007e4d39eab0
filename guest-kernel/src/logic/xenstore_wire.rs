//! Xenstore's messages: putting requests together, and taking answers apart.
//!
//! Xenstored is not trusted to be right: a message that cannot be is an error.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use xen_hypercall::io::xenstore::{MessageHeader, MessageType, PAYLOAD_MAX};

/// Why a request to xenstore failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no xenstore, as in a domain that was started without a toolstack.
    #[error("no xenstore is connected")]
    NotConnected,
    /// Xenstored broke the protocol; the connection is not used any more.
    #[error("xenstore broke its protocol: {0}")]
    Broken(&'static str),
    /// Xenstored said no, with the name of an errno.
    #[error("xenstore refused: {0}")]
    Refused(String),
    /// The request is longer than xenstore takes.
    #[error("a request of {0} bytes is too long for xenstore (at most {PAYLOAD_MAX})")]
    TooLong(usize),
    /// The answer is longer than there was room for.
    #[error("xenstore's answer of {0} bytes is longer than was expected")]
    AnswerTooLong(usize),
    /// A path with a zero in it.
    #[error("a xenstore path must not contain a zero byte")]
    BadPath,
    /// No answer in time.
    #[error("xenstore did not answer in time")]
    TimedOut,
    /// Too many requests or watches at one time.
    #[error("too many requests to xenstore at one time")]
    Busy,
}

/// Puts a request together in `message`, reusing its memory. The payload is the parts, one behind
/// the other.
pub fn compose(
    message: &mut Vec<u8>,
    kind: MessageType,
    request: u32,
    parts: &[&[u8]],
) -> Result<(), StoreError> {
    let len = parts.iter().map(|part| part.len()).sum();
    if len > PAYLOAD_MAX {
        return Err(StoreError::TooLong(len));
    }
    message.clear();
    message.extend_from_slice(
        &MessageHeader { kind, request, transaction: 0, len: len as u32 }.to_bytes(),
    );
    parts.iter().for_each(|part| message.extend_from_slice(part));
    Ok(())
}

/// Collects the bytes of one incoming message after the other.
#[derive(Debug)]
pub struct Assembler {
    bytes: Vec<u8>,
}

impl Assembler {
    /// An assembler that never allocates again.
    pub fn new() -> Self {
        Assembler { bytes: Vec::with_capacity(MessageHeader::SIZE + PAYLOAD_MAX) }
    }

    /// How many more bytes the message needs, as far as is known: first those of the header. Zero
    /// when complete.
    pub fn missing(&self) -> Result<usize, StoreError> {
        match self.header() {
            None => Ok(MessageHeader::SIZE - self.bytes.len()),
            Some(header) if header.len as usize > PAYLOAD_MAX => {
                Err(StoreError::Broken("a message is too long"))
            }
            Some(header) => Ok(MessageHeader::SIZE + header.len as usize - self.bytes.len()),
        }
    }

    /// Adds bytes, not more than are [missing](Self::missing).
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The message, once it is complete.
    pub fn message(&self) -> Option<(MessageHeader, &[u8])> {
        let header = self.header()?;
        let payload = &self.bytes[MessageHeader::SIZE..];
        (payload.len() == header.len as usize).then_some((header, payload))
    }

    /// Makes room for the next message.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    fn header(&self) -> Option<MessageHeader> {
        self.bytes.first_chunk().copied().map(MessageHeader::from_bytes)
    }
}

/// The token of a watch event, whose payload is path and token, each with a zero behind it.
pub fn token(payload: &[u8]) -> Result<&[u8], StoreError> {
    let mut parts = payload.split(|byte| *byte == 0);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(_path), Some(token), Some(_)) => Ok(token),
        _ => Err(StoreError::Broken("a watch event names no token")),
    }
}

/// What the payload of an error message says.
pub fn refusal(payload: &[u8]) -> StoreError {
    let name = payload.strip_suffix(b"\0").unwrap_or(payload);
    // The name goes to consoles and into one-line errors.
    let is_name =
        !name.is_empty() && name.len() <= 32 && name.iter().all(u8::is_ascii_alphanumeric);
    match core::str::from_utf8(name) {
        Ok(name) if is_name => StoreError::Refused(name.to_string()),
        _ => StoreError::Broken("an error has no name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: MessageType, len: u32) -> [u8; MessageHeader::SIZE] {
        MessageHeader { kind, request: 7, transaction: 0, len }.to_bytes()
    }

    #[test]
    fn a_request_is_a_header_and_its_parts() {
        let mut message = Vec::new();
        compose(&mut message, MessageType::WRITE, 7, &[b"data/x\0", b"1"]).unwrap();
        assert_eq!(message[..16], header(MessageType::WRITE, 8));
        assert_eq!(&message[16..], b"data/x\x001");
    }

    #[test]
    fn a_request_that_is_too_long_is_an_error() {
        let long = [0; PAYLOAD_MAX];
        assert_eq!(
            compose(&mut Vec::new(), MessageType::WRITE, 7, &[&long, b"1"]),
            Err(StoreError::TooLong(4097))
        );
    }

    #[test]
    fn messages_are_put_together_from_single_bytes() {
        let mut assembler = Assembler::new();
        for round in 0..2 {
            for byte in header(MessageType::READ, 2).iter().chain(b"ok") {
                assert_eq!(assembler.message(), None);
                assert!(assembler.missing().unwrap() > 0);
                assembler.add(&[*byte]);
            }
            assert_eq!(assembler.missing(), Ok(0));
            let (header, payload) = assembler.message().unwrap();
            assert_eq!((header.request, payload), (7, &b"ok"[..]), "round {round}");
            assembler.clear();
        }
    }

    #[test]
    fn an_empty_payload_is_a_whole_message() {
        let mut assembler = Assembler::new();
        assembler.add(&header(MessageType::READ, 0));
        assert!(assembler.message().is_some());
    }

    #[test]
    fn a_reply_that_is_too_long_is_an_error() {
        for len in [PAYLOAD_MAX as u32 + 1, u32::MAX] {
            let mut assembler = Assembler::new();
            assembler.add(&header(MessageType::READ, len));
            assert!(matches!(assembler.missing(), Err(StoreError::Broken(_))));
            assert_eq!(assembler.message(), None);
        }
    }

    #[test]
    fn a_watch_event_has_a_token() {
        assert_eq!(token(b"control/shutdown\x00w2\0"), Ok(&b"w2"[..]));
        assert!(token(b"control/shutdown").is_err());
        assert!(token(b"control/shutdown\x00w2").is_err());
        assert!(token(b"").is_err());
    }

    #[test]
    fn a_refusal_has_a_name() {
        assert_eq!(refusal(b"ENOENT\0"), StoreError::Refused("ENOENT".into()));
        assert!(matches!(refusal(b"\n"), StoreError::Broken(_)));
        assert!(matches!(refusal(b""), StoreError::Broken(_)));
        assert!(matches!(refusal(&[b'E'; 99]), StoreError::Broken(_)));
    }
}

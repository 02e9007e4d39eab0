//! Xenstore's page and messages (`io/xs_wire.h`).

use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, AtomicU32};

/// Bytes in each ring.
#[doc(alias = "XENSTORE_RING_SIZE")]
pub const RING_SIZE: usize = 1024;

/// The longest payload of a message.
#[doc(alias = "XENSTORE_PAYLOAD_MAX")]
pub const PAYLOAD_MAX: usize = 4096;

/// Two byte rings. Indices run freely; their low bits are the place in the ring.
#[doc(alias = "xenstore_domain_interface")]
#[derive(Debug)]
#[repr(C)]
pub struct XenstoreInterface {
    /// Bytes to xenstored.
    pub req: [AtomicU8; RING_SIZE],
    /// Bytes to the guest.
    pub rsp: [AtomicU8; RING_SIZE],
    /// Read so far of `req`, by xenstored.
    pub req_cons: AtomicU32,
    /// Written so far to `req`, by the guest.
    pub req_prod: AtomicU32,
    /// Read so far of `rsp`, by the guest.
    pub rsp_cons: AtomicU32,
    /// Written so far to `rsp`, by xenstored.
    pub rsp_prod: AtomicU32,
    /// What xenstored can do.
    pub server_features: AtomicU32,
    /// 0 when connected.
    pub connection: AtomicU32,
    /// Why xenstored has given up on the ring; 0 if it has not.
    pub error: AtomicU32,
}

const _: () = assert!(offset_of!(XenstoreInterface, req_cons) == 2048);
const _: () = assert!(size_of::<XenstoreInterface>() == 2076);

/// What a message is.
#[doc(alias = "xsd_sockmsg_type")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct MessageType(pub u32);

impl MessageType {
    /// List a node's children.
    #[doc(alias = "XS_DIRECTORY")]
    pub const DIRECTORY: MessageType = MessageType(1);
    /// Read a node.
    #[doc(alias = "XS_READ")]
    pub const READ: MessageType = MessageType(2);
    /// Begin to watch a path.
    #[doc(alias = "XS_WATCH")]
    pub const WATCH: MessageType = MessageType(4);
    /// Stop watching it.
    #[doc(alias = "XS_UNWATCH")]
    pub const UNWATCH: MessageType = MessageType(5);
    /// Write a node.
    #[doc(alias = "XS_WRITE")]
    pub const WRITE: MessageType = MessageType(11);
    /// Remove a node.
    #[doc(alias = "XS_RM")]
    pub const RM: MessageType = MessageType(13);
    /// A watched path has changed; comes unasked.
    #[doc(alias = "XS_WATCH_EVENT")]
    pub const WATCH_EVENT: MessageType = MessageType(15);
    /// The answer to a request that failed: the name of an errno.
    #[doc(alias = "XS_ERROR")]
    pub const ERROR: MessageType = MessageType(16);
}

/// What stands before each message's payload.
#[doc(alias = "xsd_sockmsg")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageHeader {
    /// What it is.
    pub kind: MessageType,
    /// The asker's number, which the answer repeats.
    pub request: u32,
    /// The transaction; 0 for none.
    pub transaction: u32,
    /// Bytes of payload.
    pub len: u32,
}

impl MessageHeader {
    /// Bytes of a header.
    pub const SIZE: usize = 16;

    /// The header as it stands in the ring.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let words = [self.kind.0, self.request, self.transaction, self.len];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a header.
    pub fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        MessageHeader {
            kind: MessageType(word(0)),
            request: word(4),
            transaction: word(8),
            len: word(12),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_four_little_endian_words() {
        let header =
            MessageHeader { kind: MessageType::WRITE, request: 2, transaction: 0, len: 0x102 };
        assert_eq!(header.to_bytes(), [11, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0]);
        assert_eq!(MessageHeader::from_bytes(header.to_bytes()), header);
    }
}

//! One direction of a byte ring shared with a backend: the console's and xenstore's.
//!
//! The indices run freely and wrap at 2^32; a ring's size is a power of two. The other side is not
//! trusted: indices that say more than the ring can hold are an error.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// The other side has moved its index to where it cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the ring's indices jumped: {produced} written, {consumed} read, {size} bytes at most between \
     them"
)]
pub struct IndexJump {
    /// Bytes written so far.
    pub produced: u32,
    /// Bytes read so far.
    pub consumed: u32,
    /// The ring's size.
    pub size: u32,
}

/// A ring and its indices, in shared memory.
#[derive(Clone, Copy)]
pub struct ByteRing<'a> {
    /// The bytes; their number is a power of two.
    pub bytes: &'a [AtomicU8],
    /// Bytes written so far, by the writing side.
    pub produced: &'a AtomicU32,
    /// Bytes read so far, by the reading side.
    pub consumed: &'a AtomicU32,
}

impl ByteRing<'_> {
    /// Bytes that are written and not yet read.
    pub fn used(&self) -> Result<usize, IndexJump> {
        let size = self.bytes.len() as u32;
        let produced = self.produced.load(Ordering::Acquire);
        let consumed = self.consumed.load(Ordering::Acquire);
        let used = produced.wrapping_sub(consumed);
        if used > size { Err(IndexJump { produced, consumed, size }) } else { Ok(used as usize) }
    }

    /// Writes as many of the bytes as there is room for; returns how many.
    pub fn write(&self, bytes: &[u8]) -> Result<usize, IndexJump> {
        let room = self.bytes.len() - self.used()?;
        let count = room.min(bytes.len());
        let start = self.produced.load(Ordering::Relaxed);
        for (offset, byte) in (0..).zip(&bytes[..count]) {
            self.slot(start.wrapping_add(offset)).store(*byte, Ordering::Relaxed);
        }
        self.produced.store(start.wrapping_add(count as u32), Ordering::Release);
        Ok(count)
    }

    /// Reads as many bytes as there are, up to the buffer's length; returns how many.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, IndexJump> {
        let count = self.used()?.min(buffer.len());
        let start = self.consumed.load(Ordering::Relaxed);
        for (offset, byte) in (0..).zip(&mut buffer[..count]) {
            *byte = self.slot(start.wrapping_add(offset)).load(Ordering::Relaxed);
        }
        self.consumed.store(start.wrapping_add(count as u32), Ordering::Release);
        Ok(count)
    }

    fn slot(&self, index: u32) -> &AtomicU8 {
        &self.bytes[index as usize & (self.bytes.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Memory {
        bytes: [AtomicU8; 8],
        produced: AtomicU32,
        consumed: AtomicU32,
    }

    impl Memory {
        fn at(index: u32) -> Self {
            Memory { bytes: Default::default(), produced: index.into(), consumed: index.into() }
        }

        fn ring(&self) -> ByteRing<'_> {
            ByteRing { bytes: &self.bytes, produced: &self.produced, consumed: &self.consumed }
        }
    }

    #[test]
    fn bytes_come_out_as_they_went_in_across_both_wraps() {
        let memory = Memory::at(u32::MAX - 3);
        let ring = memory.ring();
        assert_eq!(ring.write(b"abcdef"), Ok(6));
        let mut out = [0; 4];
        assert_eq!(ring.read(&mut out), Ok(4));
        assert_eq!(&out, b"abcd");
        assert_eq!(ring.write(b"ghijklmn"), Ok(6));
        assert_eq!(ring.used(), Ok(8));
        let mut out = [0; 16];
        assert_eq!(ring.read(&mut out), Ok(8));
        assert_eq!(&out[..8], b"efghijkl");
    }

    #[test]
    fn a_full_ring_takes_nothing_and_an_empty_one_gives_nothing() {
        let memory = Memory::at(5);
        let ring = memory.ring();
        assert_eq!(ring.read(&mut [0; 4]), Ok(0));
        assert_eq!(ring.write(&[1; 20]), Ok(8));
        assert_eq!(ring.write(&[1]), Ok(0));
    }

    #[test]
    fn indices_that_jump_are_an_error() {
        let memory = Memory::at(0);
        memory.consumed.store(1, Ordering::Relaxed);
        let jump = IndexJump { produced: 0, consumed: 1, size: 8 };
        assert_eq!(memory.ring().write(b"x"), Err(jump));
        assert_eq!(memory.ring().read(&mut [0; 4]), Err(jump));
        memory.produced.store(10, Ordering::Relaxed);
        assert!(memory.ring().used().is_err());
    }
}

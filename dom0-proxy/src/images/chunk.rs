//! What is stored by its hash: pages.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use serde::{Deserialize, Serialize};

/// Bytes of a page, which is the chunk that is stored once.
pub const PAGE: usize = 4096;

/// The bytes of one page.
pub type PageBytes = [u8; PAGE];

/// One page of a rank's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page<'a> {
    /// It has these bytes.
    Data(&'a PageBytes),
    /// It is all zeros, which are not stored.
    Zero,
    /// Nobody will read it before it is written. Its bytes are not stored.
    Free,
}

/// The BLAKE3 of a page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChunkHash(pub [u8; 32]);

impl ChunkHash {
    /// That of these bytes.
    pub fn of(page: &PageBytes) -> Self {
        Self(*blake3::hash(page).as_bytes())
    }
}

impl Hash for ChunkHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// A table of chunks by their hashes. These are spread evenly as they are; who makes many pages
/// that fall together has worked long for a save that takes a little longer.
pub type ByHash<T> = HashMap<ChunkHash, T, BuildHasherDefault<AsItIs>>;

/// Takes the last number for its hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl fmt::Debug for ChunkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", blake3::Hash::from_bytes(self.0).to_hex())
    }
}

/// Whether all bytes are zeros.
pub fn is_zero(page: &PageBytes) -> bool {
    page.as_chunks::<16>().0.iter().all(|part| u128::from_ne_bytes(*part) == 0)
}

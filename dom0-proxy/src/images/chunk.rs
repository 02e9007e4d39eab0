//! What is stored by its hash: pages.

use std::fmt;

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
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChunkHash(pub [u8; 32]);

impl ChunkHash {
    /// That of these bytes.
    pub fn of(page: &PageBytes) -> Self {
        Self(*blake3::hash(page).as_bytes())
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

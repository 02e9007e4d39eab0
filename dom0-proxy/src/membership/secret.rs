//! What only members know.

use std::fmt;

use serde::{Deserialize, Serialize};

/// 32 bytes that only members know.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret([u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// The bytes, for a handshake.
    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

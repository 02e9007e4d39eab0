//! What was done for each rank, for statistics.

use serde::{Deserialize, Serialize};

use crate::attach::DirectTally;

/// Operations and bytes by kind: what one rank did directly, and what was served for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Puts.
    pub put: Count,
    /// Gets.
    pub get: Count,
    /// Accumulates.
    pub accumulate: Count,
    /// Read-modify-writes.
    pub rmw: Count,
    /// All else, such as fences.
    pub other: Count,
}

/// How often and how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Operations.
    pub operations: u64,
    /// Bytes that they moved.
    pub bytes: u64,
}

impl Count {
    /// Adds operations, and the bytes that they moved together. What a rank says of itself may be
    /// anything.
    pub(super) fn add(&mut self, operations: u64, bytes: u64) {
        self.operations = self.operations.saturating_add(operations);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

impl Traffic {
    /// Adds what the rank has done directly.
    pub(super) fn add_direct(&mut self, tally: &DirectTally) {
        let pairs = [
            (&mut self.put, tally.put),
            (&mut self.get, tally.get),
            (&mut self.accumulate, tally.accumulate),
            (&mut self.rmw, tally.rmw),
        ];
        for (count, [operations, bytes]) in pairs {
            count.add(operations, bytes);
        }
    }
}

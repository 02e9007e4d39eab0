//! Packs in which this process has found damage.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Numbers of packs on which nothing new is built. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Distrusted {
    packs: Arc<Mutex<BTreeSet<u64>>>,
}

impl Distrusted {
    /// Adds one.
    pub fn add(&self, pack: u64) {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner).insert(pack);
    }

    /// Those that there are now.
    pub fn packs(&self) -> BTreeSet<u64> {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

//! What a rank remembers of notifications.

use core::cell::Cell;
use std::prelude::v1::*;

use crate::api::global::Global;

/// Notifications between this rank and each other one.
#[derive(Debug)]
pub(crate) struct Notifications {
    /// Of this rank, by sender: notifications from it.
    pub counts: Global<u64>,
    /// By receiver: notifications to it.
    pub sent: Vec<Cell<u64>>,
    /// By sender: notifications from it that were waited for.
    pub awaited: Vec<Cell<u64>>,
}

impl Notifications {
    /// None yet. `counts` has an element for each of the `size` ranks.
    pub fn new(counts: Global<u64>, size: usize) -> Self {
        let zeros = || (0..size).map(|_| Cell::new(0)).collect();
        Self { counts, sent: zeros(), awaited: zeros() }
    }
}

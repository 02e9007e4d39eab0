//! Room for copies of the ranks' memory.

use std::iter;

use armci_nostd::wire::attach::WindowLayout;

use super::host::{Host, RankCopy};
use super::line_error::LineError;
use crate::engine::Traffic;
use crate::images::PageMemory;

/// Room for copies, and where the memory is that is to be copied.
pub(super) struct Room {
    pub(super) layouts: Vec<WindowLayout>,
    /// Of each rank, or of one.
    pub(super) copies: Vec<RankCopy>,
    /// Whether there is room for one rank only, so that they have to be written through, one after
    /// the other.
    pub(super) through: bool,
}

impl Room {
    /// Makes it while the ranks still run, in what was `kept` as far as that goes: memory that has
    /// just been taken from the system is slow.
    pub(super) fn make(host: &dyn Host, kept: Vec<RankCopy>) -> Result<Self, LineError> {
        let layouts = host.layouts()?;
        let there: u64 = kept.iter().map(|copy| copy.memory.capacity() as u64).sum();
        let available = host.available_memory().saturating_add(there);
        let all: u64 = layouts.iter().map(|layout| layout.len).sum();
        let largest = layouts.iter().map(|layout| layout.len).max().unwrap_or(0);
        if largest > available {
            return Err(LineError::NoMemory { needed: largest >> 20, available: available >> 20 });
        }
        let through = all > available;
        let count = if through { 1 } else { layouts.len() };
        let memories = kept.into_iter().map(|copy| copy.memory);
        let memories = memories.chain(iter::repeat_with(PageMemory::default));
        let copies = layouts.iter().take(count).zip(memories).map(|(layout, mut memory)| {
            memory.resize(if through { largest } else { layout.len } as usize);
            RankCopy { layout: *layout, traffic: Traffic::default(), memory, free: Vec::new() }
        });
        let copies = copies.collect();
        Ok(Self { layouts, copies, through })
    }
}

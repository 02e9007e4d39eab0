//! What Xen says at boot: the memory map, the command line, the boot modules.

use xen_hypercall::memory_op::{E820Entry, current_reservation, memory_map};
use xen_hypercall::start_info::{MAGIC, MemoryKind, MemoryMapEntry, Module, StartInfo};

use crate::arch::boot_memory::{self, read_at_boot};
use crate::arch::{hypercall_page, image};
use crate::logic::memory_map::{MemoryError, MemoryPlan, Span, plan};

/// Boot modules that there may be.
const MODULES: usize = 16;
/// Entries that the memory map may have.
const MAP_ENTRIES: usize = 64;
/// The longest command line, in bytes.
const TEXT: u64 = 4095;

/// A boot module, and its command line.
#[derive(Clone, Copy)]
pub(crate) struct BootModule {
    pub(crate) content: Span,
    pub(crate) command_line: Span,
}

/// What Xen has said.
#[derive(Clone, Copy)]
pub(crate) struct BootInfo {
    map: [MemoryMapEntry; MAP_ENTRIES],
    map_len: usize,
    command_line: Span,
    modules: [Option<BootModule>; MODULES],
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum BootError {
    #[error("not started by Xen: no start information at {0:#x}")]
    NoStartInfo(u64),
    #[error("the memory map cannot be read: {0}")]
    NoMemoryMap(xen_hypercall::Error),
    #[error("the memory map has {0} entries, more than {MAP_ENTRIES}")]
    LongMemoryMap(usize),
    #[error("a command line has more than {TEXT} bytes, and the kernel takes no more")]
    LongCommandLine,
    #[error("more than {MODULES} boot modules, or one that cannot be read")]
    Modules,
}

impl BootInfo {
    /// Reads it, at boot.
    pub(crate) fn read(address: u64) -> Result<Self, BootError> {
        let start_info = read_at_boot::<StartInfo>(address).filter(|info| info.magic == MAGIC);
        let start_info = start_info.ok_or(BootError::NoStartInfo(address))?;
        let mut modules = [None; MODULES];
        if start_info.module_count as usize > MODULES {
            return Err(BootError::Modules);
        }
        for (slot, index) in modules.iter_mut().zip(0..start_info.module_count) {
            let entry =
                start_info.modules.wrapping_add(u64::from(index) * size_of::<Module>() as u64);
            let module = read_at_boot::<Module>(entry).ok_or(BootError::Modules)?;
            *slot = Some(BootModule {
                content: Span::sized(module.address, module.size),
                command_line: text(module.command_line)?,
            });
        }
        let mut map = [MemoryMapEntry::new(0, 0, MemoryKind::RESERVED); MAP_ENTRIES];
        let map_len = read_map(&start_info, &mut map)?;
        Ok(BootInfo { map, map_len, command_line: text(start_info.command_line)?, modules })
    }

    /// What to use the memory for. At boot.
    pub(crate) fn plan(&self) -> Result<MemoryPlan, MemoryError> {
        let mut used = [self.command_line; 2 * MODULES + 1];
        for (pair, module) in used.chunks_exact_mut(2).zip(self.modules()) {
            pair.copy_from_slice(&[module.content, module.command_line]);
        }
        // If Xen does not say, the map is believed.
        let pages = current_reservation(&hypercall_page::xen()).unwrap_or(u64::MAX);
        plan(self.map.iter().copied().take(self.map_len), image::whole(), &used, pages)
    }

    /// The kernel's command line.
    pub(crate) fn command_line(&self) -> &'static [u8] {
        boot_memory::left_by_xen(self.command_line).unwrap_or_default()
    }

    /// The boot modules.
    pub(crate) fn modules(&self) -> impl Iterator<Item = BootModule> {
        self.modules.into_iter().flatten()
    }
}

/// Reads the memory map: from memory, or by hypercall where the start information has none (version
/// 0, which Xen hands to a control domain). Returns the number of entries.
fn read_map(
    start_info: &StartInfo,
    map: &mut [MemoryMapEntry; MAP_ENTRIES],
) -> Result<usize, BootError> {
    if start_info.version == 0 || start_info.memory_map_count == 0 {
        let mut entries = [E820Entry::default(); MAP_ENTRIES];
        let count =
            memory_map(&hypercall_page::xen(), &mut entries).map_err(BootError::NoMemoryMap)?;
        for (slot, entry) in map.iter_mut().zip(&entries[..count]) {
            *slot = MemoryMapEntry::new(entry.address, entry.size, MemoryKind(entry.kind));
        }
        return Ok(count);
    }
    let count = start_info.memory_map_count as usize;
    if count > MAP_ENTRIES {
        return Err(BootError::LongMemoryMap(count));
    }
    for (slot, index) in map.iter_mut().zip(0..count as u64) {
        let address =
            start_info.memory_map.saturating_add(index * size_of::<MemoryMapEntry>() as u64);
        *slot = read_at_boot(address).ok_or(BootError::NoMemoryMap(xen_hypercall::Error::FAULT))?;
    }
    Ok(count)
}

/// Where the text at this address is, without the zero that ends it.
#[inline(never)]
fn text(address: u64) -> Result<Span, BootError> {
    let continues = |offset: &u64| {
        read_at_boot::<u8>(address.saturating_add(*offset)).is_some_and(|byte| byte != 0)
    };
    let len = (0..=TEXT).take_while(continues).count() as u64;
    if len > TEXT { Err(BootError::LongCommandLine) } else { Ok(Span::sized(address, len)) }
}

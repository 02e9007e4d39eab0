//! What Xen hands a PVH guest at its start (`arch-x86/hvm/start_info.h`).

use core::mem::offset_of;

/// The first word of [`StartInfo`].
#[doc(alias = "XEN_HVM_START_MAGIC_VALUE")]
pub const MAGIC: u32 = 0x336e_c578;

/// The structure whose address is in EBX at the entry point.
#[doc(alias = "hvm_start_info")]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct StartInfo {
    /// [`MAGIC`].
    pub magic: u32,
    /// The fields from `memmap` on exist from version 1.
    pub version: u32,
    /// `SIF_*`.
    pub flags: u32,
    /// How many [`Module`]s there are.
    pub module_count: u32,
    /// Address of the modules.
    pub modules: u64,
    /// Address of the command line, which ends with a zero; 0 if there is none.
    pub command_line: u64,
    /// Address of the ACPI root.
    pub rsdp: u64,
    /// Address of the memory map.
    pub memory_map: u64,
    /// Entries in it.
    pub memory_map_count: u32,
    reserved: u32,
}

const _: () = assert!(size_of::<StartInfo>() == 56);
const _: () = assert!(offset_of!(StartInfo, memory_map) == 40);

/// A file that the toolstack has put into the guest's memory (`ramdisk=` in xl.cfg).
#[doc(alias = "hvm_modlist_entry")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Module {
    /// Where.
    pub address: u64,
    /// How many bytes.
    pub size: u64,
    /// Address of its command line, which ends with a zero; 0 if there is none.
    pub command_line: u64,
    reserved: u64,
}

const _: () = assert!(size_of::<Module>() == 32);

/// An entry of the memory map.
#[doc(alias = "hvm_memmap_table_entry")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct MemoryMapEntry {
    /// Where the region begins.
    pub address: u64,
    /// Its length in bytes.
    pub size: u64,
    /// What it is.
    pub kind: MemoryKind,
    reserved: u32,
}

const _: () = assert!(size_of::<MemoryMapEntry>() == 24);

impl MemoryMapEntry {
    /// An entry.
    pub const fn new(address: u64, size: u64, kind: MemoryKind) -> Self {
        MemoryMapEntry { address, size, kind, reserved: 0 }
    }
}

/// What a region of the memory map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct MemoryKind(pub u32);

impl MemoryKind {
    /// Memory to use.
    #[doc(alias = "XEN_HVM_MEMMAP_TYPE_RAM")]
    pub const RAM: MemoryKind = MemoryKind(1);
    /// Not memory to use.
    #[doc(alias = "XEN_HVM_MEMMAP_TYPE_RESERVED")]
    pub const RESERVED: MemoryKind = MemoryKind(2);
    /// ACPI tables.
    #[doc(alias = "XEN_HVM_MEMMAP_TYPE_ACPI")]
    pub const ACPI: MemoryKind = MemoryKind(3);
}

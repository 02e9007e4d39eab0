//! ELF notes by which an image tells Xen about itself (`elfnote.h`).

/// The notes' owner name, with its terminating zero.
pub const NAME: [u8; 4] = *b"Xen\0";

/// The 32-bit physical address of the PVH entry point.
#[doc(alias = "XEN_ELFNOTE_PHYS32_ENTRY")]
pub const PHYS32_ENTRY: u32 = 18;

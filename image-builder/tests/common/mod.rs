//! A small image made by hand, so that tests know every byte of it.

use object::elf::*;
use object::pod::bytes_of;
use object::{LittleEndian, U16, U32, U64};

pub const BASE: u64 = 0x10_0000;
pub const ENTRY: u32 = 0x10_0000;

const LE: LittleEndian = LittleEndian;
const HEADER_LEN: usize = size_of::<FileHeader64<LittleEndian>>();
const SEGMENT_LEN: usize = size_of::<ProgramHeader64<LittleEndian>>();

/// What the fixture can be made without.
#[derive(Clone, Copy)]
pub struct Fixture {
    pub pvh_note: bool,
    pub xenolith_version: Option<u32>,
    pub code_len: usize,
    /// How many segments there are that all hold the same notes.
    pub note_segments: u16,
    /// Bytes of empty notes behind the two that count.
    pub padding_len: usize,
    /// Bytes behind the last segment, as a linker's symbols and section table are.
    pub tail_len: usize,
}

impl Default for Fixture {
    fn default() -> Self {
        Self {
            pvh_note: true,
            xenolith_version: Some(1),
            code_len: 64,
            note_segments: 1,
            padding_len: 0,
            tail_len: 0,
        }
    }
}

impl Fixture {
    pub fn build(self) -> Vec<u8> {
        let mut contents = vec![0x90; self.code_len.next_multiple_of(4)];
        let notes_offset = contents.len();
        if self.pvh_note {
            contents.extend(note(b"Xen\0", 18, &ENTRY.to_le_bytes()));
        }
        if let Some(version) = self.xenolith_version {
            let mut desc = [0; 40];
            desc[..4].copy_from_slice(&version.to_le_bytes());
            contents.extend(note(b"Xenolith\0", 1, &desc));
        }
        contents.resize(contents.len() + self.padding_len, 0);
        let start = HEADER_LEN + (1 + usize::from(self.note_segments)) * SEGMENT_LEN;
        let end = start + contents.len();

        let mut file = bytes_of(&header(end, 1 + self.note_segments, self.tail_len)).to_vec();
        file.extend(bytes_of(&segment(
            PT_LOAD,
            start,
            BASE,
            contents.len(),
            contents.len() + 4096,
        )));
        let notes_len = contents.len() - notes_offset;
        let notes_address = BASE + notes_offset as u64;
        for _ in 0..self.note_segments {
            file.extend(bytes_of(&segment(
                PT_NOTE,
                start + notes_offset,
                notes_address,
                notes_len,
                notes_len,
            )));
        }
        file.extend(&contents);
        file.resize(end + self.tail_len, 0x55);
        file
    }
}

fn header(contents_end: usize, segments: u16, tail_len: usize) -> FileHeader64<LittleEndian> {
    FileHeader64 {
        e_ident: Ident {
            magic: ELFMAG,
            class: ELFCLASS64,
            data: ELFDATA2LSB,
            version: EV_CURRENT,
            os_abi: ELFOSABI_NONE,
            abi_version: 0,
            padding: [0; 7],
        },
        e_type: U16::new(LE, ET_EXEC),
        e_machine: U16::new(LE, EM_X86_64),
        e_version: U32::new(LE, u32::from(EV_CURRENT.0)),
        e_entry: U64::new(LE, BASE),
        e_phoff: U64::new(LE, HEADER_LEN as u64),
        e_shoff: U64::new(LE, if tail_len == 0 { 0 } else { contents_end as u64 }),
        e_flags: U32::new(LE, FileFlags(0)),
        e_ehsize: U16::new(LE, HEADER_LEN as u16),
        e_phentsize: U16::new(LE, SEGMENT_LEN as u16),
        e_phnum: U16::new(LE, segments),
        e_shentsize: U16::new(LE, if tail_len == 0 { 0 } else { 64 }),
        e_shnum: U16::new(LE, (tail_len / 64) as u16),
        e_shstrndx: U16::new(LE, SHN_UNDEF),
    }
}

fn segment(
    kind: ProgramType,
    offset: usize,
    address: u64,
    in_file: usize,
    in_memory: usize,
) -> ProgramHeader64<LittleEndian> {
    ProgramHeader64 {
        p_type: U32::new(LE, kind),
        p_flags: U32::new(LE, PF_R | PF_X),
        p_offset: U64::new(LE, offset as u64),
        p_vaddr: U64::new(LE, address),
        p_paddr: U64::new(LE, address),
        p_filesz: U64::new(LE, in_file as u64),
        p_memsz: U64::new(LE, in_memory as u64),
        p_align: U64::new(LE, 4),
    }
}

fn note(name: &[u8], kind: u32, desc: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [name.len() as u32, desc.len() as u32, kind] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(name);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(desc);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

//! Cutting everything out of an executable that Xen does not load: symbols, debug information, the
//! section table.

use object::LittleEndian;
use object::elf::{FileHeader64, SHN_UNDEF};

use crate::image::{ImageError, file_range, program_headers};

/// The part of `elf` that is needed to run it. Linkers put what is not loaded behind what is, so
/// the file is cut after its last segment and its header told that there are no sections.
///
/// # Errors
/// When `elf` is not a static x86-64 executable.
pub fn strip(elf: &[u8]) -> Result<Vec<u8>, ImageError> {
    let headers_end = size_of::<FileHeader64<LittleEndian>>();
    let mut end = headers_end;
    for segment in program_headers(elf)? {
        end = end.max(file_range(segment, elf)?.end);
    }
    let (header, _) = object::pod::from_bytes::<FileHeader64<LittleEndian>>(elf)
        .map_err(|()| ImageError::NotElf)?;
    let table_end = header.e_phoff.get(LittleEndian)
        + u64::from(header.e_phnum.get(LittleEndian))
            * u64::from(header.e_phentsize.get(LittleEndian));
    let end = end.max(
        usize::try_from(table_end).map_err(|_| ImageError::Damaged("an offset is too large"))?,
    );

    let mut stripped = elf[..end].to_vec();
    let (header, _) = object::pod::from_bytes_mut::<FileHeader64<LittleEndian>>(&mut stripped)
        .map_err(|()| ImageError::NotElf)?;
    header.e_shoff.set(LittleEndian, 0);
    header.e_shnum.set(LittleEndian, 0);
    header.e_shentsize.set(LittleEndian, 0);
    header.e_shstrndx.set(LittleEndian, SHN_UNDEF);
    Ok(stripped)
}

//! Reads archives in cpio's "newc" format, so that one boot module can bring several files.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What every entry begins with: 070701, or 070702 for one with checksums (which are not checked).
const MAGICS: [&[u8]; 2] = [b"070701", b"070702"];

/// Bytes of an entry's header: the magic and thirteen numbers of eight hexadecimal digits.
const HEADER: usize = 6 + 13 * 8;

/// The last entry's name.
const TRAILER: &str = "TRAILER!!!";

/// Bits of the mode that say what an entry is, and their value for a regular file.
const KIND_MASK: usize = 0o170_000;
const REGULAR_FILE: usize = 0o100_000;

/// What is wrong with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpioError {
    /// No entry begins where one should.
    #[error("no cpio entry at byte {0}")]
    NoEntry(usize),
    /// The archive ends within an entry.
    #[error("the cpio archive ends within the entry at byte {0}")]
    CutShort(usize),
    /// A name is not UTF-8 text that ends with a zero.
    #[error("the cpio entry at byte {0} has a name that cannot be read")]
    BadName(usize),
}

/// Whether this begins like an archive.
pub fn is_archive(bytes: &[u8]) -> bool {
    MAGICS.iter().any(|magic| bytes.starts_with(magic))
}

/// The names and contents of all regular files in an archive.
pub fn files(archive: &[u8]) -> Result<Vec<(String, &[u8])>, CpioError> {
    let mut files = Vec::new();
    let mut at = 0;
    loop {
        let entry =
            archive.get(at..).filter(|rest| is_archive(rest)).ok_or(CpioError::NoEntry(at))?;
        let cut_short = CpioError::CutShort(at);
        let mode = number(entry, 1).ok_or(CpioError::NoEntry(at))?;
        let size = number(entry, 6).ok_or(CpioError::NoEntry(at))?;
        let name_size = number(entry, 11).ok_or(CpioError::NoEntry(at))?;
        let name_end = HEADER.checked_add(name_size).ok_or(cut_short)?;
        // Name and content are padded so that what follows lies at a multiple of four in the
        // archive.
        let start = align(at.checked_add(name_end).ok_or(cut_short)?).ok_or(cut_short)?;
        let end = start.checked_add(size).ok_or(cut_short)?;
        let name = entry.get(HEADER..name_end).ok_or(cut_short)?;
        let name = name.strip_suffix(b"\0").and_then(|name| core::str::from_utf8(name).ok());
        let name = name.ok_or(CpioError::BadName(at))?;
        if name == TRAILER {
            return Ok(files);
        }
        let content = archive.get(start..end).ok_or(cut_short)?;
        if mode & KIND_MASK == REGULAR_FILE {
            let name = name.strip_prefix("./").unwrap_or(name).trim_start_matches('/');
            files.push((name.to_string(), content));
        }
        at = align(end).ok_or(cut_short)?;
    }
}

/// A number of the header, by its place among them, from 0.
fn number(entry: &[u8], index: usize) -> Option<usize> {
    let digits = entry.get(6 + index * 8..)?.get(..8)?;
    // from_str_radix would take a sign.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    usize::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()
}

fn align(at: usize) -> Option<usize> {
    at.checked_next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn entry(name: &str, mode: u32, content: &[u8]) -> Vec<u8> {
        let mut numbers = [0u32; 13];
        numbers[1] = mode;
        numbers[6] = content.len() as u32;
        numbers[11] = name.len() as u32 + 1;
        let mut bytes = b"070701".to_vec();
        for number in numbers {
            bytes.extend(format!("{number:08X}").bytes());
        }
        bytes.extend(name.bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn archive() -> Vec<u8> {
        let mut bytes = entry(".", 0o040_755, b"");
        bytes.extend(entry("./matrix", 0o100_644, b"12345"));
        bytes.extend(entry("/etc/name", 0o100_644, b""));
        bytes.extend(entry(TRAILER, 0, b""));
        bytes
    }

    #[test]
    fn regular_files_come_out_with_plain_names() {
        let bytes = archive();
        let files = files(&bytes).unwrap();
        assert_eq!(
            files,
            [("matrix".to_string(), &b"12345"[..]), ("etc/name".to_string(), &b""[..])]
        );
    }

    #[test]
    fn an_archive_cut_at_any_byte_is_an_error() {
        let bytes = archive();
        // The three bytes of padding behind the trailer's name may be missing.
        let last_needed = bytes.len() - 3;
        for len in 0..last_needed {
            assert!(files(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_an_error() {
        for index in [6, 11] {
            let mut bytes = archive();
            bytes[6 + index * 8..][..8].copy_from_slice(b"FFFFFFFF");
            assert!(files(&bytes).is_err(), "number {index}");
            bytes[6 + index * 8..][..8].copy_from_slice(b"+0000001");
            assert_eq!(files(&bytes), Err(CpioError::NoEntry(0)));
        }
    }

    #[test]
    fn other_modules_are_no_archives() {
        assert!(!is_archive(b"\x7fELF"));
        assert!(!is_archive(b""));
        assert!(is_archive(&archive()));
    }
}

//! ELF notes, laid out the way Xen's own loader reads them: name and contents each padded to four
//! bytes.

use std::ops::Range;

/// One note; `desc` is where in the file its contents lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note<'file> {
    /// The owner's name, without its terminating zero.
    pub(crate) name: &'file [u8],
    pub(crate) kind: u32,
    pub(crate) desc: Range<usize>,
}

const HEADER_LEN: usize = 12;

/// All notes within `range` of `file`; ends at the first one that does not fit.
pub(crate) fn notes(file: &[u8], range: Range<usize>) -> impl Iterator<Item = Note<'_>> {
    let end = range.end.min(file.len());
    let mut at = range.start;
    std::iter::from_fn(move || {
        let header = file.get(at..end)?.first_chunk::<HEADER_LEN>()?;
        let word = |index: usize| {
            u32::from_le_bytes([
                header[index],
                header[index + 1],
                header[index + 2],
                header[index + 3],
            ])
        };
        let name_start = at + HEADER_LEN;
        let name_end = name_start.checked_add(word(0) as usize)?;
        let desc_start = padded(name_end)?;
        let desc_end = desc_start.checked_add(word(4) as usize)?;
        if desc_end > end {
            return None;
        }
        at = padded(desc_end)?;
        let name = &file[name_start..name_end];
        Some(Note {
            name: name.strip_suffix(&[0]).unwrap_or(name),
            kind: word(8),
            desc: desc_start..desc_end,
        })
    })
}

fn padded(offset: usize) -> Option<usize> {
    offset.checked_next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(name: &[u8], kind: u32, desc: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((name.len() as u32 + 1).to_le_bytes());
        bytes.extend((desc.len() as u32).to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(name);
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(desc);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn finds_each_of_several_notes() {
        let mut file = vec![0xaa; 8];
        file.extend(note(b"Xen", 18, &[1, 2, 3, 4]));
        file.extend(note(b"Xenolith", 1, &[7; 5]));
        let found: Vec<_> = notes(&file, 8..file.len()).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].name, found[0].kind, &file[found[0].desc.clone()]),
            (&b"Xen"[..], 18, &[1, 2, 3, 4][..])
        );
        assert_eq!(
            (found[1].name, found[1].kind, &file[found[1].desc.clone()]),
            (&b"Xenolith"[..], 1, &[7; 5][..])
        );
    }

    #[test]
    fn stops_at_a_note_that_does_not_fit() {
        let mut file = note(b"Xen", 18, &[1, 2, 3, 4]);
        let good = file.len();
        file.extend(note(b"Xen", 18, &[1, 2, 3, 4]));
        assert_eq!(notes(&file, 0..good + 16).count(), 1);
        file[good..good + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(notes(&file, 0..file.len()).count(), 1);
        assert_eq!(notes(&file, 0..usize::MAX).count(), 1);
        assert_eq!(notes(&file, file.len() + 9..usize::MAX).count(), 0);
    }
}

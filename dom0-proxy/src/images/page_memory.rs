//! Memory that is saved again and again, and what was found out about its pages.

use super::chunk::{ChunkHash, PAGE, PageBytes, is_zero};

/// Memory of whole pages. What a save finds out about a page is kept as long as the page does not
/// change: the next save has to look at those only that have.
#[derive(Clone, Debug, Default)]
pub struct PageMemory {
    bytes: Vec<u8>,
    /// One for each page.
    findings: Vec<Finding>,
}

/// What is known of the bytes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing yet.
    Unknown,
    /// They are zeros.
    Zero,
    /// They are not, and have this hash.
    Hash(ChunkHash),
}

impl PageMemory {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// For how many bytes there is room.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Makes it that long, a whole number of pages. Where it gets longer are zeros.
    pub fn resize(&mut self, length: usize) {
        self.bytes.resize(length, 0);
        self.findings.resize(length / PAGE, Finding::Zero);
    }

    /// Has its bytes changed: `change` gives them back with the numbers of the pages that are
    /// others now.
    ///
    /// # Errors
    /// Those of `change`; then there is no memory any more.
    pub fn change<E>(
        &mut self,
        change: impl FnOnce(Vec<u8>) -> Result<(Vec<u8>, Vec<u32>), E>,
    ) -> Result<(), E> {
        let Self { bytes, mut findings } = std::mem::take(self);
        let (bytes, changed) = change(bytes)?;
        findings.resize(bytes.len() / PAGE, Finding::Unknown);
        for number in changed {
            if let Some(finding) = findings.get_mut(number as usize) {
                *finding = Finding::Unknown;
            }
        }
        *self = Self { bytes, findings };
        Ok(())
    }

    /// Its pages, from the first to the last; each is looked at when that is asked for.
    pub(super) fn pages(&mut self) -> impl Iterator<Item = LazyPage<'_>> {
        let pages = self.bytes.as_chunks().0.iter();
        pages.zip(&mut self.findings).map(|(bytes, finding)| LazyPage { bytes, finding })
    }
}

impl From<Vec<u8>> for PageMemory {
    /// Memory of which nothing is known.
    fn from(bytes: Vec<u8>) -> Self {
        let findings = vec![Finding::Unknown; bytes.len() / PAGE];
        Self { bytes, findings }
    }
}

/// A page that may not have been looked at.
#[derive(Debug)]
pub(super) struct LazyPage<'a> {
    bytes: &'a PageBytes,
    finding: &'a mut Finding,
}

impl<'a> LazyPage<'a> {
    /// Its bytes and their hash, unless they are zeros.
    pub fn look(self) -> Option<(&'a PageBytes, ChunkHash)> {
        if *self.finding == Finding::Unknown {
            *self.finding = match is_zero(self.bytes) {
                true => Finding::Zero,
                false => Finding::Hash(ChunkHash::of(self.bytes)),
            };
        }
        match *self.finding {
            Finding::Hash(hash) => Some((self.bytes, hash)),
            Finding::Unknown | Finding::Zero => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(memory: &mut PageMemory) -> Vec<Option<ChunkHash>> {
        memory.pages().map(|page| page.look().map(|(_, hash)| hash)).collect()
    }

    #[test]
    fn only_what_has_changed_is_looked_at_again() {
        let mut memory = PageMemory::default();
        memory.resize(3 * PAGE);
        assert_eq!(memory.findings, [Finding::Zero; 3]);
        let written = |mut bytes: Vec<u8>, page: usize, byte: u8| {
            bytes[page * PAGE + 7] = byte;
            Ok::<_, ()>((bytes, vec![page as u32]))
        };
        memory.change(|bytes| written(bytes, 1, 5)).unwrap();
        assert_eq!(memory.findings, [Finding::Zero, Finding::Unknown, Finding::Zero]);
        let first = found(&mut memory);
        assert!(first[0].is_none() && first[1].is_some());
        // Not looked at, it would be found to be zeros again.
        memory.change(|bytes| written(bytes, 1, 0)).unwrap();
        assert_eq!(found(&mut memory), [None; 3]);
        memory.change(|bytes| written(bytes, 2, 5)).unwrap();
        assert_eq!(found(&mut memory), [None, None, first[1]]);

        memory.resize(PAGE);
        memory.resize(3 * PAGE);
        assert_eq!(memory.bytes(), [0; 3 * PAGE]);
        assert_eq!(found(&mut memory), [None; 3]);
    }

    #[test]
    fn of_what_is_lost_nothing_is_known() {
        let mut memory = PageMemory::from(vec![3; 2 * PAGE]);
        assert_eq!(memory.findings, [Finding::Unknown; 2]);
        found(&mut memory);
        assert_eq!(memory.change(|_| Err("lost")), Err("lost"));
        assert!(memory.bytes().is_empty() && memory.findings.is_empty());
        memory.change(|_| Ok::<_, ()>((vec![4; PAGE], vec![9]))).unwrap();
        assert_eq!(memory.findings, [Finding::Unknown]);
    }
}

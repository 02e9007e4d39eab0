//! An image that is read.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use super::chunk::{ChunkHash, PAGE, Page, PageBytes};
use super::description::{Description, Line};
use super::distrust::Distrusted;
use super::error::{ImagesError, Result};
use super::folder::Folder;
use super::listing::{PackFacts, parse_manifest};
use super::manifest::{Blob, ChunkRun, Manifest, PageRun, StoredRank};
use super::names::Name;
use super::pack::{BLOCK_CHUNKS, PackReader};

/// Packs that are open at a time, at most.
const PACKS_OPEN: usize = 64;
/// Blocks that are kept, since pages of one rank may be in many packs.
const BLOCKS_KEPT: usize = 64;

/// Which image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// The newest that is good, as far as can be said without reading its pages.
    Newest,
    /// The newest of those before this one.
    Before(Line),
    /// This one.
    Line(Line),
}

/// An image to be restored. While this is there nobody removes it.
#[derive(Debug)]
pub struct Image {
    folder: Arc<Folder>,
    manifest: Manifest,
    /// The number of the first chunk of each of the manifest's places.
    starts: Vec<u32>,
    /// For each pack, how many chunks it must have at least.
    ends: Vec<u32>,
    packs: BTreeMap<u32, PackReader>,
    /// By pack and block; the one used last is the last.
    blocks: Vec<(u32, usize, Vec<u8>)>,
    /// All chunks, or none as long as they are read when they are needed.
    kept: Vec<PageBytes>,
    distrusted: Distrusted,
    /// Locked, so that the image stays.
    _file: File,
}

impl Image {
    /// Opens the image of a line.
    pub(super) fn open(folder: &Arc<Folder>, line: Line, distrusted: Distrusted) -> Result<Self> {
        let name = Name::Manifest(line).to_string();
        let gone = || ImagesError::NoImage { path: folder.path().into(), line };
        let file = match folder.open_file(&name) {
            Err(error) if error.is_missing() => return Err(gone()),
            opened => opened?,
        };
        file.lock_shared().map_err(|error| folder.unreadable(&name, error))?;
        // It may have been removed before it was locked.
        if !folder.is_named(&file, &name) {
            return Err(gone());
        }
        let (manifest, _) = parse_manifest(folder, line, &file)?;
        let starts = manifest.places.iter().scan(0, |next, place| {
            let start = *next;
            *next += place.count;
            Some(start)
        });
        let mut image = Self {
            folder: Arc::clone(folder),
            starts: starts.collect(),
            ends: manifest.pack_ends(),
            packs: BTreeMap::new(),
            blocks: Vec::new(),
            kept: Vec::new(),
            distrusted,
            manifest,
            _file: file,
        };
        for pack in 0..image.manifest.packs.len() {
            image.open_pack(pack as u32)?;
        }
        Ok(image)
    }

    /// Opens it once more, for another thread.
    pub(super) fn again(&self) -> Result<Self> {
        Self::open(&self.folder, self.line(), self.distrusted.clone())
    }

    /// How many chunks it has.
    pub(super) fn chunks(&self) -> u32 {
        // The manifest was refused if it had more than fit.
        self.manifest.hashes.len() as u32
    }

    /// Takes all chunks, as they were read.
    pub(super) fn keep(&mut self, chunks: Vec<PageBytes>) {
        self.kept = chunks;
    }

    /// What the job is.
    pub fn description(&self) -> &Description {
        &self.manifest.description
    }

    /// The line that it is of.
    pub fn line(&self) -> Line {
        self.manifest.description.line
    }

    /// The ranks that are in it.
    pub fn ranks(&self) -> &[StoredRank] {
        &self.manifest.ranks
    }

    /// The image file that the ranks were booted from.
    ///
    /// # Errors
    /// [`ImagesError`].
    pub fn kernel(&mut self) -> Result<Vec<u8>> {
        let kernel = self.manifest.kernel.clone();
        self.blob(&kernel)
    }

    /// The archive of files that the ranks were booted with.
    ///
    /// # Errors
    /// [`ImagesError`].
    pub fn modules(&mut self) -> Result<Vec<u8>> {
        let modules = self.manifest.modules.clone();
        self.blob(&modules)
    }

    fn blob(&mut self, blob: &Blob) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for run in &blob.chunks {
            for number in run.first..run.first + run.count {
                bytes.extend_from_slice(self.chunk(number)?);
            }
        }
        // Manifests whose chunks do not fit the length were refused.
        bytes.truncate(blob.length as usize);
        Ok(bytes)
    }

    /// Hands out the pages of a rank, from the first to the last of its window, each as it was
    /// saved: its hash was looked at.
    ///
    /// # Errors
    /// [`ImagesError`]; then the pages that were handed out are not all.
    pub fn for_each_page(&mut self, rank: u32, mut take: impl FnMut(u64, Page<'_>)) -> Result<()> {
        let ranks = &self.manifest.ranks;
        let found = ranks.binary_search_by_key(&rank, |rank| rank.description.rank);
        let Ok(index) = found else {
            let name = Name::Manifest(self.line()).to_string();
            return Err(self.folder.damaged(&name, format!("rank {rank} is not in it")));
        };
        let runs = std::mem::take(&mut self.manifest.ranks[index].pages);
        let done = self.pages(&runs, &mut take);
        self.manifest.ranks[index].pages = runs;
        done
    }

    fn pages(&mut self, runs: &[PageRun], take: &mut impl FnMut(u64, Page<'_>)) -> Result<()> {
        let mut page = 0;
        for run in runs {
            for further in 0..run.count() {
                match run {
                    PageRun::Zero(_) => take(page, Page::Zero),
                    PageRun::Free(_) => take(page, Page::Free),
                    PageRun::Stored(ChunkRun { first, .. }) => {
                        take(page, Page::Data(self.chunk(first + further)?));
                    }
                }
                page += 1;
            }
        }
        Ok(())
    }

    /// The bytes of a chunk, which have its hash.
    pub(super) fn chunk(&mut self, number: u32) -> Result<&PageBytes> {
        if !self.kept.is_empty() {
            return Ok(&self.kept[number as usize]);
        }
        let place = self.starts.partition_point(|start| *start <= number) - 1;
        let (start, place) = (self.starts[place], self.manifest.places[place]);
        let position = (place.first + (number - start)) as usize;
        match self.use_block(place.pack, position / BLOCK_CHUNKS) {
            Ok(()) => {}
            Err(error) => {
                self.distrusted.add(self.manifest.packs[place.pack as usize].number);
                return Err(error);
            }
        }
        // The pack was found to have as many chunks.
        let expected = self.manifest.hashes[number as usize];
        let block = self.blocks.last().map(|(_, _, bytes)| bytes.as_chunks::<PAGE>().0);
        match block.unwrap_or_default().get(position % BLOCK_CHUNKS) {
            Some(page) if ChunkHash::of(page) == expected => Ok(page),
            _ => {
                let number = self.manifest.packs[place.pack as usize].number;
                self.distrusted.add(number);
                let why = format!("chunk {position} is not the one of the image");
                Err(self.folder.damaged(&Name::Pack(number).to_string(), why))
            }
        }
    }

    /// Makes a block the last of those that are kept.
    fn use_block(&mut self, pack: u32, block: usize) -> Result<()> {
        let found = self.blocks.iter().rposition(|(p, b, _)| (*p, *b) == (pack, block));
        match found {
            Some(place) if place + 1 == self.blocks.len() => {}
            Some(place) => {
                let block = self.blocks.remove(place);
                self.blocks.push(block);
            }
            None => {
                let bytes = self.open_pack(pack)?.block(block)?;
                if self.blocks.len() == BLOCKS_KEPT {
                    self.blocks.remove(0);
                }
                self.blocks.push((pack, block, bytes));
            }
        }
        Ok(())
    }

    fn open_pack(&mut self, pack: u32) -> Result<&PackReader> {
        if !self.packs.contains_key(&pack) {
            let expected = self.manifest.packs[pack as usize];
            let found = PackReader::open(&self.folder, expected.number)?;
            if let Some(fault) = PackFacts::of(&found).fault(&expected, self.ends[pack as usize]) {
                return Err(self.folder.damaged(found.name(), fault));
            }
            if self.packs.len() == PACKS_OPEN {
                self.packs.pop_first();
            }
            self.packs.insert(pack, found);
        }
        Ok(&self.packs[&pack])
    }
}

//! An image that comes into being.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chunk::{ByHash, ChunkHash, PAGE, PageBytes};
use super::description::{Description, Line, RankDescription};
use super::error::{ImagesError, Result};
use super::folder::Folder;
use super::index::Index;
use super::lock::SaveLock;
use super::manifest::{
    Blob, ChunkRun, MAX_BLOB, MAX_CHUNKS, Manifest, PackRef, PageRun, Place, Sizes, StoredRank,
};
use super::names::Name;
use super::pack::PackWriter;
use super::page_memory::PageMemory;

/// An image that is being written. What was written is removed when this is dropped.
///
/// It works on copies that the caller has made.
#[derive(Debug)]
pub struct Saving {
    written: Written,
    index: Index,
    manifest: Manifest,
    /// The number of each chunk of this image.
    numbers: ByHash<u32>,
    /// Where each is: the pack, and the place in it.
    places: Vec<(u64, u32)>,
    /// The number that a pack of this image has.
    pack_number: u64,
    pack: Option<PackWriter>,
    /// Whether all that was asked for has been done.
    is_whole: bool,
}

/// Files that are removed unless they are to stay.
#[derive(Debug)]
struct Written {
    folder: Arc<Folder>,
    names: Vec<String>,
    /// Let go last.
    _lock: SaveLock,
}

impl Drop for Written {
    fn drop(&mut self) {
        for name in self.names.drain(..).rev() {
            // What stays is removed by the next saver.
            let _ = self.folder.remove(&name);
        }
    }
}

impl Saving {
    /// Begins one, in a directory that has what `index` says and no pack of `pack_number` or above.
    pub(super) fn new(
        folder: Arc<Folder>,
        lock: SaveLock,
        index: Index,
        pack_number: u64,
        description: Description,
    ) -> Self {
        Self {
            written: Written { folder, names: Vec::new(), _lock: lock },
            index,
            manifest: Manifest { description, ..Manifest::default() },
            numbers: ByHash::default(),
            places: Vec::new(),
            pack_number,
            pack: None,
            is_whole: true,
        }
    }

    /// Stores the image file that the ranks were booted from.
    ///
    /// # Errors
    /// [`ImagesError`]; then this cannot be finished.
    pub fn kernel(&mut self, bytes: &[u8]) -> Result<()> {
        self.manifest.kernel = self.blob(bytes)?;
        Ok(())
    }

    /// Stores the archive of files that the ranks were booted with.
    ///
    /// # Errors
    /// [`ImagesError`]; then this cannot be finished.
    pub fn modules(&mut self, bytes: &[u8]) -> Result<()> {
        self.manifest.modules = self.blob(bytes)?;
        Ok(())
    }

    fn blob(&mut self, bytes: &[u8]) -> Result<Blob> {
        self.is_whole = false;
        if bytes.len() as u64 > MAX_BLOB {
            let why = format!("its kernel or its boot modules have more than {MAX_BLOB} bytes");
            return Err(ImagesError::NotSavable(why));
        }
        let mut blob = Blob { length: bytes.len() as u64, chunks: Vec::new() };
        let (pages, rest) = bytes.as_chunks::<PAGE>();
        let mut last = [0; PAGE];
        last[..rest.len()].copy_from_slice(rest);
        for page in pages.iter().chain((!rest.is_empty()).then_some(&last)) {
            let chunk = self.chunk(page, ChunkHash::of(page))?;
            match blob.chunks.last_mut() {
                Some(run) if run.first + run.count == chunk => run.count += 1,
                _ => blob.chunks.push(ChunkRun { first: chunk, count: 1 }),
            }
        }
        self.is_whole = true;
        Ok(blob)
    }

    /// Stores a rank: what it is, and all of its memory, from the first page of its window to the
    /// last. `free` are the numbers of pages of no use to anybody. Ranks come in their order.
    ///
    /// # Errors
    /// [`ImagesError`]; then this cannot be finished.
    pub fn rank(
        &mut self,
        description: RankDescription,
        memory: &mut PageMemory,
        free: &[std::ops::Range<u64>],
    ) -> Result<()> {
        self.is_whole = false;
        let RankDescription { rank, window, .. } = description;
        let refused = |why: String| Err(ImagesError::NotSavable(format!("rank {rank}: {why}")));
        let length = memory.bytes().len();
        if !length.is_multiple_of(PAGE) || !free.is_sorted_by(|a, b| a.end <= b.start) {
            return refused("its pages make no sense".into());
        }
        if window != length as u64 {
            return refused(format!("it has a window of {window} bytes, and {length} were given"));
        }
        let mut runs = Vec::new();
        let mut free = free.iter().peekable();
        for (number, page) in (0..).zip(memory.pages()) {
            while free.next_if(|run| run.end <= number).is_some() {}
            let run = match free.peek() {
                Some(run) if run.contains(&number) => PageRun::Free(1),
                _ => match page.look() {
                    None => PageRun::Zero(1),
                    Some((bytes, hash)) => {
                        PageRun::Stored(ChunkRun { first: self.chunk(bytes, hash)?, count: 1 })
                    }
                },
            };
            let sizes = &mut self.manifest.sizes;
            sizes.memory += PAGE as u64;
            match run {
                PageRun::Zero(_) => sizes.zero += PAGE as u64,
                PageRun::Free(_) => sizes.free += PAGE as u64,
                PageRun::Stored(_) => {}
            }
            match (runs.last_mut(), run) {
                (Some(PageRun::Zero(count)), PageRun::Zero(_))
                | (Some(PageRun::Free(count)), PageRun::Free(_)) => *count += 1,
                (Some(PageRun::Stored(last)), PageRun::Stored(run))
                    if last.first + last.count == run.first =>
                {
                    last.count += 1;
                }
                _ => runs.push(run),
            }
        }
        self.manifest.ranks.push(StoredRank { description, pages: runs });
        self.is_whole = true;
        Ok(())
    }

    /// The number of a chunk, which is stored unless there is one that is equal.
    fn chunk(&mut self, bytes: &PageBytes, hash: ChunkHash) -> Result<u32> {
        if let Some(number) = self.numbers.get(&hash) {
            self.manifest.sizes.shared += PAGE as u64;
            return Ok(*number);
        }
        let number = self.places.len() as u32;
        if number == MAX_CHUNKS {
            let why = format!("it has more than {MAX_CHUNKS} pages that differ");
            return Err(ImagesError::NotSavable(why));
        }
        let place = match self.index.find(&hash) {
            Some(place) => {
                self.manifest.sizes.shared += PAGE as u64;
                place
            }
            None => {
                self.manifest.sizes.new += PAGE as u64;
                let pack = match &mut self.pack {
                    Some(pack) => pack,
                    none => {
                        let number = self.pack_number;
                        self.written.names.push(Name::Pack(number).to_string());
                        none.insert(PackWriter::create(&self.written.folder, number)?)
                    }
                };
                (pack.number(), pack.add(bytes)?)
            }
        };
        self.places.push(place);
        self.manifest.hashes.push(hash);
        self.numbers.insert(hash, number);
        Ok(number)
    }

    /// Writes the rest, and makes all of it durable. It is no image yet.
    ///
    /// # Errors
    /// [`ImagesError`]; then nothing of it is left.
    pub fn finish(mut self) -> Result<Durable> {
        if !self.is_whole {
            return Err(ImagesError::NotSavable("a part of it could not be stored".into()));
        }
        let folder = Arc::clone(&self.written.folder);
        let mut own = None;
        if let Some(pack) = self.pack.take() {
            let number = pack.number();
            let length = pack.finish()?;
            self.manifest.sizes.packed = length;
            own = Some(PackRef { number, length });
            folder.sync()?;
        }
        let length = |number| match own {
            Some(own) if own.number == number => own.length,
            _ => self.index.length(number).unwrap_or(0),
        };
        let mut packs: BTreeMap<u64, u32> =
            self.places.iter().map(|(number, _)| (*number, 0)).collect();
        for (number, (pack, index)) in packs.iter_mut().enumerate() {
            *index = number as u32;
            self.manifest.packs.push(PackRef { number: *pack, length: length(*pack) });
        }
        let places = &mut self.manifest.places;
        for (number, first) in &self.places {
            let pack = packs[number];
            match places.last_mut() {
                Some(place) if (place.pack, place.first + place.count) == (pack, *first) => {
                    place.count += 1;
                }
                _ => places.push(Place { pack, first: *first, count: 1 }),
            }
        }
        let bytes = self.manifest.to_bytes().map_err(ImagesError::NotSavable)?;
        let line = self.manifest.description.line;
        let name = Name::Unfinished(line).to_string();
        self.written.names.push(name.clone());
        let mut file = folder.create_file(name)?;
        file.write(&bytes)?;
        file.sync()?;
        let sizes = self.manifest.sizes;
        Ok(Durable { written: self.written, line, sizes, manifest_length: bytes.len() as u64 })
    }
}

/// An image that would survive a power cut, and is not committed: it is removed when this is
/// dropped, or when the process ends, by the next one that saves.
#[derive(Debug)]
pub struct Durable {
    written: Written,
    line: Line,
    sizes: Sizes,
    manifest_length: u64,
}

impl Durable {
    /// What the save had to do.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Bytes of its manifest.
    pub fn manifest_length(&self) -> u64 {
        self.manifest_length
    }

    /// Makes it an image.
    ///
    /// # Errors
    /// [`ImagesError`]; then it is none, unless the directory cannot be written to at all.
    pub fn commit(mut self) -> Result<()> {
        let folder = Arc::clone(&self.written.folder);
        let aside = Name::Unfinished(self.line).to_string();
        let name = Name::Manifest(self.line).to_string();
        folder.rename(&aside, &name)?;
        if let Err(error) = folder.sync() {
            // What is on the disk now is not known, so that the pack stays for the next saver.
            self.written.names.clear();
            let _ = folder.rename(&name, &aside);
            return Err(error);
        }
        self.written.names.clear();
        Ok(())
    }

    /// Removes it.
    pub fn discard(self) {}
}

//! The manifest of an image: what it is of, and where its pages are.

use serde::{Deserialize, Serialize};

use super::chunk::{ChunkHash, PAGE};
use super::description::{Description, RankDescription, bounded};

/// Version of the files. There is no reading of other versions.
pub const FORMAT: u32 = 2;

/// What a manifest begins with.
const MAGIC: [u8; 8] = *b"XNLIMAGE";
/// Bytes before the body: magic, version, zero, length of the body, hash.
const HEAD: usize = 56;
/// Bytes of a manifest, at most: enough for 28 GiB of pages that differ.
pub const MAX_MANIFEST: u64 = 256 << 20;
/// Pages of an image that differ, at most.
pub const MAX_CHUNKS: u32 = 7 << 20;
/// Ranks of an image, at most.
const MAX_RANKS: usize = 65_536;
/// Packs that an image is spread over, at most.
const MAX_PACKS: usize = 65_536;
/// Entries of the other lists, at most.
const MAX_ENTRIES: usize = 1 << 26;
/// Bytes of a kernel or of boot modules, at most.
pub const MAX_BLOB: u64 = 1 << 30;
/// Bytes of a window, at most.
const MAX_WINDOW: u64 = 1 << 40;

/// One image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The job.
    pub description: Description,
    /// The image file that its ranks were booted from.
    pub kernel: Blob,
    /// The archive of files that they were booted with.
    pub modules: Blob,
    /// The ranks that are in this image, in order.
    #[serde(deserialize_with = "bounded::<_, _, MAX_RANKS>")]
    pub ranks: Vec<StoredRank>,
    /// The packs that its chunks are in.
    #[serde(deserialize_with = "bounded::<_, _, MAX_PACKS>")]
    pub packs: Vec<PackRef>,
    /// The hash of each chunk; a chunk's number is its place in this list.
    #[serde(deserialize_with = "bounded::<_, _, MAX_ENTRIES>")]
    pub hashes: Vec<ChunkHash>,
    /// Where the chunks are, in their order.
    #[serde(deserialize_with = "bounded::<_, _, MAX_ENTRIES>")]
    pub places: Vec<Place>,
    /// What the save had to do.
    pub sizes: Sizes,
}

/// Some bytes that are no memory, in chunks; the last is filled up with zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// How many bytes.
    pub length: u64,
    /// Where they are.
    #[serde(deserialize_with = "bounded::<_, _, MAX_ENTRIES>")]
    pub chunks: Vec<ChunkRun>,
}

/// Chunks of the manifest's table, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRun {
    /// The number of the first.
    pub first: u32,
    /// How many; not 0.
    pub count: u32,
}

/// A rank of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRank {
    /// What it is besides its memory.
    pub description: RankDescription,
    /// Its pages, from the first to the last of its window.
    #[serde(deserialize_with = "bounded::<_, _, MAX_ENTRIES>")]
    pub pages: Vec<PageRun>,
}

/// Pages of one kind, one after the other. A count is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PageRun {
    /// This many are zeros.
    Zero(u32),
    /// This many are of no use to anybody.
    Free(u32),
    /// A page for each of the chunks.
    Stored(ChunkRun),
}

/// A pack that chunks are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackRef {
    /// Its number, which is its name.
    pub number: u64,
    /// Bytes of the file.
    pub length: u64,
}

/// Where some of the table's chunks are, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// In this of the manifest's packs.
    pub pack: u32,
    /// The place of the first among the pack's chunks.
    pub first: u32,
    /// How many; not 0.
    pub count: u32,
}

/// What a save had to do, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// The ranks' memory.
    pub memory: u64,
    /// Of that, pages that are zeros.
    pub zero: u64,
    /// Of that, pages that nobody needs.
    pub free: u64,
    /// Of memory, kernel and modules, what an equal page stood for, in this image or another.
    pub shared: u64,
    /// The rest, which is new.
    pub new: u64,
    /// What that takes in its pack.
    pub packed: u64,
}

impl Sizes {
    /// Bytes of memory that are not zeros and not free.
    pub fn used(&self) -> u64 {
        self.memory.saturating_sub(self.zero).saturating_sub(self.free)
    }
}

/// Why bytes are no manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAManifest {
    /// Of another version.
    Version(u32),
    /// Damaged, in these words.
    Damaged(String),
}

impl From<&str> for NotAManifest {
    fn from(why: &str) -> Self {
        Self::Damaged(why.into())
    }
}

impl PageRun {
    /// How many pages.
    pub fn count(self) -> u32 {
        match self {
            Self::Zero(count) | Self::Free(count) | Self::Stored(ChunkRun { count, .. }) => count,
        }
    }
}

impl Manifest {
    /// The file that stands for it.
    ///
    /// # Errors
    /// What is too large or wrong in it, in words.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        if let Some(fault) = self.fault() {
            return Err(fault);
        }
        let body = postcard::to_allocvec(self).map_err(|error| error.to_string())?;
        if body.len() as u64 > MAX_MANIFEST - HEAD as u64 {
            return Err(format!("its manifest takes more than {MAX_MANIFEST} bytes"));
        }
        Ok(Self::frame(&body))
    }

    /// A body, with what comes before it in a file.
    pub fn frame(body: &[u8]) -> Vec<u8> {
        let mut file = Vec::with_capacity(HEAD + body.len());
        file.extend(MAGIC);
        file.extend(FORMAT.to_le_bytes());
        file.extend([0; 4]);
        file.extend((body.len() as u64).to_le_bytes());
        let hash = hash_of(&file, body);
        file.extend(hash);
        file.extend(body);
        file
    }

    /// What a file says. All counts and references in what is returned fit each other.
    ///
    /// # Errors
    /// [`NotAManifest`].
    pub fn from_bytes(file: &[u8]) -> Result<Self, NotAManifest> {
        let (head, body) = file.split_at_checked(HEAD).ok_or("it is cut short")?;
        if head[..8] != MAGIC {
            return Err("it is no manifest: its magic is wrong".into());
        }
        let length = head[16..24].try_into().map(u64::from_le_bytes).unwrap_or_default();
        if length != body.len() as u64 {
            return Err(NotAManifest::Damaged(format!(
                "its body has {} bytes and should have {length}",
                body.len()
            )));
        }
        if file.len() as u64 > MAX_MANIFEST {
            return Err("it is too large".into());
        }
        if hash_of(&head[..24], body)[..] != head[24..] {
            return Err("its hash is wrong".into());
        }
        // In this order: only a version that somebody has written is another version.
        let version = head[8..12].try_into().map(u32::from_le_bytes).unwrap_or_default();
        if version != FORMAT {
            return Err(NotAManifest::Version(version));
        }
        let (manifest, rest): (Self, _) = postcard::take_from_bytes(body)
            .map_err(|error| NotAManifest::Damaged(format!("its body makes no sense: {error}")))?;
        if !rest.is_empty() {
            return Err("there is something behind its body".into());
        }
        manifest.fault().map_or(Ok(manifest), |fault| Err(NotAManifest::Damaged(fault)))
    }

    /// What does not fit together, if anything does not.
    fn fault(&self) -> Option<String> {
        if let Some(fault) = self.description.fault() {
            return Some(fault);
        }
        let chunks = self.hashes.len() as u64;
        let end = |run: &ChunkRun| u64::from(run.first) + u64::from(run.count);
        let is_in_table = |run: &ChunkRun| run.count > 0 && end(run) <= chunks;
        for (name, blob) in [("kernel", &self.kernel), ("boot modules", &self.modules)] {
            let pages: u64 = blob.chunks.iter().map(|run| u64::from(run.count)).sum();
            if blob.length > MAX_BLOB
                || pages != blob.length.div_ceil(PAGE as u64)
                || !blob.chunks.iter().all(is_in_table)
            {
                return Some(format!("the {name}'s chunks do not fit its length"));
            }
        }
        if self.ranks.len() > MAX_RANKS || self.packs.len() > MAX_PACKS {
            return Some("it has too many ranks or packs".into());
        }
        if !self.ranks.is_sorted_by(|a, b| a.description.rank < b.description.rank) {
            return Some("its ranks are not in order".into());
        }
        for StoredRank { description, pages } in &self.ranks {
            if let Some(fault) = description.fault() {
                return Some(fault);
            }
            let rank = description.rank;
            let count: u64 = pages.iter().map(|run| u64::from(run.count())).sum();
            let is_run = |run: &PageRun| match run {
                PageRun::Zero(count) | PageRun::Free(count) => *count > 0,
                PageRun::Stored(run) => is_in_table(run),
            };
            if rank >= self.description.options.size
                || description.window > MAX_WINDOW
                || count != description.window / PAGE as u64
                || !pages.iter().all(is_run)
            {
                return Some(format!("rank {rank}: its pages do not fit its window"));
            }
        }
        let placed: u64 = self.places.iter().map(|place| u64::from(place.count)).sum();
        let is_place = |place: &Place| {
            place.count > 0
                && (place.pack as usize) < self.packs.len()
                && place.first.checked_add(place.count).is_some()
        };
        if placed != chunks || !self.places.iter().all(is_place) {
            return Some("its chunks do not fit their places".into());
        }
        if !self.packs.is_sorted_by(|a, b| a.number < b.number) {
            return Some("its packs are not in order".into());
        }
        None
    }

    /// For each of its packs, how many chunks it must have at least.
    pub fn pack_ends(&self) -> Vec<u32> {
        let mut ends = vec![0; self.packs.len()];
        for Place { pack, first, count } in &self.places {
            let end = &mut ends[*pack as usize];
            *end = (*end).max(first + count);
        }
        ends
    }

    /// Each chunk with its place: the pack, by its place in the list, and the place in it.
    pub fn chunks(&self) -> impl Iterator<Item = (ChunkHash, u32, u32)> {
        let places = self.places.iter().flat_map(|place| {
            (0..place.count).map(move |further| (place.pack, place.first + further))
        });
        self.hashes.iter().zip(places).map(|(hash, (pack, position))| (*hash, pack, position))
    }
}

fn hash_of(head: &[u8], body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(head);
    hasher.update(body);
    *hasher.finalize().as_bytes()
}

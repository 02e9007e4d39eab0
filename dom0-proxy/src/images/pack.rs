//! Packs: the chunks that one save has added, in blocks that are compressed, with an index at the
//! end.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::chunk::{PAGE, PageBytes};
use super::error::{ImagesError, Result};
use super::folder::{Folder, NewFile};
use super::manifest::FORMAT;
use super::names::Name;

/// Chunks of a block; the last one of a pack may have fewer.
pub const BLOCK_CHUNKS: usize = 64;
/// Bytes of a block's chunks, at most.
const BLOCK: usize = BLOCK_CHUNKS * PAGE;

/// What a pack begins with.
const MAGIC: [u8; 8] = *b"XNLPACK\0";
/// Magic, version, zero, number, check.
const HEAD: usize = 32;
/// What a block begins with.
const BLOCK_MAGIC: [u8; 4] = *b"XBLK";
/// Magic, chunks, kind, length of what follows, hash.
const BLOCK_HEAD: usize = 48;
/// What the end of a pack begins with.
const END_MAGIC: [u8; 8] = *b"XNLINDEX";
/// Magic, number, offset of the index, blocks, chunks, hash.
const END: usize = 64;
/// Bytes of the index for each block: its length in the file.
const ENTRY: usize = 4;

/// The chunks are as they are.
const PLAIN: u32 = 0;
/// The chunks are an LZ4 block.
const LZ4: u32 = 1;

/// A pack that is being written.
#[derive(Debug)]
pub struct PackWriter {
    file: NewFile,
    number: u64,
    /// Chunks that are not written yet.
    block: Vec<u8>,
    /// The block that is written next, with its head.
    frame: Vec<u8>,
    index: Vec<u8>,
    length: u64,
    chunks: u32,
}

impl PackWriter {
    /// Begins one.
    pub fn create(folder: &Arc<Folder>, number: u64) -> Result<Self> {
        let mut file = folder.create_file(Name::Pack(number).to_string())?;
        let mut head = Vec::with_capacity(HEAD);
        head.extend(MAGIC);
        head.extend(FORMAT.to_le_bytes());
        head.extend([0; 4]);
        head.extend(number.to_le_bytes());
        let check = blake3::hash(&head);
        head.extend(&check.as_bytes()[..8]);
        file.write(&head)?;
        Ok(Self {
            file,
            number,
            block: Vec::with_capacity(BLOCK),
            frame: Vec::new(),
            index: Vec::new(),
            length: HEAD as u64,
            chunks: 0,
        })
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Adds a chunk, and says its place.
    pub fn add(&mut self, chunk: &PageBytes) -> Result<u32> {
        let place = self.chunks;
        self.chunks += 1;
        self.block.extend_from_slice(chunk);
        if self.block.len() == BLOCK {
            self.write_block()?;
        }
        Ok(place)
    }

    fn write_block(&mut self) -> Result<()> {
        let frame = &mut self.frame;
        frame.resize(BLOCK_HEAD + lz4_flex::block::get_maximum_output_size(self.block.len()), 0);
        let packed = lz4_flex::block::compress_into(&self.block, &mut frame[BLOCK_HEAD..]);
        let (kind, length) = match packed {
            Ok(length) if length < self.block.len() => (LZ4, length),
            _ => {
                frame[BLOCK_HEAD..][..self.block.len()].copy_from_slice(&self.block);
                (PLAIN, self.block.len())
            }
        };
        frame.truncate(BLOCK_HEAD + length);
        frame[4..8].copy_from_slice(&((self.block.len() / PAGE) as u32).to_le_bytes());
        frame[8..12].copy_from_slice(&kind.to_le_bytes());
        seal_block(frame);
        self.file.write(frame)?;
        self.length += frame.len() as u64;
        self.index.extend((frame.len() as u32).to_le_bytes());
        self.block.clear();
        Ok(())
    }

    /// Writes what is left, makes all of it durable, and says its length.
    pub fn finish(mut self) -> Result<u64> {
        if !self.block.is_empty() {
            self.write_block()?;
        }
        let mut end = std::mem::take(&mut self.index);
        let blocks = (end.len() / ENTRY) as u32;
        let index = end.len();
        end.extend(END_MAGIC);
        end.extend(self.number.to_le_bytes());
        end.extend(self.length.to_le_bytes());
        end.extend(blocks.to_le_bytes());
        end.extend(self.chunks.to_le_bytes());
        let hash = blake3::hash(&end);
        end.extend(hash.as_bytes());
        debug_assert_eq!(end.len(), index + END);
        self.file.write(&end)?;
        self.file.sync()?;
        Ok(self.length + end.len() as u64)
    }
}

/// A pack to be read. That its head and its index are sound is known.
#[derive(Debug)]
pub struct PackReader {
    file: File,
    folder: Arc<Folder>,
    name: String,
    /// Where each block begins; the last is where they end.
    offsets: Vec<u64>,
    chunks: u32,
    length: u64,
}

impl PackReader {
    /// Opens it, and checks its head and its index.
    pub fn open(folder: &Arc<Folder>, number: u64) -> Result<Self> {
        let name = Name::Pack(number).to_string();
        let file = folder.open_file(&name)?;
        let damaged = |why: &str| Err(folder.damaged(&name, why));
        let unreadable = |error| folder.unreadable(&name, error);
        let length = file.metadata().map_err(unreadable)?.len();
        if length < (HEAD + END) as u64 {
            return damaged("it is cut short");
        }
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, 0).map_err(unreadable)?;
        if head[..8] != MAGIC {
            return damaged("it is no pack: its magic is wrong");
        }
        if blake3::hash(&head[..24]).as_bytes()[..8] != head[24..] || u64_at(&head, 16) != number {
            return damaged("its head is wrong");
        }
        // In this order: only a version that somebody has written is another version.
        let version = u32_at(&head, 8);
        if version != FORMAT {
            let path = folder.path_of(&name);
            return Err(ImagesError::OtherVersion { path, found: version, known: FORMAT });
        }
        let mut end = [0; END];
        file.read_exact_at(&mut end, length - END as u64).map_err(unreadable)?;
        if end[..8] != END_MAGIC || u64_at(&end, 8) != number {
            return damaged("it has no end: it is cut short, or its last bytes are wrong");
        }
        let (offset, blocks, chunks) = (u64_at(&end, 16), u32_at(&end, 24), u32_at(&end, 28));
        let index = u64::from(blocks) * ENTRY as u64;
        let is_sound = offset.checked_add(index + END as u64) == Some(length)
            && chunks.div_ceil(BLOCK_CHUNKS as u32) == blocks;
        if !is_sound {
            return damaged("its index does not fit its length");
        }
        // Not more than the file has.
        let mut entries = vec![0; index as usize];
        file.read_exact_at(&mut entries, offset).map_err(unreadable)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&entries).update(&end[..32]);
        if hasher.finalize().as_bytes()[..] != end[32..] {
            return damaged("the hash of its index is wrong");
        }
        let mut offsets = Vec::with_capacity(blocks as usize + 1);
        let mut at = HEAD as u64;
        for entry in entries.as_chunks::<ENTRY>().0 {
            offsets.push(at);
            let block = u32::from_le_bytes(*entry) as usize;
            if !(BLOCK_HEAD..=BLOCK_HEAD + BLOCK).contains(&block) {
                return damaged("its index is wrong");
            }
            at += block as u64;
        }
        offsets.push(at);
        if at != offset {
            return damaged("its blocks do not fit its length");
        }
        Ok(Self { file, folder: Arc::clone(folder), name, offsets, chunks, length })
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Chunks in it.
    pub fn chunks(&self) -> u32 {
        self.chunks
    }

    /// Blocks in it.
    pub fn blocks(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The name of its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes that a block takes in the file.
    pub fn block_length(&self, block: usize) -> u64 {
        self.offsets[block + 1] - self.offsets[block]
    }

    /// The chunks of a block, one after the other.
    pub fn block(&self, block: usize) -> Result<Vec<u8>> {
        let mut frame = vec![0; self.block_length(block) as usize];
        let read = self.file.read_exact_at(&mut frame, self.offsets[block]);
        read.map_err(|error| self.folder.unreadable(&self.name, error))?;
        let damaged = |why: &str| self.folder.damaged(&self.name, format!("block {block}: {why}"));
        let chunks = read_block(&frame).map_err(damaged)?;
        let first = block as u32 * BLOCK_CHUNKS as u32;
        let expected = (self.chunks - first).min(BLOCK_CHUNKS as u32) as usize;
        if chunks.len() != expected * PAGE {
            return Err(damaged("it has another number of chunks than it should"));
        }
        Ok(chunks)
    }
}

/// The chunks of a block that is read with its head, one after the other.
///
/// # Errors
/// What is wrong with it. No more than [`BLOCK_CHUNKS`] pages are ever made of it.
pub fn read_block(frame: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (head, body) = frame.split_at_checked(BLOCK_HEAD).ok_or("it is cut short")?;
    if head[..4] != BLOCK_MAGIC {
        return Err("its magic is wrong");
    }
    if u32_at(head, 12) as usize != body.len() {
        return Err("its length is wrong");
    }
    if block_hash(frame)[..] != head[16..] {
        return Err("its hash is wrong");
    }
    let chunks = u32_at(head, 4) as usize;
    if !(1..=BLOCK_CHUNKS).contains(&chunks) {
        return Err("it has too many chunks, or none");
    }
    match u32_at(head, 8) {
        PLAIN if body.len() == chunks * PAGE => Ok(body.to_vec()),
        LZ4 => {
            let mut block = vec![0; chunks * PAGE];
            match lz4_flex::block::decompress_into(body, &mut block) {
                Ok(length) if length == block.len() => Ok(block),
                _ => Err("it cannot be decompressed"),
            }
        }
        _ => Err("it is of an unknown kind"),
    }
}

/// Writes magic, length and hash into the head of a block, if the frame has room for a head.
pub fn seal_block(frame: &mut [u8]) {
    if let Some(length) = frame.len().checked_sub(BLOCK_HEAD) {
        frame[..4].copy_from_slice(&BLOCK_MAGIC);
        frame[12..16].copy_from_slice(&(length as u32).to_le_bytes());
        let hash = block_hash(frame);
        frame[16..BLOCK_HEAD].copy_from_slice(&hash);
    }
}

/// That of a block with its head.
fn block_hash(frame: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&frame[..16]).update(&frame[BLOCK_HEAD..]);
    *hasher.finalize().as_bytes()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

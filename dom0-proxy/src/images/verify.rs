//! Looks at every byte, and names what is damaged and who is hit by it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::chunk::{ChunkHash, PAGE};
use super::description::Line;
use super::error::{ImagesError, Result};
use super::folder::Folder;
use super::listing::Contents;
use super::manifest::{ChunkRun, Manifest, PageRun};
use super::names::Name;
use super::pack::{BLOCK_CHUNKS, PackReader};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Images that were looked at.
    pub images: usize,
    /// Of these, those that can be restored.
    pub good: usize,
    /// Bytes of packs that were read.
    pub bytes: u64,
    /// What is damaged.
    pub damages: Vec<Damage>,
}

/// A file that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Its name in the directory.
    pub file: String,
    /// What is wrong with it.
    pub why: String,
    /// Who is hit: a part of an image. Nobody, if no image needs it.
    pub hits: Vec<(Line, Part)>,
}

/// A part of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// All of it.
    All,
    /// The image file that ranks are booted from.
    Kernel,
    /// The files that ranks are booted with.
    Modules,
    /// This rank.
    Rank(u32),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => write!(f, "all"),
            Self::Kernel => write!(f, "kernel"),
            Self::Modules => write!(f, "boot modules"),
            Self::Rank(rank) => write!(f, "rank {rank}"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.why)?;
        if self.hits.is_empty() {
            return write!(f, "; no image needs it");
        }
        let mut lines: BTreeMap<Line, Vec<String>> = BTreeMap::new();
        for (line, part) in &self.hits {
            lines.entry(*line).or_default().push(part.to_string());
        }
        for (line, parts) in lines {
            write!(f, "; image {line} is hit: {}", parts.join(", "))?;
        }
        Ok(())
    }
}

/// What is wrong with the chunks of a pack.
#[derive(Debug)]
enum PackState {
    /// None can be read.
    Unreadable(String),
    /// The hash of each chunk, but for the blocks that are damaged.
    Read { hashes: Vec<Option<ChunkHash>>, faults: Vec<String> },
}

/// Looks at everything. `progress` hears how many bytes of how many have been read.
pub fn verify(folder: &Arc<Folder>, mut progress: impl FnMut(u64, u64)) -> Result<Report> {
    let mut contents = Contents::read(folder)?;
    // Others may be what a saver is writing now, or has left.
    let needed = contents.needed();
    contents.packs.retain(|number, _| needed.contains(number));
    let lengths = contents.packs.values().flatten().map(|facts| facts.length);
    let total = lengths.sum();
    let mut report = Report::default();
    let mut packs = BTreeMap::new();
    for (number, facts) in &contents.packs {
        let state = match facts {
            Err(error) => PackState::Unreadable(why(error)),
            Ok(_) => read_pack(folder, *number, |bytes| {
                report.bytes += bytes;
                progress(report.bytes, total);
            })?,
        };
        packs.insert(*number, state);
    }
    // Of images that have been removed meanwhile nothing is missed.
    contents.forget_removed(folder)?;
    let needed = contents.needed();
    packs.retain(|number, _| needed.contains(number));
    report.images = contents.manifests.len();
    // By file and fault, who is hit.
    let mut found: BTreeMap<(String, String), BTreeSet<(Line, Part)>> = BTreeMap::new();
    for (number, state) in &packs {
        let faults = match state {
            PackState::Unreadable(fault) => std::slice::from_ref(fault),
            PackState::Read { faults, .. } => faults,
        };
        for fault in faults {
            found.entry((Name::Pack(*number).to_string(), fault.clone())).or_default();
        }
    }
    for (line, read) in &contents.manifests {
        let before = found.values().map(BTreeSet::len).sum::<usize>();
        match read {
            Err(error) => {
                let file = Name::Manifest(*line).to_string();
                found.entry((file, why(error))).or_default().insert((*line, Part::All));
            }
            Ok((manifest, _)) => {
                for (file, fault, part) in hits(manifest, &contents, &packs) {
                    found.entry((file, fault)).or_default().insert((*line, part));
                }
            }
        }
        let after = found.values().map(BTreeSet::len).sum::<usize>();
        report.good += usize::from(before == after);
    }
    let damages = found.into_iter().map(|((file, why), hits)| Damage {
        file,
        why,
        hits: hits.into_iter().collect(),
    });
    report.damages = damages.collect();
    Ok(report)
}

/// What is wrong, without the file's path and without advice.
fn why(error: &ImagesError) -> String {
    match error {
        ImagesError::Damaged { why, .. } => why.clone(),
        ImagesError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            "it is missing".into()
        }
        ImagesError::Io { action, source, .. } => format!("{action}: {source}"),
        ImagesError::OtherVersion { found, .. } => format!("it has format {found}"),
        error => error.to_string(),
    }
}

fn read_pack(
    folder: &Arc<Folder>,
    number: u64,
    mut progress: impl FnMut(u64),
) -> Result<PackState> {
    let pack = match PackReader::open(folder, number) {
        Ok(pack) => pack,
        Err(error) => return Ok(PackState::Unreadable(why(&error))),
    };
    let mut hashes = Vec::with_capacity(pack.chunks() as usize);
    let mut faults = Vec::new();
    for block in 0..pack.blocks() {
        match pack.block(block) {
            Ok(bytes) => {
                hashes.extend(
                    bytes.as_chunks::<PAGE>().0.iter().map(|page| Some(ChunkHash::of(page))),
                );
            }
            Err(error) => {
                faults.push(why(&error));
                hashes.resize(
                    pack.chunks().min((block as u32 + 1) * BLOCK_CHUNKS as u32) as usize,
                    None,
                );
            }
        }
        progress(pack.block_length(block));
    }
    Ok(PackState::Read { hashes, faults })
}

/// What of an image is hit by what: file, fault, part.
fn hits(
    manifest: &Manifest,
    contents: &Contents,
    packs: &BTreeMap<u64, PackState>,
) -> Vec<(String, String, Part)> {
    let mut hits = Vec::new();
    // For each pack of the image, why it is of no use at all.
    let useless: Vec<Option<String>> = manifest
        .packs
        .iter()
        .zip(manifest.pack_ends())
        .map(|(pack, least)| match (packs.get(&pack.number), contents.packs.get(&pack.number)) {
            (Some(PackState::Unreadable(fault)), _) => Some(fault.clone()),
            (Some(PackState::Read { .. }), Some(Ok(facts))) => facts.fault(pack, least),
            _ => Some("it is missing".into()),
        })
        .collect();
    // What is wrong with each chunk that is bad.
    let mut bad: BTreeMap<u32, (String, String)> = BTreeMap::new();
    for (number, (hash, pack, position)) in (0..).zip(manifest.chunks()) {
        let pack_number = manifest.packs[pack as usize].number;
        let fault = match (&useless[pack as usize], packs.get(&pack_number)) {
            (Some(fault), _) => Some(fault.clone()),
            (None, Some(PackState::Read { hashes, faults })) => {
                match hashes.get(position as usize).copied().flatten() {
                    Some(found) if found == hash => None,
                    Some(_) => Some(format!(
                        "chunk {position} is not the one of image {}",
                        manifest.description.line
                    )),
                    None => {
                        let block = format!("block {}:", position as usize / BLOCK_CHUNKS);
                        faults.iter().find(|fault| fault.starts_with(&block)).cloned()
                    }
                }
            }
            _ => None,
        };
        if let Some(fault) = fault {
            bad.insert(number, (Name::Pack(pack_number).to_string(), fault));
        }
    }
    let mut hit = |part, runs: &mut dyn Iterator<Item = ChunkRun>| {
        for run in runs {
            for (_, (file, fault)) in bad.range(run.first..run.first + run.count) {
                hits.push((file.clone(), fault.clone(), part));
            }
        }
    };
    hit(Part::Kernel, &mut manifest.kernel.chunks.iter().copied());
    hit(Part::Modules, &mut manifest.modules.chunks.iter().copied());
    for rank in &manifest.ranks {
        let stored = |run: &PageRun| match run {
            PageRun::Stored(run) => Some(*run),
            _ => None,
        };
        hit(Part::Rank(rank.description.rank), &mut rank.pages.iter().filter_map(stored));
    }
    hits
}

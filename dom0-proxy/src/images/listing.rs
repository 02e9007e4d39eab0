//! Which images there are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;

use serde::Serialize;

use super::description::Line;
use super::error::{ImagesError, Result};
use super::folder::Folder;
use super::manifest::{FORMAT, MAX_MANIFEST, Manifest, NotAManifest, PackRef};
use super::names::Name;
use super::pack::PackReader;

/// An image that there is, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// How often the job had been restored.
    pub incarnation: u64,
    /// The line's number.
    pub number: u64,
    /// What is in it, if its manifest can be read.
    pub summary: Option<Summary>,
    /// What is wrong with it, if anything is.
    pub damage: Option<String>,
}

impl Listed {
    /// Its line.
    pub fn line(&self) -> Line {
        Line { incarnation: self.incarnation, number: self.number }
    }
}

/// What is in an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// When it was saved, in seconds since 1970.
    pub created: u64,
    /// The name of the host.
    pub host: String,
    /// The job.
    pub job: String,
    /// The name of its program.
    pub program: String,
    /// Ranks in the image.
    pub ranks: u32,
    /// Bytes of their memory.
    pub memory: u64,
    /// Bytes of it that are not zeros and not free.
    pub used: u64,
    /// Bytes of pages that no image before had.
    pub new: u64,
    /// Bytes that this image has added to the disk: its pack and its manifest.
    pub written: u64,
}

/// What a pack says of itself.
#[derive(Clone, Copy, Debug)]
pub struct PackFacts {
    /// Bytes of the file.
    pub length: u64,
    /// Chunks in it.
    pub chunks: u32,
}

impl PackFacts {
    fn read(folder: &Arc<Folder>, number: u64) -> Result<Self> {
        PackReader::open(folder, number).map(|pack| Self::of(&pack))
    }

    /// Those of a pack that is open.
    pub fn of(pack: &PackReader) -> Self {
        Self { length: pack.length(), chunks: pack.chunks() }
    }

    /// What does not fit between it and a manifest that needs `least` chunks of it.
    pub fn fault(self, expected: &PackRef, least: u32) -> Option<String> {
        let Self { length, chunks } = self;
        let name = Name::Pack(expected.number);
        if length != expected.length {
            return Some(format!("{name} has {length} bytes, and should have {}", expected.length));
        }
        (chunks < least).then(|| format!("{name} has fewer chunks than the image needs"))
    }
}

/// All manifests, and what can be said of packs without reading them.
#[derive(Debug)]
pub struct Contents {
    /// Each manifest with its file's length, or why there is none.
    pub manifests: BTreeMap<Line, Result<(Manifest, u64)>>,
    /// The packs that the manifests need or that are there.
    pub packs: BTreeMap<u64, Result<PackFacts>>,
    /// Manifests that were not committed.
    pub unfinished: Vec<Line>,
}

impl Contents {
    /// Looks at all files of ours.
    pub fn read(folder: &Arc<Folder>) -> Result<Self> {
        let mut found =
            Self { manifests: BTreeMap::new(), packs: BTreeMap::new(), unfinished: Vec::new() };
        for name in folder.names()? {
            match Name::parse(&name) {
                Some(Name::Manifest(line)) => {
                    let read = read_manifest(folder, line);
                    // One that has just been removed.
                    if !read.as_ref().is_err_and(ImagesError::is_missing) {
                        found.manifests.insert(line, read);
                    }
                }
                Some(Name::Pack(number)) => {
                    found.packs.insert(number, PackFacts::read(folder, number));
                }
                Some(Name::Unfinished(line)) => found.unfinished.push(line),
                None => {}
            }
        }
        for number in found.needed() {
            let read = || PackFacts::read(folder, number);
            found.packs.entry(number).or_insert_with(read);
        }
        // Images whose packs are missing may have been removed meanwhile, manifests first.
        found.forget_removed(folder)?;
        Ok(found)
    }

    /// Forgets images that are there no more.
    pub fn forget_removed(&mut self, folder: &Folder) -> Result<()> {
        let names = folder.names()?;
        let is_there = |name: Name| names.binary_search(&name.to_string()).is_ok();
        self.manifests.retain(|line, _| is_there(Name::Manifest(*line)));
        Ok(())
    }

    /// The packs that images need, as far as manifests can be read.
    pub fn needed(&self) -> BTreeSet<u64> {
        let manifests = self.manifests.values().flatten();
        manifests.flat_map(|(manifest, _)| &manifest.packs).map(|pack| pack.number).collect()
    }

    /// What is wrong with an image, as far as is known without reading its pages.
    pub fn damage(&self, line: Line) -> Option<String> {
        match self.manifests.get(&line)? {
            Err(error) => Some(error.to_string()),
            Ok((manifest, _)) => {
                let mut packs = manifest.packs.iter().zip(manifest.pack_ends());
                packs.find_map(|(pack, least)| match self.packs.get(&pack.number)? {
                    Ok(facts) => facts.fault(pack, least),
                    Err(error) => Some(error.to_string()),
                })
            }
        }
    }

    /// The images, in order.
    pub fn list(&self) -> Vec<Listed> {
        let list = self.manifests.iter().map(|(line, read)| Listed {
            incarnation: line.incarnation,
            number: line.number,
            summary: read.as_ref().ok().map(|(manifest, length)| summary(manifest, *length)),
            damage: self.damage(*line),
        });
        list.collect()
    }
}

/// Reads a manifest, and says how many bytes its file has.
pub fn read_manifest(folder: &Folder, line: Line) -> Result<(Manifest, u64)> {
    let name = Name::Manifest(line).to_string();
    let file = folder.open_file(&name)?;
    parse_manifest(folder, line, &file)
}

/// The same, of a file that is open.
pub fn parse_manifest(
    folder: &Folder,
    line: Line,
    mut file: &std::fs::File,
) -> Result<(Manifest, u64)> {
    let name = Name::Manifest(line).to_string();
    let unreadable = |error| folder.unreadable(&name, error);
    let length = file.metadata().map_err(unreadable)?.len();
    if length > MAX_MANIFEST {
        return Err(folder.damaged(&name, "it is too large"));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    Read::take(&mut file, MAX_MANIFEST).read_to_end(&mut bytes).map_err(unreadable)?;
    let manifest = Manifest::from_bytes(&bytes).map_err(|error| match error {
        NotAManifest::Damaged(why) => folder.damaged(&name, why),
        NotAManifest::Version(found) => {
            ImagesError::OtherVersion { path: folder.path_of(&name), found, known: FORMAT }
        }
    })?;
    if manifest.description.line != line {
        return Err(folder.damaged(&name, "it is the manifest of another image"));
    }
    Ok((manifest, length))
}

fn summary(manifest: &Manifest, length: u64) -> Summary {
    let Manifest { description, sizes, ranks, .. } = manifest;
    Summary {
        created: description.created,
        host: description.host.clone(),
        job: description.job.clone(),
        program: description.program.name.clone(),
        ranks: ranks.len() as u32,
        memory: sizes.memory,
        used: sizes.used(),
        new: sizes.new,
        written: sizes.packed.saturating_add(length),
    }
}

//! Which chunks a new image can share with those that are there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::chunk::{ByHash, ChunkHash};
use super::listing::Contents;

/// Of a pack of which less than this part is still in use, nothing is shared any more: what is in
/// use of it is stored again, and when the older images go, the pack goes with them. So no pack is
/// ever rewritten below an image, and none stays for a few pages forever.
const LEAST_USE: u64 = 4;

/// Where the chunks are that can be shared: the pack's number, and the place in it.
#[derive(Debug, Default)]
pub struct Index {
    places: ByHash<(u64, u32)>,
    lengths: HashMap<u64, u64>,
}

impl Index {
    /// Of all that the images need, but for packs that are damaged as far as is known.
    pub fn new(contents: &Contents, distrusted: &BTreeSet<u64>) -> Self {
        let mut in_use: BTreeMap<u64, Vec<bool>> = BTreeMap::new();
        let mut lengths = HashMap::new();
        for (number, facts) in &contents.packs {
            if let Ok(facts) = facts
                && !distrusted.contains(number)
            {
                in_use.insert(*number, vec![false; facts.chunks as usize]);
                lengths.insert(*number, facts.length);
            }
        }
        let good = || {
            let lines = contents.manifests.iter().filter_map(|(line, read)| {
                let (manifest, _) = read.as_ref().ok()?;
                contents.damage(*line).is_none().then_some(manifest)
            });
            lines.flat_map(|manifest| {
                manifest
                    .chunks()
                    .map(|(hash, pack, place)| (hash, manifest.packs[pack as usize].number, place))
            })
        };
        for (_, pack, place) in good() {
            if let Some(chunk) = in_use.get_mut(&pack).and_then(|all| all.get_mut(place as usize)) {
                *chunk = true;
            }
        }
        in_use.retain(|_, chunks| {
            let used = chunks.iter().filter(|used| **used).count() as u64;
            used * LEAST_USE >= chunks.len() as u64
        });
        let places = good()
            .filter(|(_, pack, _)| in_use.contains_key(pack))
            .map(|(hash, pack, place)| (hash, (pack, place)))
            .collect();
        Self { places, lengths }
    }

    /// Where a chunk is.
    pub fn find(&self, hash: &ChunkHash) -> Option<(u64, u32)> {
        self.places.get(hash).copied()
    }

    /// Bytes of a pack that chunks were found in.
    pub fn length(&self, pack: u64) -> Option<u64> {
        self.lengths.get(&pack).copied()
    }
}

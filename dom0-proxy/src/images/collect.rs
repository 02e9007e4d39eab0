//! What nobody needs any more is removed. Only whoever holds the lock of savers does that.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::description::Line;
use super::error::{ImagesError, Result};
use super::folder::Folder;
use super::listing::Contents;
use super::lock::SaveLock;
use super::names::Name;

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// These images.
    pub images: Vec<Line>,
    /// These would have been removed, and stay as long as somebody reads them.
    pub in_use: Vec<Line>,
    /// Packs that no image needs any more.
    pub packs: Vec<u64>,
}

/// Removes what savers have left that died: manifests that were not committed, and packs that no
/// image needs.
pub fn remove_leftovers(folder: &Folder, contents: &Contents, _: &SaveLock) -> Result<()> {
    for line in &contents.unfinished {
        folder.remove(&Name::Unfinished(*line).to_string())?;
    }
    remove_packs(folder, contents, &BTreeSet::new()).map(drop)
}

/// Removes images until `count` good ones are left, from the oldest on, and the packs that only
/// they need.
pub fn keep(folder: &Arc<Folder>, count: usize, lock: &SaveLock) -> Result<Removed> {
    let contents = Contents::read(folder)?;
    remove_leftovers(folder, &contents, lock)?;
    let lines = || contents.manifests.keys().copied();
    let good = lines().rev().filter(|line| contents.damage(*line).is_none());
    let mut removed = Removed::default();
    let Some(oldest) = good.take(count.max(1)).last() else { return Ok(removed) };
    for line in lines().take_while(|line| *line < oldest) {
        // What another version of this program has written is for that one to remove.
        if let Some(Err(ImagesError::OtherVersion { .. })) = contents.manifests.get(&line) {
            continue;
        }
        match remove_image(folder, line)? {
            true => removed.images.push(line),
            false => removed.in_use.push(line),
        }
    }
    if !removed.images.is_empty() {
        // No pack goes before the images that need it.
        folder.sync()?;
        let gone = removed.images.iter().copied().collect();
        removed.packs = remove_packs(folder, &contents, &gone)?;
        folder.sync()?;
    }
    Ok(removed)
}

/// Removes a manifest, unless somebody reads the image.
fn remove_image(folder: &Folder, line: Line) -> Result<bool> {
    let name = Name::Manifest(line).to_string();
    let file = match folder.open_file(&name) {
        Ok(file) => file,
        Err(error) if error.is_missing() => return Ok(true),
        Err(error) => return Err(error),
    };
    if file.try_lock().is_err() {
        return Ok(false);
    }
    // Whoever gets the lock afterwards looks whether the name is still there.
    folder.remove(&name)?;
    Ok(true)
}

/// Removes the packs that no image but the `gone` ones needs. If that is not known, because a
/// manifest cannot be read, none.
fn remove_packs(folder: &Folder, contents: &Contents, gone: &BTreeSet<Line>) -> Result<Vec<u64>> {
    let mut needed = BTreeSet::new();
    for (_, read) in contents.manifests.iter().filter(|(line, _)| !gone.contains(line)) {
        let Ok((manifest, _)) = read else { return Ok(Vec::new()) };
        needed.extend(manifest.packs.iter().map(|pack| pack.number));
    }
    let mut removed = Vec::new();
    for pack in contents.packs.keys().filter(|pack| !needed.contains(pack)) {
        // Of those that a manifest names, the file may be missing: that is no error.
        folder.remove(&Name::Pack(*pack).to_string())?;
        removed.push(*pack);
    }
    Ok(removed)
}

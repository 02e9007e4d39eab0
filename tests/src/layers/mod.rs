//! Imports point down: the layers of a crate, checked against their picture.
//!
//! A crate is a house. Its *rooms* are the folders and files right in `src`; the picture in
//! `docs/architecture.md` says on which *floor* each room is. Code may import what is in its own
//! room and what is on the floors below, so whoever reads a room needs to know only what is under
//! it. `lib.rs`, `main.rs` and `bin/` stand above all floors. No files import each other in a
//! circle, be it within one room.
//!
//! - [`rules`]: the pictures;
//! - [`tree`]: the modules of a crate, what each defines, and which names its code uses;
//! - [`cfg`]: which code is there for tests only;
//! - [`imports`]: from names to the files that define them;
//! - [`verdict`]: arrows that point up or sideways, and circles.

mod cfg;
mod imports;
#[cfg(test)]
mod made_up;
mod rules;
mod tree;
mod verdict;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Where the pictures are.
const DOCUMENT: &str = "docs/architecture.md";

/// What is wrong with the crate whose code is in `source`, a folder of the repository: a line for
/// each import that points up or sideways, a paragraph for each circle.
pub fn faults(repository: &Path, source: &str) -> Result<Vec<String>> {
    let pictures = pictures(repository)?;
    let picture = pictures
        .iter()
        .find(|picture| picture.source == source)
        .with_context(|| format!("{DOCUMENT} has no picture of {source}"))?;
    let tree = tree::Tree::read(repository, source)?;
    Ok(verdict::faults(&tree, picture, &imports::arrows(&tree)))
}

/// The folders that have a picture.
pub fn pictured(repository: &Path) -> Result<Vec<String>> {
    Ok(pictures(repository)?.into_iter().map(|picture| picture.source).collect())
}

fn pictures(repository: &Path) -> Result<Vec<rules::Picture>> {
    let path = repository.join(DOCUMENT);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    rules::pictures(&text)
}

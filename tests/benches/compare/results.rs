//! Where what was measured is kept.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// `bench/` in cargo's target directory.
pub fn directory() -> Result<PathBuf> {
    let own = std::env::current_exe().context("find the bench program")?;
    // TARGET/release/deps/NAME
    let target =
        own.ancestors().nth(3).context("the bench program is not in a target directory")?;
    let results = target.join("bench");
    fs::create_dir_all(&results).with_context(|| format!("create {}", results.display()))?;
    Ok(results)
}

/// Keeps rows there, and tells where.
pub fn keep(name: &str, csv: &str) -> Result<()> {
    let file = directory()?.join(name);
    fs::write(&file, csv).with_context(|| format!("write {}", file.display()))?;
    eprintln!("rows: {}", file.display());
    Ok(())
}

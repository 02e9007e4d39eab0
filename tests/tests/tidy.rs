//! Sources and documents are tidy: see `CONTRIBUTING.md`.

use anyhow::{Result, ensure};
use xenolith_tests::{repository, tidy};

fn check(rule: fn(&tidy::File) -> Vec<String>) -> Result<()> {
    let files = tidy::files(repository())?;
    ensure!(files.len() > 100, "only {} files were found", files.len());
    let found: Vec<String> = files.iter().flat_map(rule).collect();
    ensure!(found.is_empty(), "{} places:\n\n{}\n", found.len(), found.join("\n"));
    Ok(())
}

#[test]
fn width() -> Result<()> {
    check(tidy::too_wide)
}

#[test]
fn ends() -> Result<()> {
    check(tidy::untidy_ends)
}

#[test]
fn words() -> Result<()> {
    check(tidy::unwanted_words)
}

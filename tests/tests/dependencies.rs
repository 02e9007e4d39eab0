//! What the project takes from others keeps to `deny.toml`.

use anyhow::{Result, ensure};
use xenolith_tests::dependencies::Dependencies;
use xenolith_tests::repository;

fn check(rule: fn(&Dependencies) -> Result<Vec<String>>) -> Result<()> {
    let dependencies = Dependencies::of(repository())?;
    let count = dependencies.foreign().count();
    ensure!(count > 50, "only {count} packages were found");
    let found = rule(&dependencies)?;
    ensure!(found.is_empty(), "against deny.toml:\n{}", found.join("\n"));
    Ok(())
}

#[test]
fn licences() -> Result<()> {
    check(Dependencies::wrong_licences)
}

#[test]
fn sources() -> Result<()> {
    check(|dependencies| Ok(dependencies.wrong_sources()))
}

#[test]
fn one_version_of_each() -> Result<()> {
    check(Dependencies::duplicates)
}

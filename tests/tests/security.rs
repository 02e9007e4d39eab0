//! The table of who may do what names tests that there are.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use xenolith_tests::{repository, tidy};

const DOCUMENT: &str = "docs/operations.md";
const SECTION: &str = "### Who may do what at worst";

#[test]
fn tests_that_are_named_exist() -> Result<()> {
    let files = tidy::files(repository())?;
    let document = files.iter().find(|file| file.path == DOCUMENT).context(DOCUMENT)?;
    let (_, section) = document.text.split_once(SECTION).context(SECTION)?;
    let (section, _) = section.split_once("\n## ").context("the section's end")?;
    let rows = section.lines().filter(|line| line.starts_with('|'));
    let last_cell = |row: &str| row.trim_end_matches(" |").rsplit('|').next().map(str::to_owned);
    let named: BTreeSet<String> = rows
        .filter_map(last_cell)
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    ensure!(named.len() > 20, "only {} tests are named", named.len());
    let exists = |name: &String| match name.strip_suffix(".sh") {
        Some(_) => files.iter().any(|file| file.path == format!("tests/xen/{name}")),
        None => files.iter().any(|file| file.text.contains(&format!("fn {name}("))),
    };
    let missing: Vec<_> = named.iter().filter(|name| !exists(name)).collect();
    ensure!(missing.is_empty(), "{DOCUMENT} names tests that there are not: {missing:?}");
    Ok(())
}

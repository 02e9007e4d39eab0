//! Imports point down, as the pictures in `docs/architecture.md` show: one test a crate.
//!
//! `CONTRIBUTING.md` says how to read a failure.

use anyhow::{Result, bail, ensure};
use xenolith_tests::{layers, repository};

const CRATES: [&str; 3] = ["armci-nostd/src", "guest-kernel/src", "dom0-proxy/src"];

fn check(source: &str) -> Result<()> {
    let faults = layers::faults(repository(), source)?;
    if !faults.is_empty() {
        bail!("{} faults in the layers of {source}:\n\n{}\n", faults.len(), faults.join("\n"));
    }
    Ok(())
}

#[test]
fn armci_nostd() -> Result<()> {
    check("armci-nostd/src")
}

#[test]
fn guest_kernel() -> Result<()> {
    check("guest-kernel/src")
}

#[test]
fn dom0_proxy() -> Result<()> {
    check("dom0-proxy/src")
}

#[test]
fn every_picture_is_checked() -> Result<()> {
    let pictured = layers::pictured(repository())?;
    ensure!(pictured == CRATES, "pictures of {pictured:?}, tests of {CRATES:?}");
    Ok(())
}

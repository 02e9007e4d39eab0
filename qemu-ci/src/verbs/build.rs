//! `qemu-ci build`: all that the other verbs would build.

use anyhow::Result;

use super::Ground;
use crate::programs::Programs;

/// Builds it.
pub fn run() -> Result<i32> {
    let ground = Ground::prepare()?;
    Programs::build(&ground.workspace)?;
    Ok(0)
}

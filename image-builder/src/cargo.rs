//! Calling cargo, and the project's packages as cargo knows them.

use std::ffi::OsString;
use std::io::{self, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use cargo_metadata::{Artifact, Message};

use crate::output;
use crate::turn::Turn;

/// The kernel, whose linker scripts lie beside its manifest.
pub(crate) const KERNEL: &str = "guest-kernel";
/// The kernel for C programs, a static library.
pub(crate) const C_KERNEL: &str = "xenolith-c";
/// ARMCI.
pub(crate) const ARMCI: &str = "armci-nostd";
/// Has cargo use the dependencies in `Cargo.lock` or none: what is installed is what was tested.
pub(crate) const LOCKED: &str = "--locked";
/// The folder with ARMCI's headers for C, beside its manifest.
pub(crate) const ARMCI_HEADERS: &str = "include";

/// The cargo that runs this program, or the one on PATH.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Waits until no other build works in this target folder.
pub(crate) fn take_turn(target_directory: &Path) -> io::Result<Turn> {
    Turn::take(&target_directory.join("image-builder.lock"), || {
        let folder = target_directory.display();
        output::error_line(format_args!("image-builder: waiting for another build in {folder}"));
    })
}

/// Runs a command of cargo's that compiles, and hands out what it has made. Says whether it was
/// successful; why not has gone to standard error then, with all that cargo shows of its progress.
pub(crate) fn run(command: &mut Command, mut made: impl FnMut(Artifact)) -> io::Result<bool> {
    command.arg("--message-format=json-render-diagnostics");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    if let Some(output) = child.stdout.take() {
        for message in Message::parse_stream(BufReader::new(output)) {
            if let Message::CompilerArtifact(artifact) = message? {
                made(artifact);
            }
        }
    }
    Ok(child.wait()?.success())
}

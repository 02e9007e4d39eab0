//! image-builder ends quietly when nobody reads what it says, as `... | head` does it.

mod common;

use std::fs;
use std::io::{self, PipeWriter};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::Fixture;
use image_builder::image::seal;

const SIGPIPE: i32 = 13;

/// The writing end of a pipe that nobody reads.
fn unread() -> PipeWriter {
    io::pipe().expect("there are pipes").1
}

fn image_builder<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_image-builder"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn ends_by_sigpipe(command: &mut Command) -> Output {
    let output = command.output().expect("it can be started");
    assert_eq!(output.status.signal(), Some(SIGPIPE), "{command:?}: {output:?}");
    output
}

#[test]
fn what_is_found_out_and_nobody_reads() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let image = folder.path().join("good.img");
    let mut bytes = Fixture::default().build();
    seal(&mut bytes).expect("the fixture can be sealed");
    fs::write(&image, bytes).expect("it can be written");
    let image = image.to_str().expect("UTF-8");
    let own = std::env::current_exe().expect("this program has a path");
    let own = own.to_str().expect("UTF-8");
    for mut command in [image_builder(["check", image]), image_builder(["explain", own, "0x1000"])]
    {
        let output = ends_by_sigpipe(command.stdout(unread()).stderr(Stdio::piped()));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn errors_that_nobody_reads() {
    let nothing = Path::new("/no/such/folder/Cargo.toml").to_str().expect("UTF-8");
    for mut command in [
        image_builder(["check", nothing]),
        image_builder(["explain", nothing]),
        image_builder(["build", "--manifest-path", nothing]),
        image_builder(["build-c", nothing]),
        image_builder(["install-c", "--prefix", nothing, "--manifest-path", nothing]),
    ] {
        ends_by_sigpipe(command.stderr(unread()).stdout(Stdio::piped()));
    }
}

//! A C program becomes a sealed image with the project's own kernel; what cannot is refused in one
//! line.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use image_builder::build::{BuildError, BuildOptions, BuiltImage, build_c};
use image_builder::c::{CError, CProgram};
use image_builder::compile::Application;
use image_builder::explain::{Meaning, Symbols};
use image_builder::image;
use image_builder::mebibytes::Mebibytes;

const PROGRAM: &str = "
#include <stdio.h>
#include <stdlib.h>
#include <value.h>
int main(void) {
    char *text = malloc(20);
    snprintf(text, 20, \"%d\", VALUE + NUMBER);
    puts(text);
    free(text);
    return 0;
}
";

/// Each with a name of its own, by which its objects are kept.
fn program(name: &str, folder: &Path, source: &str) -> CProgram {
    fs::create_dir_all(folder.join("headers")).expect("a folder for headers");
    fs::write(folder.join("headers/value.h"), "#define VALUE 3\n").expect("a header");
    fs::write(folder.join("program.c"), source).expect("a source");
    CProgram {
        name: Some(name.into()),
        sources: vec![folder.join("program.c")],
        include_dirs: vec![folder.join("headers")],
        mpi: false,
        defines: vec!["NUMBER=4".into()],
        optimization: "2".into(),
        compiler_args: vec!["-Werror".into()],
    }
}

fn options(folder: &Path) -> BuildOptions {
    BuildOptions {
        application: Application::for_c(None, None),
        out: Some(folder.join("out")),
        memory: Mebibytes::covering(8 << 20),
        install_dir: None,
        args: Vec::new(),
    }
}

/// None where there is nothing to compile C with, which a machine need not have.
fn built(program: &CProgram, folder: &Path) -> Option<Result<BuiltImage, BuildError>> {
    match build_c(program, &options(folder)) {
        Err(BuildError::C(error @ (CError::NoMusl | CError::NoProgram { .. }))) => {
            eprintln!("not tested: {error}");
            None
        }
        result => Some(result),
    }
}

#[test]
fn a_c_program_becomes_an_image() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // A space and a comma, since the path ends up on a compiler's command line.
    let folder = folder.path().join("some, where");
    let Some(built) = built(&program("test-image", &folder, PROGRAM), &folder) else { return };
    let built = built.expect("the program builds");
    let bytes = fs::read(&built.img).expect("the image is there");
    image::verify(&bytes).expect("and good");
    assert!(bytes.len() <= 512 * 1024, "the image has {} bytes", bytes.len());
    let symbols = Symbols::open(&built.elf).expect("it has symbols");
    let entry = symbols.explain(u64::from(built.info.entry), Meaning::Instruction);
    assert!(entry.to_string().contains("xenolith_entry"), "{entry}");
}

#[test]
fn a_c_program_finds_armci_and_mpi_if_asked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/c/mpi.c"))
        .expect("it is there");
    let mut program = program("test-armci", folder.path(), &source);
    program.mpi = true;
    let Some(built) = built(&program, folder.path()) else { return };
    let image = fs::read(built.expect("the program builds").img).expect("the image is there");
    image::verify(&image).expect("and good");

    program.mpi = false;
    let error = build_c(&program, &options(folder.path())).expect_err("nobody has asked for mpi.h");
    assert!(matches!(error, BuildError::C(CError::Compile(_))), "{error}");
}

#[test]
fn the_same_program_is_built_by_several_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let once = program("test-at-once", folder.path(), PROGRAM);
    if built(&once, folder.path()).is_none() {
        return;
    }
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_image-builder"));
        command.args(["build-c", "--name", "test-at-once", "-D", "NUMBER=4", "-I"]);
        command.arg(folder.path().join("headers")).arg(folder.path().join("program.c"));
        command.arg("--out").arg(folder.path().join("out"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let builds: Vec<Child> = (0..6).map(|_| start()).collect();
    let mut waited = 0;
    for build in builds {
        let output = build.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:?}");
        waited += usize::from(String::from_utf8_lossy(&output.stderr).contains("waiting for"));
    }
    assert!(waited > 0, "nobody had to wait");
    let image = fs::read(folder.path().join("out/test-at-once.img")).expect("the image is there");
    image::verify(&image).expect("and good");
}

#[test]
fn no_name_of_a_source_is_an_option() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // gcc takes what it finds in x.c for options, and runs another compiler, if it is given @x.c.
    let compiler = folder.path().join("bin/cc1");
    fs::create_dir(folder.path().join("bin")).expect("a folder");
    fs::write(&compiler, "#!/bin/sh\ntouch ran\nexit 1\n").expect("a script");
    fs::set_permissions(&compiler, fs::Permissions::from_mode(0o755)).expect("it is ours");
    fs::write(folder.path().join("x.c"), "-Bbin/ -x c /dev/null\n").expect("a file");
    fs::write(folder.path().join("@x.c"), "int main(void) { return 0; }\n").expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_image-builder"))
        .args(["build-c", "--name", "test-options", "--out", "out", "@x.c"])
        .current_dir(folder.path())
        .output()
        .expect("it starts");
    assert!(!folder.path().join("ran").exists(), "the folder's own program was run: {output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    let missing = said.contains("no musl") || said.contains("no gcc");
    assert!(output.status.success() || missing, "{output:?}");
}

#[test]
fn mistakes_are_told_apart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut no_header = program("test-mistakes", folder.path(), PROGRAM);
    no_header.include_dirs.clear();
    let Some(error) = built(&no_header, folder.path()) else { return };
    let error = error.expect_err("a header is missing");
    assert!(matches!(error, BuildError::C(CError::Compile(_))), "{error}");

    let mut no_source = no_header;
    no_source.sources.push("missing.c".into());
    let error = build_c(&no_source, &options(folder.path())).expect_err("a source is missing");
    assert_eq!(error.to_string(), "no file missing.c");
}

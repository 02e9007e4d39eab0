//! The whole way from a package outside any workspace to a sealed image, with a kernel of three
//! instructions.

use std::fs;
use std::path::{Path, PathBuf};

use image_builder::build::{BuildError, BuildOptions, build};
use image_builder::compile::{Application, CompileError, Targets};
use image_builder::explain::{Meaning, Symbols};
use image_builder::image;
use image_builder::mebibytes::Mebibytes;

const KERNEL: &str = r#"
#![no_std]
#[cfg(not(xenolith_guest))]
compile_error!("must be compiled for a guest");
core::arch::global_asm!(
    ".pushsection .note.xen, \"a\", @note",
    ".balign 4", ".long 4, 4, 18", ".asciz \"Xen\"", ".long start32",
    ".long 9, 40, 1", ".asciz \"Xenolith\"", ".balign 4", ".long 1, 0", ".zero 32",
    ".popsection",
    ".pushsection .text.start, \"ax\"", ".global start32",
    "start32:", "call application", "cli", "hlt",
    ".popsection",
);
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }
"#;

const LINKER_SCRIPT: &str = "
ENTRY(start32)
PHDRS { text PT_LOAD FLAGS(5); note PT_NOTE FLAGS(4); data PT_LOAD FLAGS(6); }
SECTIONS {
    . = 0x100000;
    .text : { KEEP(*(.text.start)) *(.text .text.*) } :text
    .note.xen : { KEEP(*(.note.xen)) } :text :note
    .rodata : { *(.rodata .rodata.*) } :text
    . = ALIGN(4096);
    .data : { *(.data .data.* .bss .bss.*) } :data
    /DISCARD/ : { *(.eh_frame*) *(.note.gnu*) *(.comment) }
}
";

const APPLICATION: &str = r#"
#![no_std]
#![no_main]
use guest_kernel as _;
#[unsafe(no_mangle)]
pub extern "C" fn application() -> u32 {
    core::hint::black_box(SECRET)
}
"#;

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a file is in a folder"))
        .expect("the folder can be made");
    fs::write(path, text).expect("the file can be written");
}

fn package(folder: &Path, name: &str, dependencies: &str) {
    let text = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n\
         [dependencies]\n{dependencies}"
    );
    write(&folder.join("Cargo.toml"), &text);
}

/// The manifests of an application and of the kernel beside it.
fn application_with_kernel(root: &Path, more: &str) -> PathBuf {
    let (kernel, application) = (root.join("kernel"), root.join("application"));
    package(&kernel, "guest-kernel", "");
    write(&kernel.join("src/lib.rs"), KERNEL);
    write(&kernel.join("link.ld"), LINKER_SCRIPT);
    let dependency = "guest-kernel = { path = \"../kernel\" }\n";
    package(&application, "application", &format!("{dependency}{more}"));
    application
}

fn options(application: &Path) -> BuildOptions {
    BuildOptions {
        application: Application {
            manifest_path: Some(application.join("Cargo.toml")),
            ..Application::default()
        },
        out: Some(application.join("out")),
        memory: Mebibytes::covering(8 << 20),
        install_dir: None,
        args: vec!["--class".into(), "S".into()],
    }
}

#[test]
fn an_application_outside_the_workspace_becomes_an_image() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // A space and a comma, since the path ends up on a linker's command line.
    let root = folder.path().join("some, where");
    let application = application_with_kernel(&root, "");
    for (name, secret) in [("one", "1"), ("two", "2")] {
        let text = format!("{APPLICATION}static SECRET: u32 = {secret};\n");
        write(&application.join(format!("src/bin/{name}.rs")), &text);
    }

    let mut built = build(&options(&application)).expect("both applications build");
    built.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(built.iter().map(|image| image.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);

    let image = fs::read(&built[0].img).expect("the image is there");
    assert_eq!(image::verify(&image), Ok(built[0].info.clone()));
    assert_eq!(image.len() as u64, built[0].size);
    let config = fs::read_to_string(&built[0].cfg).expect("the configuration is there");
    assert!(config.contains("kernel = \"one.img\"\ncmdline = \"-- --class S\"\n"), "{config}");
    assert!(config.contains("memory = 8\n"), "{config}");

    let elf = fs::read(&built[0].elf).expect("the executable is there");
    assert_eq!(image::verify(&elf), Err(image::ImageError::NotSealed));
    let symbols = Symbols::open(&built[0].elf).expect("it has symbols");
    let entry = symbols.explain(u64::from(built[0].info.entry) + 5, Meaning::ReturnAddress);
    assert!(entry.to_string().contains("start32"), "{entry}");

    let mut only_two = options(&application);
    only_two.application.targets = Targets { bins: vec!["two".into()], ..Targets::default() };
    only_two.memory = Mebibytes::covering(1 << 20);
    let error = build(&only_two).expect_err("1 MiB cannot do");
    assert!(matches!(&error, BuildError::TooLittleMemory { name, .. } if name == "two"), "{error}");
}

#[test]
fn two_builds_at_once_get_what_each_has_asked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let application = application_with_kernel(folder.path(), "[features]\nlarge = []\n");
    let main = format!(
        "{APPLICATION}static SECRET: u32 = 1;\n#[cfg(feature = \"large\")]\n\
         #[used]\nstatic LARGE: [u8; 5000] = [7; 5000];\n"
    );
    write(&application.join("src/main.rs"), &main);
    // Both are compiled to the same place in cargo's target folder.
    let build_one = |large: bool, round: usize| {
        let mut options = options(&application);
        options.out = Some(application.join(format!("out-{large}-{round}")));
        options.application.features = large.then(|| "large".to_owned()).into_iter().collect();
        let built = build(&options).expect("the application builds");
        let image = fs::read(&built[0].img).expect("the image is there");
        image::verify(&image).expect("and good");
        assert_eq!(image.len() > 5000, large, "the image has {} bytes", image.len());
    };
    for round in 0..4 {
        std::thread::scope(|scope| {
            scope.spawn(|| build_one(false, round));
            scope.spawn(|| build_one(true, round));
        });
    }
}

#[test]
fn a_package_without_the_kernel_is_told_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    package(folder.path(), "application", "");
    write(&folder.path().join("src/main.rs"), "fn main() {}\n");
    let error = build(&options(folder.path())).expect_err("there is no kernel");
    assert!(matches!(error, BuildError::Compile(CompileError::NoKernel)), "{error}");
}

//! An application outside the workspace, with the real kernel: what the README tells its author to
//! write must be enough.

use std::fs;
use std::path::{Path, PathBuf};

use image_builder::build::{BuildOptions, build};
use image_builder::compile::Application;
use image_builder::image;
use image_builder::mebibytes::Mebibytes;

const APPLICATION: &str = r#"
#![cfg_attr(xenolith_guest, no_std, no_main)]
use guest_kernel::println;

guest_kernel::main!(run);

fn run() {
    println!("hello from {:?}", guest_kernel::args());
}
"#;

#[test]
fn an_application_with_the_real_kernel_becomes_a_small_image() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kernel: PathBuf = project.join("guest-kernel").canonicalize().expect("the kernel is there");
    let manifest = format!(
        "[package]\nname = \"outsider\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n\
         [dependencies]\nguest-kernel = {{ path = {kernel:?} }}\n\
         [lints.rust.unexpected_cfgs]\nlevel = \"warn\"\ncheck-cfg = [\"cfg(xenolith_guest)\"]\n"
    );
    fs::create_dir(folder.path().join("src")).expect("the folder can be made");
    fs::write(folder.path().join("Cargo.toml"), manifest).expect("the manifest can be written");
    fs::write(folder.path().join("src/main.rs"), APPLICATION).expect("the source can be written");
    // The same versions as in the workspace, so that nothing need be looked up.
    fs::copy(project.join("Cargo.lock"), folder.path().join("Cargo.lock"))
        .expect("the workspace has a lock file");

    let options = BuildOptions {
        application: Application {
            manifest_path: Some(folder.path().join("Cargo.toml")),
            ..Application::default()
        },
        out: Some(folder.path().join("images")),
        memory: Mebibytes::covering(8 << 20),
        install_dir: Some("/srv/images".into()),
        args: Vec::new(),
    };
    let built = build(&options).expect("the application builds");
    assert_eq!(built.len(), 1);
    let image = fs::read(&built[0].img).expect("the image is there");
    image::verify(&image).expect("and good");
    assert!(image.len() <= 512 * 1024, "the image has {} bytes", image.len());
    let config = fs::read_to_string(&built[0].cfg).expect("the configuration is there");
    assert!(config.contains("kernel = \"/srv/images/outsider.img\"\n"), "{config}");
}

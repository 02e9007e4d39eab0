//! Builds what runs in dom0: the project's programs, its applications as Linux programs, the same
//! as images, and images of C programs.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::{Message, Metadata, MetadataCommand, TargetKind};
use image_builder::turn::Turn;
use rustix::process::Signal;

use crate::install;
use crate::overlay::{IMAGES, PROGRAMS, Packing};
use crate::progress::Step;
use crate::tied::tie;
use crate::workspace::Workspace;

/// A package, and the kind of its targets that are wanted.
type Source = (&'static str, TargetKind);
/// What serves ranks and starts them.
const PROXY: Source = ("dom0-proxy", TargetKind::Bin);
/// Applications: those for users to copy, and those for tests.
const APPLICATIONS: [Source; 2] =
    [("guest-kernel", TargetKind::Example), ("test-applications", TargetKind::Bin)];
/// The package that makes images of applications.
const IMAGE_BUILDER: &str = "image-builder";

/// All that is built. While it lives, no other qemu-ci builds in this checkout, so that the files
/// stay what they are until they are packed.
#[derive(Debug)]
pub struct Programs {
    /// Linux programs, applications among them.
    binaries: Vec<PathBuf>,
    /// Images and their configuration.
    images: Vec<PathBuf>,
    _turn: Turn,
}

impl Programs {
    /// Builds what is not up to date.
    pub fn build(workspace: &Workspace) -> Result<Self> {
        install::ensure_for_programs()?;
        let turn = workspace.take_turn()?;
        let metadata = metadata(workspace)?;
        let built = compile(workspace, &metadata)?;
        let out = metadata.target_directory.as_std_path().join("images");
        fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
        let mut images = Vec::new();
        for source in &APPLICATIONS {
            let names = built.iter().filter(|built| built.source == *source);
            let names: Vec<&str> = names.map(|built| built.name.as_str()).collect();
            ensure!(!names.is_empty(), "package {} has no application", source.0);
            images.extend(build_images(workspace, &out, source, &names)?);
        }
        images.extend(build_c_images(workspace, &out)?);
        let binaries = built.into_iter().map(|built| built.path).collect();
        Ok(Self { binaries, images, _turn: turn })
    }

    /// Packs all of it for dom0.
    pub fn pack(self, packing: &mut Packing<'_>) -> Result<()> {
        self.binaries.iter().try_for_each(|path| packing.put_into(path, PROGRAMS))?;
        self.images.iter().try_for_each(|path| packing.put_into(path, IMAGES))
    }

    /// An image of this name is there.
    pub fn has_image(&self, name: &str) -> bool {
        self.images.iter().any(|path| path.file_name().is_some_and(|file| file == name))
    }
}

/// A program that cargo has built.
struct Built {
    source: Source,
    name: String,
    path: PathBuf,
}

fn metadata(workspace: &Workspace) -> Result<Metadata> {
    MetadataCommand::new()
        .current_dir(workspace.root())
        .no_deps()
        .exec()
        .context("cannot ask cargo about the packages")
}

fn compile(workspace: &Workspace, metadata: &Metadata) -> Result<Vec<Built>> {
    let mut command = Command::new(Workspace::cargo());
    command.args([
        "build",
        "--locked",
        "--release",
        "--message-format=json-render-diagnostics",
        "--examples",
        "--bins",
    ]);
    let sources = [&[PROXY], APPLICATIONS.as_slice()].concat();
    for (package, _) in &sources {
        command.args(["--package", package]);
    }
    let output = run_quietly(workspace, "Building the programs", &mut command)?;
    let mut built = Vec::new();
    for message in Message::parse_stream(output.as_slice()) {
        if let Message::CompilerArtifact(artifact) =
            message.context("cannot read what cargo says")?
            && let Some(path) = artifact.executable
            && let Some(package) =
                metadata.packages.iter().find(|package| package.id == artifact.package_id)
            && let Some(source) = sources.iter().find(|(name, kind)| {
                package.name.as_str() == *name && artifact.target.kind.contains(kind)
            })
        {
            let (source, name) = (source.clone(), artifact.target.name);
            built.push(Built { source, name, path: path.into() });
        }
    }
    Ok(built)
}

fn build_images(
    workspace: &Workspace,
    out: &Path,
    (package, kind): &Source,
    names: &[&str],
) -> Result<Vec<PathBuf>> {
    let mut command = Command::new(Workspace::cargo());
    command
        .args(["run", "--locked", "--release", "--package", IMAGE_BUILDER])
        .args(["--", "build", "--locked", "--package", package, "--install-dir", IMAGES])
        .arg("--out")
        .arg(out);
    for name in names {
        command.arg(format!("--{kind}")).arg(name);
    }
    run_quietly(workspace, &format!("Building the images of {package}"), &mut command)?;
    let mut images = Vec::new();
    for name in names {
        for extension in ["img", "cfg"] {
            let path = out.join(format!("{name}.{extension}"));
            ensure!(path.is_file(), "{IMAGE_BUILDER} made no {}", path.display());
            images.push(path);
        }
    }
    Ok(images)
}

/// Images of the C programs for tests.
fn build_c_images(workspace: &Workspace, out: &Path) -> Result<Vec<PathBuf>> {
    let mut images = Vec::new();
    for program in workspace.c_test_programs()? {
        let name = &program.name;
        let mut command = Command::new(Workspace::cargo());
        command
            .args([
                "run",
                "--locked",
                "--release",
                "--package",
                IMAGE_BUILDER,
                "--",
                "build-c",
                "--install-dir",
                IMAGES,
            ])
            .args([
                "--cc-arg=-Wall",
                "--cc-arg=-Wextra",
                "--cc-arg=-Werror",
                "--name",
                name,
                "--out",
            ])
            .arg(out);
        if program.uses_mpi(workspace)? {
            command.arg("--mpi");
        }
        command.args(&program.sources);
        run_quietly(workspace, &format!("Building the C program {name}"), &mut command)?;
        images.extend(["img", "cfg"].map(|extension| out.join(format!("{name}.{extension}"))));
    }
    Ok(images)
}

/// Runs a cargo command and gives its standard output. What it says meanwhile is shown as progress,
/// and in full if it fails.
fn run_quietly(workspace: &Workspace, what: &str, command: &mut Command) -> Result<Vec<u8>> {
    let step = Step::start(what);
    command
        .current_dir(workspace.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    tie(command, Signal::TERM);
    let mut child = command.spawn().context("cannot run cargo")?;
    let progress = step.details();
    let errors = child.stderr.take();
    let reader = thread::spawn(move || {
        const KEPT: usize = 400;
        let mut kept = VecDeque::new();
        for line in errors
            .into_iter()
            .flat_map(|errors| BufReader::new(errors).lines().map_while(Result::ok))
        {
            progress.cargo_says(line.trim());
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back(line);
        }
        Vec::from(kept).join("\n")
    });
    let output = child.wait_with_output().context("cannot wait for cargo")?;
    let said = reader.join().unwrap_or_default();
    if !output.status.success() {
        bail!("{what} failed ({}):\n{said}", output.status);
    }
    step.done();
    Ok(output.stdout)
}

/// Where an image of this name lies in dom0.
pub fn image_path(name: &str) -> PathBuf {
    Path::new(IMAGES).join(name)
}

//! Builds what runs in dom0: the project's programs, its applications as Linux programs, the same
//! as images, and images of C programs.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::{Message, TargetKind};
use rustix::process::Signal;

use crate::install;
use crate::overlay::{IMAGES, Overlay, PROGRAMS};
use crate::progress::Phase;
use crate::tied::tie;
use crate::workspace::Workspace;

/// Programs that must come out of the build, and the package of each.
const PROGRAM_TABLE: &[(&str, &str)] = &[("dom0-proxy", "dom0-proxy"), ("pgas", "dom0-proxy")];
/// The package whose examples are the applications.
const APPLICATIONS: &str = "guest-kernel";
/// The package that makes images of them.
const IMAGE_BUILDER: &str = "image-builder";

/// All that is built.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Linux programs: those of the table, and the applications.
    binaries: Vec<PathBuf>,
    /// Images and their configuration.
    images: Vec<PathBuf>,
}

impl Programs {
    /// Builds what is not up to date.
    pub fn build(workspace: &Workspace) -> Result<Self> {
        install::ensure_for_programs()?;
        let built = compile(workspace)?;
        let applications: Vec<String> = names(&built, TargetKind::Example, APPLICATIONS);
        for (program, package) in PROGRAM_TABLE {
            ensure!(
                names(&built, TargetKind::Bin, package).iter().any(|name| name == program),
                "package {package} has no program {program}: qemu-ci cannot put it into dom0"
            );
        }
        ensure!(
            !applications.is_empty(),
            "package {APPLICATIONS} has no examples: there is no application to run"
        );
        let mut images = build_images(workspace, &applications)?;
        images.extend(build_c_images(workspace)?);
        let wanted = |program: &Built| match program.kind {
            TargetKind::Bin => PROGRAM_TABLE.contains(&(&program.name, &program.package)),
            _ => program.package == APPLICATIONS,
        };
        let binaries = built.into_iter().filter(wanted).map(|program| program.path).collect();
        Ok(Self { binaries, images })
    }

    /// Puts all of it into dom0.
    pub fn add_to(&self, overlay: &mut Overlay) -> Result<()> {
        self.binaries.iter().try_for_each(|path| overlay.put_into(path, PROGRAMS))?;
        self.images.iter().try_for_each(|path| overlay.put_into(path, IMAGES))
    }

    /// An image of this name is there.
    pub fn has_image(&self, name: &str) -> bool {
        self.images.iter().any(|path| path.file_name().is_some_and(|file| file == name))
    }
}

/// A program that cargo has built.
struct Built {
    package: String,
    kind: TargetKind,
    name: String,
    path: PathBuf,
}

fn names(built: &[Built], kind: TargetKind, package: &str) -> Vec<String> {
    built
        .iter()
        .filter(|program| program.kind == kind && program.package == package)
        .map(|program| program.name.clone())
        .collect()
}

fn compile(workspace: &Workspace) -> Result<Vec<Built>> {
    let mut command = Command::new(Workspace::cargo());
    command.args([
        "build",
        "--release",
        "--message-format=json-render-diagnostics",
        "--examples",
        "--bins",
    ]);
    let mut packages: Vec<&str> =
        PROGRAM_TABLE.iter().map(|(_, package)| *package).chain([APPLICATIONS]).collect();
    packages.dedup();
    for package in &packages {
        command.args(["--package", package]);
    }
    let output = run_quietly(workspace, "Building the programs", &mut command)?;
    let mut built = Vec::new();
    for message in Message::parse_stream(output.as_slice()) {
        if let Message::CompilerArtifact(artifact) =
            message.context("cannot read what cargo says")?
            && let Some(path) = artifact.executable
            && let Some(kind) = artifact.target.kind.first()
        {
            // The package is the folder in which the manifest lies: the id's format is cargo's own
            // affair.
            let package =
                artifact.manifest_path.parent().and_then(|dir| dir.file_name()).unwrap_or_default();
            built.push(Built {
                package: package.to_owned(),
                kind: kind.clone(),
                name: artifact.target.name,
                path: path.into(),
            });
        }
    }
    Ok(built)
}

fn build_images(workspace: &Workspace, applications: &[String]) -> Result<Vec<PathBuf>> {
    let out = target_directory(workspace)?.join("images");
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let mut command = Command::new(Workspace::cargo());
    command
        .args(["run", "--release", "--package", IMAGE_BUILDER, "--", "build"])
        .args(["--package", APPLICATIONS, "--install-dir", IMAGES])
        .arg("--out")
        .arg(&out);
    for application in applications {
        command.args(["--example", application]);
    }
    run_quietly(workspace, "Building the images", &mut command)?;
    let mut images = Vec::new();
    for application in applications {
        for extension in ["img", "cfg"] {
            let path = out.join(format!("{application}.{extension}"));
            ensure!(path.is_file(), "{IMAGE_BUILDER} made no {}", path.display());
            images.push(path);
        }
    }
    Ok(images)
}

/// Images of the C programs for tests.
fn build_c_images(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let out = target_directory(workspace)?.join("images");
    let mut images = Vec::new();
    for program in workspace.c_programs()? {
        let name = &program.name;
        let mut command = Command::new(Workspace::cargo());
        command
            .args([
                "run",
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
            .arg(&out);
        if program.uses_mpi(workspace)? {
            command.arg("--mpi");
        }
        command.args(&program.sources);
        run_quietly(workspace, &format!("Building the C program {name}"), &mut command)?;
        images.extend(["img", "cfg"].map(|extension| out.join(format!("{name}.{extension}"))));
    }
    Ok(images)
}

fn target_directory(workspace: &Workspace) -> Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .current_dir(workspace.root())
        .no_deps()
        .exec()
        .context("cannot ask cargo for the target directory")?;
    Ok(metadata.target_directory.into())
}

/// Runs a cargo command and gives its standard output. What it says meanwhile is shown as progress,
/// and in full if it fails.
fn run_quietly(workspace: &Workspace, what: &str, command: &mut Command) -> Result<Vec<u8>> {
    let phase = Phase::start(what);
    command
        .current_dir(workspace.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    tie(command, Signal::TERM);
    let mut child = command.spawn().context("cannot run cargo")?;
    let progress = phase.teller();
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
    phase.done();
    Ok(output.stdout)
}

/// Where an image of this name lies in dom0.
pub fn image_path(name: &str) -> PathBuf {
    Path::new(IMAGES).join(name)
}

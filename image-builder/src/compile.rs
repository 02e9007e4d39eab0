//! Driving cargo so that an ordinary package comes out as a bare PVH executable.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::camino::Utf8PathBuf;
use cargo_metadata::{Artifact, Metadata, MetadataCommand, Package};

use crate::cargo::{self, ARMCI, ARMCI_HEADERS, C_KERNEL, KERNEL, LOCKED};
use crate::turn::Turn;

/// The target is the host's own, so that nothing but a stable toolchain is needed.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const PROFILE: &str = "guest";
/// Lays out every image; lies beside the kernel's manifest.
const LINKER_SCRIPT: &str = "link.ld";
/// What it takes besides for a C program.
const C_LINKER_SCRIPT: &str = "c.ld";
/// How every image is linked: at fixed addresses, by a linker script of the kernel's, with nothing
/// of the host's.
pub(crate) const LINKER_OPTIONS: [&str; 7] = [
    "-nostartfiles",
    "-nostdlib",
    "-static",
    "-no-pie",
    "-Wl,--build-id=none",
    "-Wl,-z,noexecstack",
    "-Wl,-z,max-page-size=4096",
];
/// Where this project was when image-builder was compiled.
const OWN_FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// Which executables of a package to build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Names of examples.
    pub examples: Vec<String>,
    /// Names of binaries.
    pub bins: Vec<String>,
}

impl Targets {
    fn to_args(&self) -> Vec<String> {
        if self.examples.is_empty() && self.bins.is_empty() {
            return vec!["--bins".into()];
        }
        let flagged = |flag: &'static str, names: &[String]| {
            names.iter().flat_map(|name| [flag.to_owned(), name.clone()]).collect::<Vec<_>>()
        };
        [flagged("--example", &self.examples), flagged("--bin", &self.bins)].concat()
    }
}

/// What to compile and how.
#[derive(Clone, Debug, Default)]
pub struct Application {
    /// The package's or its workspace's `Cargo.toml`; none: the one that cargo finds from the
    /// current folder.
    pub manifest_path: Option<PathBuf>,
    /// The package; none: the one in the manifest, or guest-kernel where the manifest is that of a
    /// workspace.
    pub package: Option<String>,
    /// The executables; none named: all binaries of the package.
    pub targets: Targets,
    /// Cargo features to enable.
    pub features: Vec<String>,
    /// `-C target-cpu`; none: any x86-64.
    pub target_cpu: Option<String>,
    /// Whether dependencies must be those in `Cargo.lock`, to the version.
    pub locked: bool,
}

impl Application {
    /// The kernel for C programs, from this manifest's workspace; none: from the one that
    /// image-builder is part of, so that it works in any folder.
    #[must_use]
    pub fn for_c(manifest_path: Option<PathBuf>, target_cpu: Option<String>) -> Self {
        let own = || Path::new(OWN_FOLDER).with_file_name(KERNEL).join("Cargo.toml");
        Self {
            locked: manifest_path.is_none(),
            manifest_path: Some(manifest_path.unwrap_or_else(own)),
            package: Some(C_KERNEL.into()),
            target_cpu,
            ..Self::default()
        }
    }
}

/// An executable as it came from the linker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    /// The name of the example or binary.
    pub name: String,
    /// The ELF file with its symbols and debug information.
    pub path: PathBuf,
}

/// Why there is nothing to seal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// `cargo metadata` did not work.
    #[error("cannot read the package: {0}")]
    Metadata(#[from] cargo_metadata::Error),
    /// The package is not one.
    #[error("no package `{0}` in this workspace; name one with --package")]
    NoPackage(String),
    /// No kernel among the dependencies.
    #[error("the application does not depend on guest-kernel; add it to [dependencies]")]
    NoKernel,
    /// Cargo could not be started or read.
    #[error("cannot run cargo: {0}")]
    Cargo(#[from] io::Error),
    /// The target folder could not be locked.
    #[error("cannot lock {}: {error}", folder.display())]
    NoTurn {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Cargo has already said why.
    #[error("cargo could not build the application (see above)")]
    Failed,
    /// The build succeeded and yet made no executable.
    #[error("the package has no executable to build; name one with --example or --bin")]
    NoExecutable,
}

/// An application whose packages have been looked up.
#[derive(Debug)]
pub struct Project {
    metadata: Metadata,
    application: Application,
}

impl Project {
    /// Asks cargo about the application's packages.
    ///
    /// # Errors
    /// When cargo cannot read them.
    pub fn locate(application: Application) -> Result<Self, CompileError> {
        let mut command = MetadataCommand::new();
        let mut options = vec!["--filter-platform".to_owned(), TARGET.to_owned()];
        options.extend(application.locked.then(|| LOCKED.to_owned()));
        command.other_options(options);
        if let Some(path) = &application.manifest_path {
            command.manifest_path(path);
        }
        Ok(Self { metadata: command.exec()?, application })
    }

    /// Where cargo puts what it builds.
    #[must_use]
    pub fn target_directory(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// Waits until no other build works in the target folder: between what a tool writes there and
    /// what the next reads, nobody must come.
    ///
    /// # Errors
    /// When there cannot be a lock.
    pub fn take_turn(&self) -> Result<Turn, CompileError> {
        cargo::take_turn(self.target_directory())
            .map_err(|error| CompileError::NoTurn { folder: self.target_directory().into(), error })
    }

    /// Compiles all targets in one run of cargo, whose own progress and diagnostics go to standard
    /// error.
    ///
    /// # Errors
    /// When the application is not one for guest-kernel, or cargo fails.
    pub fn compile(&self) -> Result<Vec<Executable>, CompileError> {
        let mut executables = Vec::new();
        self.run_cargo(&self.application.targets.to_args(), |artifact| {
            if let Some(path) = artifact.executable {
                executables.push(Executable { name: artifact.target.name, path: path.into() });
            }
        })?;
        if executables.is_empty() { Err(CompileError::NoExecutable) } else { Ok(executables) }
    }

    /// Compiles the package's library, a static one.
    ///
    /// # Errors
    /// As for [`compile`](Self::compile).
    pub fn compile_library(&self) -> Result<PathBuf, CompileError> {
        let mut library = None;
        self.run_cargo(&["--lib".to_owned()], |artifact| {
            let is_static = |path: &Utf8PathBuf| path.extension() == Some("a");
            library = artifact.filenames.into_iter().find(is_static).or(library.take());
        })?;
        library.map(Into::into).ok_or(CompileError::NoExecutable)
    }

    /// The linker scripts for a C program; one that inserts has to come before the one that it
    /// inserts into.
    ///
    /// # Errors
    /// When there is no kernel.
    pub fn c_linker_scripts(&self) -> Result<[PathBuf; 2], CompileError> {
        let manifest = &self.kernel()?.manifest_path;
        Ok([C_LINKER_SCRIPT, LINKER_SCRIPT].map(|script| manifest.with_file_name(script).into()))
    }

    /// The folder with ARMCI's headers for C, if there is one.
    #[must_use]
    pub fn armci_headers(&self) -> Option<PathBuf> {
        let headers = self.find(ARMCI)?.manifest_path.with_file_name(ARMCI_HEADERS);
        headers.is_dir().then(|| headers.into())
    }

    fn run_cargo(
        &self,
        targets: &[String],
        made: impl FnMut(Artifact),
    ) -> Result<(), CompileError> {
        match cargo::run(&mut self.cargo(targets)?, made)? {
            true => Ok(()),
            false => Err(CompileError::Failed),
        }
    }

    fn cargo(&self, targets: &[String]) -> Result<Command, CompileError> {
        let package = self.package()?;
        let mut command = cargo::cargo();
        command.args(["build", "--target", TARGET, "--profile", PROFILE]);
        for setting in [
            r#"inherits="release""#,
            r#"panic="abort""#,
            r#"lto="fat""#,
            "codegen-units=1",
            "debug=1",
            r#"strip="none""#,
            "overflow-checks=false",
        ] {
            command.arg("--config").arg(format!("profile.{PROFILE}.{setting}"));
        }
        command
            .arg("--manifest-path")
            .arg(&package.manifest_path)
            .args(["--package", &package.name]);
        command.args(targets).args(self.application.locked.then_some(LOCKED));
        if !self.application.features.is_empty() {
            command.args(["--features", &self.application.features.join(",")]);
        }
        command.env("CARGO_ENCODED_RUSTFLAGS", self.rustflags()?.join("\u{1f}"));
        Ok(command)
    }

    fn rustflags(&self) -> Result<Vec<String>, CompileError> {
        let script = self.kernel()?.manifest_path.with_file_name(LINKER_SCRIPT);
        let mut flags: Vec<String> =
            ["--cfg", "xenolith_guest", "--check-cfg", "cfg(xenolith_guest)"]
                .map(str::to_owned)
                .into();
        let mut codegen = |option: String| flags.extend(["-C".to_owned(), option]);
        codegen("relocation-model=static".into());
        codegen("force-frame-pointers=yes".into());
        if let Some(cpu) = &self.application.target_cpu {
            codegen(format!("target-cpu={cpu}"));
        }
        for argument in LINKER_OPTIONS.into_iter().chain(["-T", script.as_str()]) {
            codegen(format!("link-arg={argument}"));
        }
        Ok(flags)
    }

    fn kernel(&self) -> Result<&Package, CompileError> {
        self.find(KERNEL).ok_or(CompileError::NoKernel)
    }

    fn find(&self, name: &str) -> Option<&Package> {
        self.metadata.packages.iter().find(|package| package.name.as_str() == name)
    }

    fn package(&self) -> Result<&Package, CompileError> {
        let members = self.metadata.workspace_packages();
        let named =
            |name: &str| members.iter().copied().find(|package| package.name.as_str() == name);
        match (&self.application.package, self.metadata.root_package()) {
            (Some(name), _) => named(name).ok_or_else(|| CompileError::NoPackage(name.clone())),
            (None, Some(package)) => Ok(package),
            (None, None) => named(KERNEL).ok_or_else(|| CompileError::NoPackage(KERNEL.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unnamed_targets_mean_all_binaries() {
        assert_eq!(Targets::default().to_args(), ["--bins"]);
        let named =
            Targets { examples: vec!["hello".into(), "cg".into()], bins: vec!["app".into()] };
        assert_eq!(named.to_args(), ["--example", "hello", "--example", "cg", "--bin", "app"]);
    }
}

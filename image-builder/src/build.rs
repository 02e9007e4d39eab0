//! From an application to the files with which it boots.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::c::{CError, CProgram};
use crate::compile::{Application, CompileError, Executable, Project};
use crate::image::{self, ImageError, ImageInfo};
use crate::mebibytes::Mebibytes;
use crate::publish::{PLAIN, publish};
use crate::strip::strip;
use crate::xl_config::XlConfig;

/// What to build and where to put it.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// What to compile; for a C program, its kernel: see [`Application::for_c`].
    pub application: Application,
    /// The folder for the results; none: `images` in cargo's target folder.
    pub out: Option<PathBuf>,
    /// The guest's memory in the xl configuration.
    pub memory: Mebibytes,
    /// The folder in which the image will lie on the Xen host; none: the configuration names the
    /// image without a folder.
    pub install_dir: Option<PathBuf>,
    /// The application's arguments in the xl configuration.
    pub args: Vec<String>,
}

/// The files of one image.
#[derive(Clone, Debug)]
pub struct BuiltImage {
    /// The name of the example or binary.
    pub name: String,
    /// The executable with symbols, for `image-builder explain` and debuggers.
    pub elf: PathBuf,
    /// The sealed image.
    pub img: PathBuf,
    /// The configuration for xl.
    pub cfg: PathBuf,
    /// The size of the sealed image in bytes.
    pub size: u64,
    /// What the image says about itself.
    pub info: ImageInfo,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The application could not be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The C program could not be compiled or linked.
    #[error(transparent)]
    C(#[from] CError),
    /// What the linker made is not a proper image.
    #[error("{name}: {error}")]
    Image {
        /// The example or binary.
        name: String,
        /// What is wrong with it.
        error: ImageError,
    },
    /// The wanted memory does not even hold the image.
    #[error("{name}: {wanted} of memory is too little, the image needs {needed}; raise --mem")]
    TooLittleMemory {
        /// The example or binary.
        name: String,
        /// What was asked for.
        wanted: Mebibytes,
        /// What it takes.
        needed: Mebibytes,
    },
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// Compiles the application and writes `NAME.elf`, `NAME.img` and `NAME.cfg` for each of its
/// executables.
///
/// # Errors
/// When the application does not compile, is not an image, or the results cannot be written.
pub fn build(options: &BuildOptions) -> Result<Vec<BuiltImage>, BuildError> {
    let project = Project::locate(options.application.clone())?;
    let _turn = project.take_turn()?;
    let out = options.folder(&project)?;
    project.compile()?.iter().map(|executable| package(executable, options, &out)).collect()
}

/// Compiles the C program and writes `NAME.elf`, `NAME.img` and `NAME.cfg`.
///
/// # Errors
/// As for [`build`], and when there is no compiler or C library.
pub fn build_c(program: &CProgram, options: &BuildOptions) -> Result<BuiltImage, BuildError> {
    let project = Project::locate(options.application.clone())?;
    let _turn = project.take_turn()?;
    let out = options.folder(&project)?;
    package(&program.compile(&project)?, options, &out)
}

impl BuildOptions {
    /// The folder for the results, which is there afterwards.
    fn folder(&self, project: &Project) -> Result<PathBuf, BuildError> {
        let out = self.out.clone().unwrap_or_else(|| project.target_directory().join("images"));
        fs::create_dir_all(&out).map_err(|error| BuildError::File { path: out.clone(), error })?;
        Ok(out)
    }
}

fn package(
    executable: &Executable,
    options: &BuildOptions,
    out: &Path,
) -> Result<BuiltImage, BuildError> {
    let name = executable.name.clone();
    let broken = |error| BuildError::Image { name: name.clone(), error };
    let elf = fs::read(&executable.path)
        .map_err(|error| BuildError::File { path: executable.path.clone(), error })?;
    let mut img = strip(&elf).map_err(broken)?;
    let info = image::seal(&mut img).map_err(broken)?;
    let needed = Mebibytes::covering(info.minimum_memory);
    if options.memory < needed {
        return Err(BuildError::TooLittleMemory { name, wanted: options.memory, needed });
    }

    let file = |extension: &str| out.join(format!("{name}.{extension}"));
    let image_name = format!("{name}.img");
    let kernel = options.install_dir.as_deref().unwrap_or(Path::new("")).join(image_name);
    let config =
        XlConfig { name: &name, kernel: &kernel, memory: options.memory, args: &options.args }
            .to_text();
    let built = BuiltImage {
        elf: file("elf"),
        img: file("img"),
        cfg: file("cfg"),
        size: img.len() as u64,
        info,
        name: name.clone(),
    };
    for (path, contents) in [
        (&built.elf, elf.as_slice()),
        (&built.img, img.as_slice()),
        (&built.cfg, config.as_bytes()),
    ] {
        publish(path, contents, PLAIN)
            .map_err(|error| BuildError::File { path: path.clone(), error })?;
    }
    Ok(built)
}

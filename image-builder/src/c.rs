//! C programs: compiled by gcc against musl's headers, linked with musl's static library and the
//! kernel.
//!
//! The kernel, a static library of its own, is compiled once by cargo; a C program only costs gcc.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::compile::{CompileError, Executable, LINKER_OPTIONS, Project};
use crate::halts;
use crate::image::ImageError;

/// The compiler, which also links.
const COMPILER: &str = "gcc";
/// Lists instructions; part of the package on which that of the compiler depends.
const DISASSEMBLER: &str = "objdump";
/// Where musl's headers and its static library are: in Debian, in Arch Linux and others, in Alpine.
const MUSL: [(&str, &str); 3] = [
    ("/usr/include/x86_64-linux-musl", "/usr/lib/x86_64-linux-musl"),
    ("/usr/lib/musl/include", "/usr/lib/musl/lib"),
    ("/usr/include", "/usr/lib"),
];
/// The dynamic linker, by which a system whose own C library is musl is known.
const MUSL_SYSTEM: &str = "/lib/ld-musl-x86_64.so.1";

/// The folder among ARMCI's headers with `mpi.h`, and the macro by which `armci.h` includes it: as
/// armcicc's `-mpi` does.
const MPI_HEADERS: &str = "mpi";
const MPI_MACRO: &str = "MSG_COMMS_MPI";

/// For every source. Frame pointers make backtraces; nothing unwinds.
const COMPILER_OPTIONS: &[&str] = &[
    "-c",
    "-g",
    "-fno-pic",
    "-fno-pie",
    "-fno-omit-frame-pointer",
    "-fno-asynchronous-unwind-tables",
    "-ffunction-sections",
    "-fdata-sections",
    "-fcf-protection=none",
    "-D__XENOLITH__=1",
    "-nostdinc",
];

/// What linking takes besides [`LINKER_OPTIONS`], since rustc does not do it: leaving out what is
/// not used, starting from the kernel's entry.
const MORE_LINKER_OPTIONS: [&str; 2] = ["-Wl,--gc-sections", "-Wl,--undefined=xenolith_entry"];

/// A C program, and how to compile it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CProgram {
    /// The image's name; none: that of the first source, without its extension.
    pub name: Option<String>,
    /// Sources, and objects (`.o`) and libraries (`.a`) that are there already.
    pub sources: Vec<PathBuf>,
    /// Folders for `#include`.
    pub include_dirs: Vec<PathBuf>,
    /// Whether `mpi.h` is found: the one that comes with ARMCI.
    pub mpi: bool,
    /// Macros, as `NAME` or `NAME=VALUE`.
    pub defines: Vec<String>,
    /// The level of optimization, as after gcc's `-O`.
    pub optimization: String,
    /// More arguments for gcc, for every source.
    pub compiler_args: Vec<String>,
}

/// Why there is no C program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CError {
    /// Nothing to compile.
    #[error("no source; name at least one .c file")]
    NoSource,
    /// The name is not one for a file.
    #[error("`{0}` cannot be an image's name; give one with --name")]
    BadName(String),
    /// A source is not there.
    #[error("no file {}", .0.display())]
    NoFile(PathBuf),
    /// A program that is needed is not there.
    #[error("no {program}, which C programs need; install it (in Debian: package {package})")]
    NoProgram {
        /// The program.
        program: &'static str,
        /// The package that brings it.
        package: &'static str,
    },
    /// There is no musl.
    #[error("no musl, the C library of C programs; install it (in Debian: package musl-dev)")]
    NoMusl,
    /// gcc has already said why.
    #[error("{COMPILER} could not compile {} (see above)", .0.display())]
    Compile(PathBuf),
    /// The linker has already said why.
    #[error("{0} could not be linked (see above)")]
    Link(String),
    /// The kernel could not be compiled.
    #[error(transparent)]
    Kernel(#[from] CompileError),
    /// The linked program is not what it should be.
    #[error("{0}: {1}")]
    Image(String, ImageError),
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl CProgram {
    /// Compiles and links the program, and the kernel where that is not up to date.
    ///
    /// # Errors
    /// When a tool is missing or does not accept what it is given.
    pub fn compile(&self, project: &Project) -> Result<Executable, CError> {
        let name = self.name()?;
        let sources = self.checked_sources()?;
        let tools = Tools::find()?;
        let dir = project.target_directory().join("c").join(&name);
        fs::create_dir_all(&dir).map_err(|error| CError::File { path: dir.clone(), error })?;

        // The program first: its mistakes are quick to find.
        let include_dirs = self.all_include_dirs(project.armci_headers());
        let mut objects = vec![tools.name_object(&name, &dir)?];
        for (index, source) in sources.iter().enumerate() {
            objects.push(if is_object(source) {
                source.clone()
            } else {
                // Sources in different folders may have the same name.
                let object = dir
                    .join(format!("{index}-{}", source.file_name().unwrap_or_default().display()));
                let object = with_extension_added(&object, "o");
                tools.compile(self, &include_dirs, source, &object)?;
                object
            });
        }
        let kernel = project.compile_library()?;
        let path = dir.join(&name);
        if !tools.link(project, &objects, &kernel, &path)? {
            return Err(CError::Link(name));
        }
        tools.make_halts_trap(&name, &path)?;
        Ok(Executable { name, path })
    }

    fn all_include_dirs(&self, armci: Option<PathBuf>) -> Vec<PathBuf> {
        let mpi = armci.as_ref().filter(|_| self.mpi).map(|armci| armci.join(MPI_HEADERS));
        self.include_dirs.iter().cloned().chain(armci).chain(mpi).collect()
    }

    fn name(&self) -> Result<String, CError> {
        let source = self.sources.first().ok_or(CError::NoSource)?;
        let stem = || source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = self.name.clone().unwrap_or_else(stem);
        // It becomes a file's name, a domain's name, and a text in C.
        let good = |letter: char| {
            letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '+')
        };
        if name.is_empty() || name.starts_with(['.', '-']) || !name.chars().all(good) {
            return Err(CError::BadName(name));
        }
        Ok(name)
    }

    fn checked_sources(&self) -> Result<&[PathBuf], CError> {
        match self.sources.iter().find(|source| !source.is_file()) {
            Some(missing) => Err(CError::NoFile(missing.clone())),
            None => Ok(&self.sources),
        }
    }
}

fn is_object(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "o" || extension == "a")
}

/// A file as an argument of gcc's, which takes what begins with `-` for an option, and what begins
/// with `@` for the name of a file with more arguments, even behind an option that needs a value.
fn file(path: &Path) -> PathBuf {
    match path.as_os_str().as_bytes().first() {
        Some(b'-' | b'@') => Path::new(".").join(path),
        _ => path.to_owned(),
    }
}

/// An option with its value in one argument.
fn option(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut option = OsString::from(name);
    option.push(value);
    option
}

fn with_extension_added(path: &Path, extension: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".");
    path.push(extension);
    path.into()
}

/// What this machine has for compiling C.
#[derive(Debug)]
struct Tools {
    compiler_headers: PathBuf,
    compiler_library: PathBuf,
    musl_headers: PathBuf,
    musl_library: PathBuf,
}

impl Tools {
    fn find() -> Result<Self, CError> {
        let no_compiler = || CError::NoProgram { program: COMPILER, package: "gcc" };
        let asked = |question: &str| {
            let output = Command::new(COMPILER)
                .arg(question)
                .output()
                .ok()
                .filter(|output| output.status.success());
            let output = output.ok_or_else(no_compiler)?;
            Ok::<_, CError>(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
        };
        let (compiler_headers, compiler_library) =
            (asked("-print-file-name=include")?, asked("-print-libgcc-file-name")?);
        let has_musl = |&&(headers, library): &&(&str, &str)| {
            let own = headers != "/usr/include" || Path::new(MUSL_SYSTEM).exists();
            own && Path::new(headers).join("stdio.h").is_file()
                && Path::new(library).join("libc.a").is_file()
        };
        let (headers, library) = MUSL.iter().find(has_musl).ok_or(CError::NoMusl)?;
        let musl_library = Path::new(library).join("libc.a");
        Ok(Self { compiler_headers, compiler_library, musl_headers: headers.into(), musl_library })
    }

    /// Tells the program its name.
    fn name_object(&self, name: &str, dir: &Path) -> Result<PathBuf, CError> {
        let source = dir.join("name.c");
        let text = format!("const char xenolith_program_name[] = \"{name}\";\n");
        fs::write(&source, text).map_err(|error| CError::File { path: source.clone(), error })?;
        let object = dir.join("name.o");
        self.compile(&CProgram::default(), &[], &source, &object)?;
        Ok(object)
    }

    fn compile(
        &self,
        program: &CProgram,
        include_dirs: &[PathBuf],
        source: &Path,
        object: &Path,
    ) -> Result<(), CError> {
        let mut command = Command::new(COMPILER);
        command.args(COMPILER_OPTIONS).arg(format!("-O{}", program.optimization));
        for dir in include_dirs {
            command.arg(option("-I", dir));
        }
        for dir in [&self.musl_headers, &self.compiler_headers] {
            command.arg("-isystem").arg(dir);
        }
        if program.mpi {
            command.arg(option("-D", MPI_MACRO));
        }
        for define in &program.defines {
            command.arg(option("-D", define));
        }
        command.args(&program.compiler_args).arg("-o").arg(object).arg(file(source));
        if succeeds(&mut command)? { Ok(()) } else { Err(CError::Compile(source.to_owned())) }
    }

    fn link(
        &self,
        project: &Project,
        objects: &[PathBuf],
        kernel: &Path,
        out: &Path,
    ) -> Result<bool, CError> {
        let mut command = Command::new(COMPILER);
        command.args(LINKER_OPTIONS).args(MORE_LINKER_OPTIONS);
        for script in project.c_linker_scripts()? {
            command.arg("-T").arg(script);
        }
        // Only what is still undefined is taken from a library: so the kernel's memory functions
        // come before musl's.
        let objects = objects.iter().map(|object| file(object));
        command.arg("-o").arg(out).args(objects).arg("-Wl,--start-group").arg(kernel);
        command.args([&self.musl_library, &self.compiler_library]).arg("-Wl,--end-group");
        succeeds(&mut command)
    }

    /// The C library gives up by the instruction `hlt`, which kills a Linux process. Here it would
    /// only wait: it becomes a breakpoint.
    fn make_halts_trap(&self, name: &str, path: &Path) -> Result<(), CError> {
        let no_disassembler = |_| CError::NoProgram { program: DISASSEMBLER, package: "binutils" };
        let arguments: [&OsStr; 3] =
            ["--disassemble".as_ref(), "--no-show-raw-insn".as_ref(), path.as_ref()];
        let output =
            Command::new(DISASSEMBLER).args(arguments).output().map_err(no_disassembler)?;
        if !output.status.success() {
            return Err(CError::Link(name.to_owned()));
        }
        let addresses = halts::in_c_code(&String::from_utf8_lossy(&output.stdout));
        let file = |error| CError::File { path: path.to_owned(), error };
        let mut elf = fs::read(path).map_err(file)?;
        halts::make_trap(&mut elf, &addresses)
            .map_err(|error| CError::Image(name.to_owned(), error))?;
        fs::write(path, elf).map_err(file)
    }
}

/// Runs gcc; what it says goes to standard error.
fn succeeds(command: &mut Command) -> Result<bool, CError> {
    // In English, and not at the mercy of the environment.
    for variable in ["CPATH", "C_INCLUDE_PATH", "LIBRARY_PATH", "GCC_EXEC_PREFIX"] {
        command.env_remove(variable);
    }
    let status = command.stdin(Stdio::null()).stdout(io::stderr()).status();
    let program: OsString = command.get_program().to_owned();
    match status {
        Ok(status) => Ok(status.success()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(CError::NoProgram { program: COMPILER, package: "gcc" })
        }
        Err(error) => Err(CError::File { path: program.into(), error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: Option<&str>, source: &str) -> Result<String, CError> {
        let program = CProgram {
            name: name.map(str::to_owned),
            sources: vec![source.into()],
            ..CProgram::default()
        };
        program.name()
    }

    #[test]
    fn a_program_is_named_after_its_first_source() {
        assert_eq!(name(None, "dir/stencil.c").unwrap(), "stencil");
        assert_eq!(name(Some("heat-2d"), "stencil.c").unwrap(), "heat-2d");
        for bad in ["", "a b", "../x", "\"", ".hidden", "-o"] {
            assert!(matches!(name(Some(bad), "x.c"), Err(CError::BadName(_))), "{bad}");
        }
        assert!(matches!(CProgram::default().name(), Err(CError::NoSource)));
    }

    #[test]
    fn headers_of_armci_come_last_and_mpi_only_if_asked_for() {
        let dirs = |mpi| CProgram { mpi, include_dirs: vec!["own".into()], ..CProgram::default() };
        let armci = || Some(PathBuf::from("armci"));
        assert_eq!(dirs(false).all_include_dirs(armci()), ["own", "armci"].map(PathBuf::from));
        assert_eq!(
            dirs(true).all_include_dirs(armci()),
            ["own", "armci", "armci/mpi"].map(PathBuf::from)
        );
        assert_eq!(dirs(true).all_include_dirs(None), [PathBuf::from("own")]);
    }

    #[test]
    fn names_of_files_are_no_options() {
        for (name, argument) in
            [("@x.c", "./@x.c"), ("-x.c", "./-x.c"), ("@d/x.c", "./@d/x.c"), ("d/@x.c", "d/@x.c")]
        {
            assert_eq!(file(Path::new(name)), Path::new(argument));
        }
        assert_eq!(option("-I", Path::new("@x")), "-I@x");
    }

    #[test]
    fn objects_are_linked_as_they_are() {
        assert!(is_object(Path::new("lib/libblas.a")) && is_object(Path::new("x.o")));
        assert!(!is_object(Path::new("x.c")) && !is_object(Path::new("x.S")));
    }
}

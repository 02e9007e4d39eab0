//! Installing ARMCI for C programs that run as Linux processes: library, headers, and a compiler
//! driver that knows both.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cargo_metadata::MetadataCommand;

use crate::cargo::{self, ARMCI, ARMCI_HEADERS, LOCKED};
use crate::publish::{PLAIN, PROGRAM, publish};

/// What a program needs besides the library.
const SYSTEM_LIBRARIES: &str = "-lpthread -ldl -lm";

/// What to install where.
#[derive(Clone, Debug, Default)]
pub struct InstallC {
    /// The folder that gets `bin`, `include` and `lib`.
    pub prefix: PathBuf,
    /// The `Cargo.toml` of Xenolith; none: found from the current folder.
    pub manifest_path: Option<PathBuf>,
    /// Where cargo builds; none: where it always does.
    pub target_dir: Option<PathBuf>,
}

/// Why nothing, or not all, was installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// `cargo metadata` did not work.
    #[error("cannot read the package: {0}")]
    Metadata(#[from] cargo_metadata::Error),
    /// The workspace is another one.
    #[error("no package `{ARMCI}` here; give --manifest-path the Cargo.toml of Xenolith")]
    NoPackage,
    /// Cargo could not be started or read.
    #[error("cannot run cargo: {0}")]
    Cargo(#[source] io::Error),
    /// Cargo has already said why.
    #[error("cargo could not build the library (see above)")]
    Failed,
    /// A file could not be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl InstallC {
    /// Builds the library and writes all files. Returns the path of the compiler driver.
    ///
    /// # Errors
    /// [`InstallError`].
    pub fn install(&self) -> Result<PathBuf, InstallError> {
        let mut metadata = MetadataCommand::new();
        metadata.no_deps();
        if let Some(path) = &self.manifest_path {
            metadata.manifest_path(path);
        }
        let metadata = metadata.exec()?;
        let package = metadata.packages.iter().find(|package| package.name.as_str() == ARMCI);
        let package = package.ok_or(InstallError::NoPackage)?;
        let target = self.target_dir.as_deref().unwrap_or(metadata.target_directory.as_std_path());
        let _turn = cargo::take_turn(target).map_err(failed(target))?;
        let library = self.build(package.manifest_path.as_std_path())?;

        copy(&library, &self.prefix.join("lib/libarmci.a"))?;
        let headers = package.manifest_path.with_file_name(ARMCI_HEADERS);
        copy_headers(headers.as_std_path(), &self.prefix.join("include"))?;
        let version = package.version.to_string();
        let pkg_config = pkg_config(&version);
        write(&self.prefix.join("lib/pkgconfig/armci.pc"), pkg_config.as_bytes(), PLAIN)?;
        let compiler = self.prefix.join("bin/armcicc");
        write(&compiler, compiler_driver().as_bytes(), PROGRAM)?;
        Ok(compiler)
    }

    /// Has cargo make a static library of the package, whose own type stays what it is.
    fn build(&self, manifest: &Path) -> Result<PathBuf, InstallError> {
        let mut command = cargo::cargo();
        command
            .args(["rustc", LOCKED, "--release", "--lib", "--features", "hosted,capi"])
            .args(["--crate-type", "staticlib", "--package", ARMCI, "--manifest-path"])
            .arg(manifest);
        if let Some(directory) = &self.target_dir {
            command.arg("--target-dir").arg(directory);
        }
        let mut library = None;
        let good = cargo::run(&mut command, |artifact| {
            if artifact.manifest_path.as_std_path() == manifest {
                let made =
                    artifact.filenames.into_iter().find(|file| file.extension() == Some("a"));
                library = made.map(PathBuf::from).or(library.take());
            }
        });
        if !good.map_err(InstallError::Cargo)? {
            return Err(InstallError::Failed);
        }
        library.ok_or(InstallError::Failed)
    }
}

/// Names the file in an error.
fn failed(path: &Path) -> impl FnOnce(io::Error) -> InstallError {
    let path = path.to_owned();
    move |error| InstallError::Write { path, error }
}

fn copy(from: &Path, to: &Path) -> Result<(), InstallError> {
    write(to, &fs::read(from).map_err(failed(from))?, PLAIN)
}

/// Writes a file, and makes the folders above it.
fn write(path: &Path, contents: &[u8], permissions: u32) -> Result<(), InstallError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed(folder))?;
    }
    publish(path, contents, permissions).map_err(failed(path))
}

fn copy_headers(from: &Path, to: &Path) -> Result<(), InstallError> {
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let path = entry.map_err(failed(from))?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            copy_headers(&path, &to.join(name))?;
        } else {
            copy(&path, &to.join(name))?;
        }
    }
    Ok(())
}

/// For pkg-config. Works wherever the folder is moved.
fn pkg_config(version: &str) -> String {
    format!(
        "prefix=${{pcfiledir}}/../..\n\n\
         Name: armci\n\
         Description: ARMCI 1.x on Xenolith\n\
         Version: {version}\n\
         Cflags: -I${{prefix}}/include\n\
         Libs: -L${{prefix}}/lib -larmci {SYSTEM_LIBRARIES}\n"
    )
}

/// A script around the C compiler. Works wherever the folder is moved.
fn compiler_driver() -> String {
    format!(
        r#"#!/bin/sh
# Compiles and links C programs for ARMCI on Xenolith.
#
#     armcicc [-mpi] OPTIONS AND FILES OF THE C COMPILER
#
# -mpi: armci.h includes the mpi.h that comes with ARMCI, which has what ARMCI programs use of MPI.
# The compiler is $CC, or cc. Run the result by `pgas run --hosted -n RANKS PROGRAM`.

# Scripts of the kind of `configure CC=armcicc` export CC. So if $CC leads back to here, directly or
# by another program, the compiler is cc; if that leads here too, there is none.
case ${{ARMCICC_COMPILER-}} in
'') ARMCICC_COMPILER=${{CC:-cc}} ;;
cc) echo "armcicc: the compiler cc is armcicc itself; set CC to another" >&2 && exit 1 ;;
*) ARMCICC_COMPILER=cc && export ARMCICC_COMPILER && exec cc "$@" ;;
esac
export ARMCICC_COMPILER
prefix=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
if [ $# -eq 0 ]; then
    echo "armcicc: no files; usage: armcicc [-mpi] prog.c -o prog" >&2
    exit 1
fi
mpi= link=yes
for argument in "$@"; do
    shift
    case $argument in
    -mpi) mpi=yes ;;
    -c | -S | -E | -M | -MM | -fsyntax-only) link= && set -- "$@" "$argument" ;;
    *) set -- "$@" "$argument" ;;
    esac
done
[ -z "$mpi" ] || set -- "-I$prefix/include/mpi" -DMSG_COMMS_MPI "$@"
[ -z "$link" ] || set -- "$@" "-L$prefix/lib" -larmci {SYSTEM_LIBRARIES}
exec $ARMCICC_COMPILER "-I$prefix/include" "$@"
"#
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A folder with the driver and with a compiler that only prints its arguments.
    fn installed(folder: &Path) -> (PathBuf, PathBuf) {
        let (driver, compiler) = (folder.join("bin/armcicc"), folder.join("path/cc"));
        write(&driver, compiler_driver().as_bytes(), PROGRAM).unwrap();
        write(&compiler, b"#!/bin/sh\nprintf '%s\\n' \"$@\"\n", PROGRAM).unwrap();
        (driver, compiler)
    }

    /// What the compiler is given, if the driver calls it.
    fn arguments(driver: &Path, cc: &str, path: &Path, given: &[&str]) -> Result<String, String> {
        let path = format!("{}:/usr/bin:/bin", path.display());
        let output = Command::new(driver).args(given).env("CC", cc).env("PATH", path).output();
        let output = output.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    #[test]
    fn the_driver_adds_what_is_needed_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (driver, compiler) = installed(&folder);
        let arguments = |given: &[&str]| {
            let said = arguments(&driver, compiler.to_str().unwrap(), &folder, given).unwrap();
            said.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let include = format!("-I{}/include", folder.display());
        let lib = format!("-L{}/lib", folder.display());
        let mut linked = vec![include.as_str(), "a b.c", "-o", "x", &lib, "-larmci"];
        linked.extend(SYSTEM_LIBRARIES.split(' '));
        assert_eq!(arguments(&["a b.c", "-o", "x"]), linked);
        assert_eq!(arguments(&["-c", "a.c"]), [include.as_str(), "-c", "a.c"]);
        let mpi = format!("{include}/mpi");
        assert_eq!(
            arguments(&["-mpi", "-E", "a.c"]),
            [include.as_str(), &mpi, "-DMSG_COMMS_MPI", "-E", "a.c"]
        );
    }

    #[test]
    fn the_driver_never_calls_itself_forever() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (driver, compiler) = installed(&folder);
        let path = compiler.parent().unwrap();
        let given = ["-mpi", "-c", "a b.c"];
        let plain = arguments(&driver, "cc -m64", path, &given).unwrap();
        assert!(plain.starts_with("-m64\n") && plain.ends_with("-c\na b.c\n"), "{plain}");
        for cc in [driver.to_str().unwrap(), &format!("env {}", driver.display())] {
            let said = arguments(&driver, cc, path, &given).unwrap();
            assert_eq!(format!("-m64\n{said}"), plain, "{cc}");
        }
        fs::remove_file(&compiler).unwrap();
        std::os::unix::fs::symlink(&driver, &compiler).unwrap();
        for cc in ["", "cc", driver.to_str().unwrap()] {
            let error = arguments(&driver, cc, path, &given).unwrap_err();
            assert_eq!(error, "armcicc: the compiler cc is armcicc itself; set CC to another\n");
        }
    }
}

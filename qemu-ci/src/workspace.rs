//! Where things are: the workspace's root and the caches under its `target/`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use image_builder::turn::Turn;

use crate::progress::note;

/// The Cargo workspace that qemu-ci serves.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
}

/// A C program that the tests run.
#[derive(Debug, Clone)]
pub struct CTestProgram {
    /// Its image's name: `c_` and its own, since applications in Rust have names like theirs.
    pub name: String,
    /// Paths from the root, which messages of the program show.
    pub sources: Vec<PathBuf>,
}

fn is_c(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "c")
}

impl CTestProgram {
    /// Whether it is one for `mpi.h`.
    pub fn uses_mpi(&self, workspace: &Workspace) -> Result<bool> {
        for path in &self.sources {
            let source = fs::read_to_string(workspace.root.join(path));
            if source
                .with_context(|| format!("cannot read {}", path.display()))?
                .contains("#include <mpi.h>")
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Workspace {
    /// Finds it: around the crate that cargo runs, or around the current directory.
    pub fn find() -> Result<Self> {
        let here = env::current_dir().context("cannot read the current directory")?;
        let started_by_cargo = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let is_root = |dir: &&Path| {
            dir.join("qemu-ci/Cargo.toml").is_file() && dir.join("Cargo.toml").is_file()
        };
        let root = started_by_cargo
            .iter()
            .flat_map(|dir| dir.ancestors())
            .chain(here.ancestors())
            .find(is_root);
        match root {
            Some(root) => Ok(Self { root: root.to_path_buf() }),
            None => {
                bail!("{} is not inside the Xenolith workspace: change into it", here.display())
            }
        }
    }

    /// The workspace's top-level folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The Xen tests.
    pub fn xen_tests(&self) -> PathBuf {
        self.root.join("tests/xen")
    }

    /// The C programs that the tests run: in `tests/c` each source, and each folder as one.
    pub fn c_test_programs(&self) -> Result<Vec<CTestProgram>> {
        let dir = Path::new("tests/c");
        let mut programs = Vec::new();
        for path in self.list(dir)? {
            let name = path.file_stem().unwrap_or_default().display();
            let name = format!("c_{name}");
            if self.root.join(&path).is_dir() {
                let sources = self.list(&path)?.into_iter().filter(|path| is_c(path)).collect();
                programs.push(CTestProgram { name, sources });
            } else if is_c(&path) {
                programs.push(CTestProgram { name, sources: vec![path] });
            }
        }
        Ok(programs)
    }

    /// What is in a folder, sorted; paths from the root.
    fn list(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        let list = || {
            let entries = fs::read_dir(self.root.join(dir))?;
            entries
                .map(|entry| Ok(dir.join(entry?.file_name())))
                .collect::<io::Result<Vec<PathBuf>>>()
        };
        let mut paths = list().with_context(|| format!("cannot list {}", dir.display()))?;
        paths.sort();
        Ok(paths)
    }

    /// Where qemu-ci keeps its images, its logs and what it has learned about this machine.
    pub fn cache(&self) -> Result<PathBuf> {
        let dir = self.root.join("target/qemu-ci");
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(dir)
    }

    /// Waits until no other qemu-ci builds in this checkout.
    pub fn take_turn(&self) -> Result<Turn> {
        let path = self.cache()?.join("lock");
        Turn::take(&path, || note("waiting for another qemu-ci that builds in this checkout"))
            .with_context(|| format!("cannot lock {}", path.display()))
    }

    /// The cargo to call.
    pub fn cargo() -> OsString {
        env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
    }
}

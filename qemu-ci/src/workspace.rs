//! Where things are: the workspace's root and the caches under its `target/`.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;

/// The Cargo workspace that qemu-ci serves.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds it: around the crate that cargo runs, or around the current directory.
    pub fn find() -> Result<Self> {
        let here = env::current_dir().context("cannot read the current directory")?;
        let started_by_cargo = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let is_root = |dir: &&Path| dir.join("qemu-ci/Cargo.toml").is_file() && dir.join("Cargo.toml").is_file();
        let root = started_by_cargo.iter().flat_map(|dir| dir.ancestors()).chain(here.ancestors()).find(is_root);
        match root {
            Some(root) => Ok(Self { root: root.to_path_buf() }),
            None => bail!("{} is not inside the Xenolith workspace: change into it", here.display()),
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

    /// The C programs that the tests run, each of one source: paths from the root, which their messages show.
    pub fn c_programs(&self) -> Result<Vec<PathBuf>> {
        let dir = Path::new("tests/c");
        let entries = fs::read_dir(self.root.join(dir)).with_context(|| format!("cannot list {}", dir.display()))?;
        let mut sources = Vec::new();
        for entry in entries {
            let path = dir.join(entry.with_context(|| format!("cannot list {}", dir.display()))?.file_name());
            if path.extension().is_some_and(|extension| extension == "c") {
                sources.push(path);
            }
        }
        sources.sort();
        Ok(sources)
    }

    /// Where qemu-ci keeps its images, its logs and what it has learned about this machine.
    pub fn cache(&self) -> Result<PathBuf> {
        let dir = self.root.join("target/qemu-ci");
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(dir)
    }

    /// Waits until no other qemu-ci works on the caches, and keeps them until the file is dropped.
    pub fn lock(&self) -> Result<File> {
        let path = self.cache()?.join("lock");
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }

    /// The cargo to call.
    pub fn cargo() -> OsString {
        env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
    }
}

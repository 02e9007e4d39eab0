//! Picks files out of unpacked packages, along with the libraries that they need.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::elf::Elf;

/// Where libraries are looked for.
const LIBRARY_DIRS: &[&str] = &["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
/// The program interpreter that all dynamic programs name.
const INTERPRETER: &str = "lib64/ld-linux-x86-64.so.2";

/// The picked files, as paths below the root that they are picked from.
pub struct Selection<'a> {
    root: &'a Path,
    paths: BTreeSet<PathBuf>,
}

impl<'a> Selection<'a> {
    /// Nothing yet.
    pub fn new(root: &'a Path) -> Self {
        Self { root, paths: BTreeSet::new() }
    }

    /// Adds a file, a directory with all below it, or with a `*` at its end all names in a
    /// directory that begin so.
    pub fn add(&mut self, pattern: &str) -> Result<()> {
        let Some(beginning) = pattern.strip_suffix('*') else {
            return self.add_path(Path::new(pattern));
        };
        let (dir, beginning) = beginning.rsplit_once('/').unwrap_or(("", beginning));
        let names = names(&self.root.join(dir))?;
        let matching: Vec<&String> =
            names.iter().filter(|name| name.starts_with(beginning)).collect();
        ensure!(!matching.is_empty(), "dom0's packages hold nothing like {pattern}");
        matching.into_iter().try_for_each(|name| self.add_path(&Path::new(dir).join(name)))
    }

    fn add_path(&mut self, path: &Path) -> Result<()> {
        if self.paths.contains(path) {
            return Ok(());
        }
        let full = self.root.join(path);
        let metadata = fs::symlink_metadata(&full)
            .with_context(|| format!("dom0's packages hold no {}", path.display()))?;
        if metadata.is_dir() {
            for name in names(&full)? {
                self.add_path(&path.join(name))?;
            }
            return Ok(());
        }
        self.paths.insert(path.to_path_buf());
        if metadata.is_symlink() {
            let target =
                fs::read_link(&full).with_context(|| format!("cannot read {}", full.display()))?;
            let target = resolve(path, &target);
            // Some links in packages point to what other packages would bring.
            if self.root.join(&target).symlink_metadata().is_ok() {
                self.add_path(&target)?;
            }
        }
        Ok(())
    }

    /// Adds the libraries that what is picked needs, and those that they need.
    pub fn add_libraries(&mut self) -> Result<()> {
        let mut where_is = BTreeMap::new();
        for dir in LIBRARY_DIRS {
            for name in names(&self.root.join(dir))? {
                where_is.entry(name.clone()).or_insert_with(|| Path::new(dir).join(name));
            }
        }
        self.add_path(Path::new(INTERPRETER))?;
        let mut looked_at = BTreeSet::new();
        loop {
            let new: Vec<PathBuf> = self.paths.difference(&looked_at).cloned().collect();
            if new.is_empty() {
                return Ok(());
            }
            for path in new {
                if let Some(elf) = self.elf(&path)? {
                    for library in elf.libraries {
                        let found = where_is.get(&library).with_context(|| {
                            format!(
                                "dom0's packages hold no {library}, which {} needs",
                                path.display()
                            )
                        });
                        if library != "ld-linux-x86-64.so.2" {
                            self.add_path(found?)?;
                        }
                    }
                }
                looked_at.insert(path);
            }
        }
    }

    fn elf(&self, path: &Path) -> Result<Option<Elf>> {
        let full = self.root.join(path);
        let is_file = fs::symlink_metadata(&full).is_ok_and(|metadata| metadata.is_file());
        if is_file { Elf::read(&full) } else { Ok(None) }
    }

    /// All that is picked, in order of name.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter().map(PathBuf::as_path)
    }

    /// What is picked below a directory.
    pub fn below(&self, dir: &str) -> impl Iterator<Item = &Path> {
        self.paths().filter(move |path| path.starts_with(dir))
    }

    /// A command of this path's name is picked, wherever it is.
    pub fn provides(&self, command: &Path) -> bool {
        const COMMAND_DIRS: [&str; 4] = ["bin", "sbin", "usr/bin", "usr/sbin"];
        command.file_name().is_some_and(|name| {
            COMMAND_DIRS.iter().any(|dir| self.paths.contains(&Path::new(dir).join(name)))
        })
    }
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// Where a link at `path` (below the root) points to (below the root).
fn resolve(path: &Path, target: &Path) -> PathBuf {
    let mut resolved = match path.parent() {
        Some(dir) if target.is_relative() => dir.to_path_buf(),
        _ => PathBuf::new(),
    };
    for component in target.components() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::Normal(name) => resolved.push(name),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_bring_what_they_point_to() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("usr/lib/d")).unwrap();
        fs::create_dir_all(at("bin")).unwrap();
        fs::write(at("usr/lib/d/tool"), "x").unwrap();
        fs::write(at("usr/lib/d/toolbox"), "x").unwrap();
        symlink("../usr/lib/d/tool", at("bin/tool")).unwrap();
        let mut selection = Selection::new(root.path());
        selection.add("bin/tool").unwrap();
        assert_eq!(selection.paths().count(), 2);
        assert!(selection.provides(Path::new("usr/sbin/tool")));
        assert!(!selection.provides(Path::new("usr/sbin/other")));
        selection.add("usr/lib/d/tool*").unwrap();
        assert_eq!(selection.below("usr/lib/d").count(), 2);
        assert!(selection.add("usr/lib/none*").is_err());
    }

    #[test]
    fn links_are_resolved_below_the_root() {
        let resolved = |path: &str, target: &str| resolve(Path::new(path), Path::new(target));
        assert_eq!(resolved("lib64/ld.so", "../lib/x/ld.so"), Path::new("lib/x/ld.so"));
        assert_eq!(resolved("bin/sh", "/bin/dash"), Path::new("bin/dash"));
        assert_eq!(resolved("a/b", "../../../c"), Path::new("c"));
    }
}

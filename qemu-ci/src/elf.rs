//! The few questions that qemu-ci has about programs and libraries.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader64};
use object::read::elf::FileHeader as _;

/// Something that programs link against, as far as dom0 must know.
#[derive(Debug, Default)]
pub struct Elf {
    /// Names of the libraries it needs.
    pub libraries: Vec<String>,
    /// The newest glibc that it asks for or, being glibc, offers.
    pub glibc: Option<GlibcVersion>,
}

/// A version of glibc: 2.36 is `GlibcVersion(2, 36)`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct GlibcVersion(pub u32, pub u32);

impl std::fmt::Display for GlibcVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl GlibcVersion {
    /// From the name of a symbol version; `GLIBC_2.2.5` counts as 2.2.
    fn from_symbol_version(name: &str) -> Option<Self> {
        let mut numbers = name.strip_prefix("GLIBC_")?.split('.');
        Some(Self(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

impl Elf {
    /// Reads a file; `None` when it is no 64-bit ELF.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let data = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        if !data.starts_with(b"\x7fELF\x02") {
            return Ok(None);
        }
        let elf =
            parse(&data).with_context(|| format!("{} is a broken ELF file", path.display()))?;
        Ok(Some(elf))
    }
}

fn parse(data: &[u8]) -> object::Result<Elf> {
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, data)?;
    let dynamic = sections.dynamic_table(endian, data)?;
    let mut libraries = Vec::new();
    for entry in dynamic.iter().filter(|entry| entry.tag == DT_NEEDED) {
        libraries.push(String::from_utf8_lossy(dynamic.string(entry)?).into_owned());
    }

    let mut versions = Vec::new();
    if let Some((mut libraries, strings)) = sections.gnu_verneed(endian, data)? {
        let strings = sections.strings(endian, data, strings)?;
        while let Some((_, mut needs)) = libraries.next()? {
            while let Some(need) = needs.next()? {
                versions.push(need.name(endian, strings)?);
            }
        }
    }
    if let Some((mut definitions, strings)) = sections.gnu_verdef(endian, data)? {
        let strings = sections.strings(endian, data, strings)?;
        while let Some((_, mut names)) = definitions.next()? {
            while let Some(name) = names.next()? {
                versions.push(name.name(endian, strings)?);
            }
        }
    }
    let glibc = versions
        .into_iter()
        .filter_map(|name| std::str::from_utf8(name).ok())
        .filter_map(GlibcVersion::from_symbol_version)
        .max();
    Ok(Elf { libraries, glibc })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbol_versions_are_compared_as_numbers() {
        let version = |name| GlibcVersion::from_symbol_version(name);
        assert_eq!(version("GLIBC_2.2.5"), Some(GlibcVersion(2, 2)));
        assert!(version("GLIBC_2.9") < version("GLIBC_2.36"));
        assert_eq!(version("GLIBC_PRIVATE"), None);
        assert_eq!(version("GCC_3.0"), None);
    }

    #[test]
    fn this_program_needs_glibc() {
        let elf = Elf::read(&std::env::current_exe().unwrap()).unwrap().unwrap();
        assert!(elf.libraries.iter().any(|name| name == "libc.so.6"));
        assert!(elf.glibc >= Some(GlibcVersion(2, 2)));
    }

    #[test]
    fn a_text_is_no_elf() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(Elf::read(&manifest).unwrap().is_none());
    }
}

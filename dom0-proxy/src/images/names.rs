//! The names of the files in a directory of images. No other file is ever touched.

use super::description::Line;

/// The file that says what the directory is.
pub const MARK: &str = "xenolith-images";

/// What ends the name of a manifest that is not committed.
const UNFINISHED: &str = ".unfinished";
const IMAGE: &str = ".image";
const PACK: &str = ".pack";

/// A file of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// The manifest of an image.
    Manifest(Line),
    /// A manifest that is not committed.
    Unfinished(Line),
    /// A pack, by its number.
    Pack(u64),
}

impl Name {
    /// What the name says, if it is one of ours.
    pub fn parse(name: &str) -> Option<Self> {
        let of = |name: &str| -> Option<Self> {
            if let Some(number) = name.strip_suffix(PACK) {
                return Some(Self::Pack(number.parse().ok()?));
            }
            if let Some(name) = name.strip_suffix(UNFINISHED) {
                return Some(Self::Unfinished(name.strip_suffix(IMAGE)?.parse().ok()?));
            }
            Some(Self::Manifest(name.strip_suffix(IMAGE)?.parse().ok()?))
        };
        of(name).filter(|found| found.to_string() == name)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Manifest(line) => write!(f, "{line}{IMAGE}"),
            Self::Unfinished(line) => write!(f, "{line}{IMAGE}{UNFINISHED}"),
            Self::Pack(number) => write!(f, "{number}{PACK}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_ours() {
        let line = Line { incarnation: 1, number: u64::MAX };
        for name in [Name::Manifest(line), Name::Unfinished(line), Name::Pack(0)] {
            assert_eq!(Name::parse(&name.to_string()), Some(name));
        }
        for other in [
            "",
            ".pack",
            "01.pack",
            "+1.pack",
            "1.pack.unfinished",
            "1.image",
            "1-2",
            "1-02.image",
            "-1-2.image",
            "../1.pack",
            "1-2.image ",
            "1-2.image.unfinished.unfinished",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}

//! Amounts of memory as a user writes them.

use std::fmt;
use std::str::FromStr;

/// A guest's memory in whole MiB, the unit of xl's `memory=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mebibytes(u64);

const BYTES: u64 = 1 << 20;

/// Text that is not an amount of memory.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an amount of memory; write for example 16M, 8192K or 1G")]
pub struct BadAmount(String);

impl Mebibytes {
    /// `bytes`, rounded up.
    #[must_use]
    pub fn covering(bytes: u64) -> Self {
        Self(bytes.div_ceil(BYTES))
    }

    /// The number of MiB.
    #[must_use]
    pub fn count(self) -> u64 {
        self.0
    }

    /// The number of bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0.saturating_mul(BYTES)
    }
}

impl FromStr for Mebibytes {
    type Err = BadAmount;

    /// Reads `16M`, `8192K`, `1G`, or, as xl does, `16` for 16 MiB.
    fn from_str(text: &str) -> Result<Self, BadAmount> {
        let bad = || BadAmount(text.to_owned());
        let (digits, unit) = match text.to_ascii_uppercase().strip_suffix(['K', 'M', 'G']) {
            Some(digits) => (digits.to_owned(), text.to_ascii_uppercase().pop()),
            None => (text.to_owned(), Some('M')),
        };
        let scale: u64 = match unit {
            Some('K') => 1 << 10,
            Some('G') => 1 << 30,
            _ => BYTES,
        };
        let number: u64 = digits.parse().map_err(|_| bad())?;
        number.checked_mul(scale).filter(|bytes| *bytes > 0).map(Self::covering).ok_or_else(bad)
    }
}

impl fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}M", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_usual_units() {
        for (text, count) in [("16M", 16), ("16", 16), ("8192K", 8), ("1g", 1024), ("1K", 1)] {
            assert_eq!(text.parse::<Mebibytes>().map(Mebibytes::count).ok(), Some(count), "{text}");
        }
        for text in ["", "M", "-1M", "0", "16MB", "99999999999999999999", "18446744073709551615G"] {
            assert!(text.parse::<Mebibytes>().is_err(), "{text}");
        }
    }
}

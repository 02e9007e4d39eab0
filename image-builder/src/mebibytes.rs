//! Amounts of memory as a user writes them.

use std::fmt;
use std::str::FromStr;

/// A guest's memory in whole MiB, the unit of xl's `memory=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mebibytes(u64);

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Text that is not an amount of memory.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an amount of memory; write for example 16M, 8192K or 1G")]
pub struct BadAmount(String);

impl Mebibytes {
    /// `bytes`, rounded up.
    #[must_use]
    pub fn covering(bytes: u64) -> Self {
        Self(bytes.div_ceil(MIB))
    }

    /// The number of MiB.
    #[must_use]
    pub fn count(self) -> u64 {
        self.0
    }

    /// The number of bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0.saturating_mul(MIB)
    }
}

impl FromStr for Mebibytes {
    type Err = BadAmount;

    /// Reads `16M` or `16MiB`, also with K or G, rounded up, or, as xl does, `16` for 16 MiB. Not
    /// `16MB`, which is a little less.
    fn from_str(text: &str) -> Result<Self, BadAmount> {
        let bad = || BadAmount(text.to_owned());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let scale = match unit.strip_suffix("iB").unwrap_or(unit) {
            "K" | "k" => KIB,
            "M" | "m" => MIB,
            "G" | "g" => GIB,
            "" if unit.is_empty() => MIB,
            _ => return Err(bad()),
        };
        let number: u64 = number.parse().map_err(|_| bad())?;
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
    use proptest::prelude::*;

    #[test]
    fn reads_the_usual_units() {
        for (text, count) in
            [("16M", 16), ("16", 16), ("8192K", 8), ("1g", 1024), ("1K", 1), ("8MiB", 8)]
        {
            assert_eq!(text.parse::<Mebibytes>().map(Mebibytes::count).ok(), Some(count), "{text}");
        }
        for text in [
            "",
            "M",
            "-1M",
            "+1M",
            "0",
            "16MB",
            "16iB",
            "1.5G",
            " 1M",
            "99999999999999999999",
            "18446744073709551615G",
        ] {
            assert!(text.parse::<Mebibytes>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(count in 1..=u64::MAX / MIB) {
            let amount = Mebibytes(count);
            prop_assert_eq!(amount.to_string().parse::<Mebibytes>().ok(), Some(amount));
            prop_assert_eq!(Mebibytes::covering(amount.bytes()), amount);
        }

        #[test]
        fn an_amount_is_its_bytes_rounded_up_or_an_error(
            number: u64,
            unit in prop::sample::select(vec![("", MIB), ("K", KIB), ("MiB", MIB), ("g", GIB)]),
        ) {
            let read = format!("{number}{}", unit.0).parse::<Mebibytes>().ok();
            let bytes = u128::from(number) * u128::from(unit.1);
            let fits = bytes > 0 && bytes <= u128::from(u64::MAX);
            let expected = fits.then(|| bytes.div_ceil(1 << 20));
            prop_assert_eq!(read.map(|amount| u128::from(amount.count())), expected);
        }

        #[test]
        fn no_text_is_a_panic(text: String) {
            let _ = text.parse::<Mebibytes>();
        }
    }
}

//! What only members know.

use std::fmt;
use std::path::Path;

use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};

/// 32 bytes that only members know.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret([u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// One that nobody knows yet.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; 32];
        getrandom(&mut bytes, GetRandomFlags::empty()).context(|| "make a secret")?;
        Ok(Self(bytes))
    }

    /// The one in a file, of 64 digits of base 16.
    pub fn read(path: &Path) -> Result<Self> {
        let read = || {
            let text = std::fs::read_to_string(path)?;
            let digits = text.trim().as_bytes();
            let pairs: Vec<u8> = digits
                .chunks(2)
                .map_while(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
                .collect();
            let bytes = if digits.len() == 64 { pairs.try_into().ok() } else { None };
            bytes.map(Self).ok_or_else(|| std::io::Error::other("it does not have 64 digits"))
        };
        read().context(|| format!("secret {}", path.display()))
    }
}

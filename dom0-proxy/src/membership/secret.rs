//! What only members know.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};

/// Bytes of a secret.
const LENGTH: usize = 32;
/// Digits of base 16 in a file that has one.
const DIGITS: usize = 2 * LENGTH;

/// 32 bytes that only members know.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret([u8; LENGTH]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<[u8; LENGTH]> for Secret {
    fn from(bytes: [u8; LENGTH]) -> Self {
        Self(bytes)
    }
}

impl Secret {
    /// One that nobody knows yet.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; LENGTH];
        let mut filled = 0;
        while filled < LENGTH {
            let more = getrandom(&mut bytes[filled..], GetRandomFlags::empty());
            filled += more.context(|| "make a secret")?;
        }
        Ok(Self(bytes))
    }

    /// The one in a file, of 64 digits of base 16.
    ///
    /// # Errors
    /// [`Error::BadSecret`] when there is none, or others than its user could know it.
    pub fn read(path: &Path) -> Result<Self> {
        let named = path.display();
        let bad = |why: String| Error::BadSecret { path: path.into(), why };
        let make = format!(
            "make one with `(umask 077; head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \\n' \
             >{named})`"
        );
        // What is no file may keep whoever opens it waiting.
        let flags = OFlags::NONBLOCK.bits() as i32;
        let file = File::options().read(true).custom_flags(flags).open(path);
        let file = file.map_err(|error| bad(format!("{error}: {make}")))?;
        let found = file.metadata().map_err(|error| bad(error.to_string()))?;
        if !found.is_file() {
            return Err(bad(format!("it is not a file: {make}")));
        }
        if ![0, rustix::process::geteuid().as_raw()].contains(&found.uid()) {
            return Err(bad(format!("it belongs to another user: {make}")));
        }
        if found.mode() & 0o077 != 0 {
            return Err(bad(format!(
                "other users can read it or write into it: make it yours alone with \
                 `chmod 600 {named}`, or a new one if they may have read it"
            )));
        }
        let mut text = Vec::new();
        let read = file.take(DIGITS as u64 + 2).read_to_end(&mut text);
        read.map_err(|error| bad(error.to_string()))?;
        let secret = parse(text.strip_suffix(b"\n").unwrap_or(&text));
        secret
            .ok_or_else(|| bad(format!("it does not have just {DIGITS} digits of base 16: {make}")))
    }

    /// The bytes, for a handshake.
    pub(super) fn bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }
}

fn parse(digits: &[u8]) -> Option<Secret> {
    let digits: &[u8; DIGITS] = digits.try_into().ok()?;
    let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let mut bytes = [0; LENGTH];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(Secret(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const TEXT: &str = "000102030405060708090a0b0c0d0e0fF0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

    #[test]
    fn a_file_that_is_its_users_alone_has_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let write = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        };
        let refused = |why: &str, todo: &str| {
            let line = Secret::read(&path).unwrap_err().to_string();
            assert!(line.contains(why) && line.contains(todo), "{line}");
            assert!(line.contains(path.to_str().unwrap()) && line.lines().count() == 1, "{line}");
        };
        refused("No such file", "umask 077");
        for text in [TEXT.to_owned(), format!("{TEXT}\n")] {
            write(&text, 0o600);
            let secret = Secret::read(&path).unwrap();
            assert_eq!(secret.bytes()[..3], [0, 1, 2]);
            assert_eq!(secret.bytes()[15..18], [0x0f, 0xf0, 0xf1]);
        }
        write(TEXT, 0o400);
        Secret::read(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610] {
            write(TEXT, mode);
            refused("other users", "chmod 600");
        }
        let long = format!("{TEXT}0");
        let padded = format!("{TEXT}\n\n");
        for text in
            ["", "\n", &TEXT[1..], &long, &padded, &TEXT.replace('f', "g"), &TEXT.replace('0', "é")]
        {
            write(text, 0o600);
            refused("64 digits", "umask 077");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        refused("not a file", "umask 077");
        fs::remove_dir(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        refused("not a file", "umask 077");
        if rustix::process::geteuid().is_root() {
            fs::remove_file(&path).unwrap();
            write(TEXT, 0o600);
            std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
            refused("another user", "umask 077");
        }
    }

    #[test]
    fn the_command_that_is_proposed_makes_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let line = Secret::read(&path).unwrap_err().to_string();
        let command = line.split('`').nth(1).unwrap();
        let made = std::process::Command::new("/bin/sh").args(["-c", command]).status().unwrap();
        assert!(made.success());
        Secret::read(&path).unwrap();
    }

    #[test]
    fn it_is_random_and_not_shown() {
        let (one, two) = (Secret::random().unwrap(), Secret::random().unwrap());
        assert_ne!(one, two);
        assert_eq!(format!("{one:?}"), "Secret(..)");
    }
}

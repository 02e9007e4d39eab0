//! What whoever connects says first, in clear: a header of a fixed layout, which says what the
//! connection is for, and so by which secret it is proved.

/// Version of the header and of what follows it. Both sides must agree exactly.
pub const VERSION: u32 = 1;
/// Bytes of a header.
pub const HEADER_LENGTH: usize = 46;

const MAGIC: [u8; 4] = *b"XNLM";
const CLIENT: u8 = 1;
const FABRIC: u8 = 2;
/// The longest name of a job.
const NAME_LENGTH: usize = 32;

/// What a connection is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A client, such as `pgas`, wants something of a daemon. By the daemon's secret.
    Client,
    /// A proxy wants to exchange what one job's ranks ask for. By that job's secret.
    Fabric {
        /// The job's name, of 1 to 32 of `[0-9a-z-]`.
        job: String,
        /// The host, by its number in the job, whose proxy it is.
        from: u32,
    },
}

/// Why bytes are no header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Something else is spoken there.
    #[error("it does not begin as members do")]
    Magic,
    /// Another version is.
    #[error("it has version {0} of what members say, and this side {VERSION}")]
    Version(u32),
    /// There is no such purpose.
    #[error("it connects for a purpose of number {0}")]
    Purpose(u8),
    /// No job has such a name.
    #[error("the job's name is not of 1 to {NAME_LENGTH} of [0-9a-z-]")]
    Name,
    /// What means nothing is not 0.
    #[error("there are bytes that mean nothing")]
    Padding,
}

impl Purpose {
    /// The header that says so.
    ///
    /// # Errors
    /// [`HeaderError::Name`] when no job has such a name.
    pub fn encode(&self) -> Result<[u8; HEADER_LENGTH], HeaderError> {
        let (number, name, from) = match self {
            Self::Client => (CLIENT, "", 0),
            Self::Fabric { job, from } if is_name(job.as_bytes()) => (FABRIC, job.as_str(), *from),
            Self::Fabric { .. } => return Err(HeaderError::Name),
        };
        let mut header = [0; HEADER_LENGTH];
        header[..4].copy_from_slice(&MAGIC);
        header[4..8].copy_from_slice(&VERSION.to_le_bytes());
        header[8] = number;
        header[9] = name.len() as u8;
        header[10..][..name.len()].copy_from_slice(name.as_bytes());
        header[42..].copy_from_slice(&from.to_le_bytes());
        Ok(header)
    }

    /// What a header says.
    pub fn decode(header: &[u8; HEADER_LENGTH]) -> Result<Self, HeaderError> {
        let word = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        if header[..4] != MAGIC {
            return Err(HeaderError::Magic);
        }
        if word(4) != VERSION {
            return Err(HeaderError::Version(word(4)));
        }
        let length = usize::from(header[9]);
        let (name, padding) = header[10..42].split_at_checked(length).ok_or(HeaderError::Name)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(HeaderError::Padding);
        }
        match header[8] {
            CLIENT if name.is_empty() && word(42) == 0 => Ok(Self::Client),
            CLIENT => Err(HeaderError::Padding),
            FABRIC if is_name(name) => {
                let job = name.iter().copied().map(char::from).collect();
                Ok(Self::Fabric { job, from: word(42) })
            }
            FABRIC => Err(HeaderError::Name),
            number => Err(HeaderError::Purpose(number)),
        }
    }
}

fn is_name(name: &[u8]) -> bool {
    (1..=NAME_LENGTH).contains(&name.len())
        && name.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fabric(job: &str, from: u32) -> Purpose {
        Purpose::Fabric { job: job.into(), from }
    }

    #[test]
    fn its_bytes_are_these() {
        let header = fabric("ab-1", 0x04030201).encode().unwrap();
        assert_eq!(header[..10], *b"XNLM\x01\0\0\0\x02\x04");
        assert_eq!(header[10..14], *b"ab-1");
        assert_eq!(header[14..42], [0; 28]);
        assert_eq!(header[42..], [1, 2, 3, 4]);
        let header = Purpose::Client.encode().unwrap();
        assert_eq!(header[..10], *b"XNLM\x01\0\0\0\x01\0");
        assert_eq!(header[10..], [0; 36]);
    }

    #[test]
    fn what_no_job_is_called_is_refused() {
        let long = "x".repeat(33);
        for name in ["", "A", "a b", "a/b", "..", "é", "a\0", &long] {
            assert_eq!(fabric(name, 0).encode(), Err(HeaderError::Name), "{name}");
        }
        assert!(fabric(&long[1..], u32::MAX).encode().is_ok());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let good = fabric("abcdef", 1).encode().unwrap();
        let client = Purpose::Client.encode().unwrap();
        let with = |header: &[u8; HEADER_LENGTH], at: usize, byte: u8| {
            let mut header = *header;
            header[at] = byte;
            Purpose::decode(&header)
        };
        assert_eq!(with(&good, 0, b'Y'), Err(HeaderError::Magic));
        assert_eq!(with(&good, 4, 2), Err(HeaderError::Version(2)));
        assert_eq!(with(&good, 7, 1), Err(HeaderError::Version(1 << 24 | 1)));
        assert_eq!(with(&good, 8, 0), Err(HeaderError::Purpose(0)));
        assert_eq!(with(&good, 8, 3), Err(HeaderError::Purpose(3)));
        assert_eq!(with(&good, 8, CLIENT), Err(HeaderError::Padding));
        assert_eq!(with(&good, 9, 33), Err(HeaderError::Name));
        assert_eq!(with(&good, 9, 7), Err(HeaderError::Name));
        assert_eq!(with(&good, 9, 5), Err(HeaderError::Padding));
        assert_eq!(with(&good, 10, b'/'), Err(HeaderError::Name));
        assert_eq!(with(&good, 41, 1), Err(HeaderError::Padding));
        assert_eq!(with(&client, 8, FABRIC), Err(HeaderError::Name));
        assert_eq!(with(&client, 42, 1), Err(HeaderError::Padding));
    }

    proptest! {
        #[test]
        fn what_is_said_is_heard(job in "[0-9a-z-]{1,32}", from: u32) {
            let purpose = fabric(&job, from);
            prop_assert_eq!(Purpose::decode(&purpose.encode().unwrap()), Ok(purpose));
        }

        #[test]
        fn there_is_one_header_for_a_purpose(at in 0..HEADER_LENGTH, byte: u8) {
            for purpose in [Purpose::Client, fabric("abcdef", 7)] {
                let mut header = purpose.encode().unwrap();
                header[at] = byte;
                if let Ok(purpose) = Purpose::decode(&header) {
                    prop_assert_eq!(purpose.encode(), Ok(header));
                }
            }
        }
    }
}

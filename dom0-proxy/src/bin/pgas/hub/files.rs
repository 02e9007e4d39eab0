//! The files of a job, given to a host by their content.

use std::fs::File;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use dom0_proxy::Error;
use dom0_proxy::control::{ClientRequest, JobSpec, Reply};

use crate::connect::{DaemonConnection, unexpected};

/// The most bytes of a file in one message.
const PIECE: u64 = 1 << 20;

/// The files of a job, of which a host may have some already.
#[derive(Debug)]
pub struct JobFiles {
    image: JobFile,
    files: Vec<JobFile>,
}

#[derive(Debug)]
struct JobFile {
    path: PathBuf,
    hash: [u8; 32],
    length: u64,
}

impl JobFiles {
    /// Reads all files of a job once, for what they are known by.
    pub fn of(spec: &JobSpec) -> anyhow::Result<Self> {
        let files = spec.files.iter().map(|path| JobFile::of(path)).collect::<Result<_, _>>()?;
        Ok(Self { image: JobFile::of(&spec.image)?, files })
    }

    /// Gives a host what it does not have of them. The job as that host is to run it: with the
    /// paths that they have there.
    pub fn give(&self, spec: &JobSpec, daemon: &mut DaemonConnection) -> anyhow::Result<JobSpec> {
        let image = self.image.give(daemon)?;
        let give = |file: &JobFile| file.give(daemon);
        let files = self.files.iter().map(give).collect::<Result<_, _>>()?;
        Ok(JobSpec { image, files, ..spec.clone() })
    }
}

impl JobFile {
    fn of(path: &Path) -> anyhow::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        File::open(path)
            .and_then(|file| hasher.update_reader(file).map(drop))
            .with_context(|| format!("read {}", path.display()))?;
        let hash = hasher.finalize().into();
        Ok(Self { path: path.into(), hash, length: hasher.count() })
    }

    fn give(&self, daemon: &mut DaemonConnection) -> anyhow::Result<PathBuf> {
        let name = self.path.file_name().unwrap_or_default().to_owned();
        let asked = ClientRequest::Keep { hash: self.hash, length: self.length, name };
        match daemon.ask(&asked)? {
            Reply::Kept(path) => return Ok(path),
            Reply::Wanted => {}
            reply => return Err(unexpected(&reply).into()),
        }
        let sent = self.send(&daemon.stream)?;
        // What it has said before it hung up is there all the same.
        match message_frame::receive(&daemon.stream) {
            Ok(Some(Reply::Kept(path))) if sent.is_ok() => Ok(path),
            Ok(Some(Reply::Refused { status, text })) => {
                Err(Error::Refused { status, text }.into())
            }
            Ok(Some(reply)) => Err(unexpected(&reply).into()),
            Ok(None) | Err(_) => {
                let what = || format!("send it {}", self.path.display());
                sent.with_context(what)?;
                bail!("{}: it has hung up", what())
            }
        }
    }

    /// Sends the whole file. The inner error is the stream's.
    fn send(&self, stream: &UnixStream) -> anyhow::Result<std::io::Result<()>> {
        let what = || format!("read {}", self.path.display());
        let mut file = File::open(&self.path).with_context(what)?;
        let mut left = self.length;
        loop {
            let length = left.min(PIECE);
            let mut piece = Vec::new();
            (&mut file).take(length).read_to_end(&mut piece).with_context(what)?;
            if piece.len() as u64 != length {
                bail!("{} has become shorter while it was sent", self.path.display());
            }
            if let Err(error) = message_frame::send(stream, &ClientRequest::Piece(piece)) {
                return Ok(Err(error));
            }
            left -= length;
            if left == 0 {
                return Ok(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use super::*;

    /// What a daemon answers to the requests for one file.
    fn give(content: &[u8], daemon: impl FnOnce(&UnixStream) + Send) -> anyhow::Result<PathBuf> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deck");
        fs::write(&path, content).unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                let asked = ClientRequest::Keep {
                    hash: blake3::hash(content).into(),
                    length: content.len() as u64,
                    name: "deck".into(),
                };
                assert_eq!(message_frame::receive(&far).unwrap(), Some(asked));
                daemon(&far);
            });
            JobFile::of(&path).unwrap().give(&mut DaemonConnection { pid: 1, stream: near })
        })
    }

    fn answer(stream: &UnixStream, reply: &Reply) {
        message_frame::send(stream, reply).unwrap();
    }

    #[test]
    fn what_a_host_has_is_not_sent() {
        let given = give(b"x", |daemon| answer(daemon, &Reply::Kept("/kept/x".into())));
        assert_eq!(given.unwrap(), Path::new("/kept/x"));
    }

    #[test]
    fn what_a_host_wants_is_sent_in_pieces() {
        for length in [1, PIECE, PIECE + 1, 3 * PIECE] {
            let content: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let given = give(&content, |daemon| {
                answer(daemon, &Reply::Wanted);
                let mut got = Vec::new();
                while got.len() < content.len() {
                    let Some(ClientRequest::Piece(piece)) = message_frame::receive(daemon).unwrap()
                    else {
                        panic!("no piece");
                    };
                    assert!((1..=PIECE as usize).contains(&piece.len()));
                    got.extend(piece);
                }
                assert!(got == content);
                answer(daemon, &Reply::Kept("/kept/x".into()));
            });
            assert_eq!(given.unwrap(), Path::new("/kept/x"));
        }
    }

    #[test]
    fn a_host_that_refuses_in_the_middle_says_why() {
        let content = vec![7; 4 * PIECE as usize];
        let given = give(&content, |daemon| {
            answer(daemon, &Reply::Wanted);
            answer(daemon, &Reply::Refused { status: 123, text: "the disk is full".into() });
        });
        assert_eq!(given.unwrap_err().to_string(), "the disk is full");
        let given = give(&content, |daemon| answer(daemon, &Reply::Wanted));
        let error = format!("{:#}", given.unwrap_err());
        assert!(error.contains("deck"), "{error}");
    }
}

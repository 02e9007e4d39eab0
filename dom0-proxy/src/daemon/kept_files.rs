//! Files that clients on other hosts have sent for their jobs, by their hash: each is here once,
//! for as long as a client that has named it is connected.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Context, Error, Result};

/// The longest file that is kept.
const MOST: u64 = 4 << 30;
/// The longest piece of one.
const PIECE: usize = 1 << 20;
/// What a file is called after its hash while it is not whole.
const UNFINISHED: &str = ".unfinished-";
/// What the folder is called after the hash where the file has the names that clients have for it.
const NAMES: &str = ".names";

type Hash = [u8; 32];

/// All of them.
#[derive(Debug)]
pub struct KeptFiles {
    folder: PathBuf,
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    /// How many connections have named a file.
    by_hash: BTreeMap<Hash, usize>,
    /// How many have begun to send one.
    begun: u64,
}

/// What one connection has named. They may go when this is dropped.
#[derive(Debug)]
pub struct NamedFiles {
    of: Arc<KeptFiles>,
    named: Vec<Hash>,
    incoming: Option<Incoming>,
}

/// What has become of a file that was named.
#[derive(Debug, PartialEq, Eq)]
pub enum Named {
    /// It is here.
    Kept(PathBuf),
    /// It is to be sent.
    Wanted,
}

/// A file that is being sent.
#[derive(Debug)]
struct Incoming {
    hash: Hash,
    name: OsString,
    length: u64,
    received: u64,
    hasher: blake3::Hasher,
    file: File,
    /// It is removed when this is dropped, unless it has become another.
    path: PathBuf,
}

impl KeptFiles {
    /// None, in a folder that need not be there.
    pub fn new(folder: PathBuf) -> Arc<Self> {
        Arc::new(Self { folder, names: Mutex::default() })
    }

    /// Removes all, also what a daemon that died has left. Whatever else is in the folder stays.
    pub fn clear(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(is_ours)) {
            let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
        }
        let _ = fs::remove_dir(&self.folder);
    }

    /// Where the file of that hash, which is here, has that name.
    fn under_name(&self, hash: &Hash, name: &OsStr) -> Result<PathBuf> {
        let folder = self.names_of(hash);
        let path = folder.join(name);
        let made = DirBuilder::new().mode(0o700).recursive(true).create(&folder);
        let linked = made.and_then(|()| fs::hard_link(self.path(hash), &path));
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(error).context(|| format!("create {}", path.display()))
            }
            _ => Ok(path),
        }
    }

    fn names_of(&self, hash: &Hash) -> PathBuf {
        let mut folder = self.path(hash).into_os_string();
        folder.push(NAMES);
        folder.into()
    }

    /// Where a file of that hash is when it is here.
    fn path(&self, hash: &Hash) -> PathBuf {
        self.folder.join(blake3::Hash::from_bytes(*hash).to_hex().as_str())
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        // No operation under the lock can leave the counts half changed.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for a file that a connection begins to send. Two may send the same.
    fn begin(&self, hash: Hash, length: u64, name: &OsStr) -> Result<Incoming> {
        let made = DirBuilder::new().mode(0o700).recursive(true).create(&self.folder);
        made.context(|| format!("create {}", self.folder.display()))?;
        let number = {
            let mut names = self.names();
            names.begun += 1;
            names.begun
        };
        let mut path = self.path(&hash).into_os_string();
        path.push(format!("{UNFINISHED}{number}"));
        let path = PathBuf::from(path);
        let file = File::options().write(true).create_new(true).mode(0o700).open(&path);
        let file = file.context(|| format!("create {}", path.display()))?;
        let (name, hasher) = (name.to_owned(), blake3::Hasher::new());
        Ok(Incoming { hash, name, length, received: 0, hasher, file, path })
    }
}

impl NamedFiles {
    /// None yet.
    pub fn new(of: &Arc<KeptFiles>) -> Self {
        Self { of: of.clone(), named: Vec::new(), incoming: None }
    }

    /// Whether a file is still to be sent, or more of it.
    pub fn is_one_missing(&self) -> bool {
        self.incoming.is_some()
    }

    /// Names a file.
    pub fn keep(&mut self, hash: Hash, length: u64, name: &OsStr) -> Result<Named> {
        if Path::new(name).file_name() != Some(name) {
            return Err(Error::NotKept(format!("{} is no name", name.display())));
        }
        if self.incoming.is_some() {
            return Err(Error::NotKept("the one before has not come to its end".into()));
        }
        if length > MOST {
            return Err(Error::NotKept(format!(
                "it has {length} bytes, and no more than {} GiB are kept of one",
                MOST >> 30
            )));
        }
        *self.of.names().by_hash.entry(hash).or_default() += 1;
        self.named.push(hash);
        let path = self.of.path(&hash);
        match fs::metadata(&path) {
            Ok(found) if found.len() == length => {
                return self.of.under_name(&hash, name).map(Named::Kept);
            }
            Ok(found) => {
                let found = found.len();
                return Err(Error::NotKept(format!("it has {found} bytes, not {length}")));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).context(|| path.display().to_string()),
        }
        self.incoming = Some(self.of.begin(hash, length, name)?);
        // An empty one has no pieces.
        Ok(self.finished()?.map_or(Named::Wanted, Named::Kept))
    }

    /// Takes the next piece of the file that was named last. Where the file is, if it is the last
    /// piece.
    pub fn piece(&mut self, bytes: &[u8]) -> Result<Option<PathBuf>> {
        let Some(incoming) = &mut self.incoming else {
            return Err(Error::NotKept("a piece of one that is not wanted has come".into()));
        };
        let taken = incoming.take(bytes);
        match taken.and_then(|()| self.finished()) {
            Err(error) => {
                self.incoming = None;
                Err(error)
            }
            result => result,
        }
    }

    /// Where the file that is being sent is, if all of it has come.
    fn finished(&mut self) -> Result<Option<PathBuf>> {
        let whole = self.incoming.take_if(|incoming| incoming.received == incoming.length);
        let Some(incoming) = whole else { return Ok(None) };
        let path = self.of.path(&incoming.hash);
        if incoming.hasher.finalize() != blake3::Hash::from_bytes(incoming.hash) {
            return Err(Error::NotKept("it has arrived damaged: its hash is another".into()));
        }
        fs::rename(&incoming.path, &path).context(|| format!("make {}", path.display()))?;
        self.of.under_name(&incoming.hash, &incoming.name).map(Some)
    }
}

impl Drop for NamedFiles {
    fn drop(&mut self) {
        let mut names = self.of.names();
        for hash in &self.named {
            let Some(count) = names.by_hash.get_mut(hash) else { continue };
            *count -= 1;
            if *count == 0 {
                names.by_hash.remove(hash);
                let _ = fs::remove_file(self.of.path(hash));
                let _ = fs::remove_dir_all(self.of.names_of(hash));
            }
        }
    }
}

impl Incoming {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let left = self.length - self.received;
        if bytes.is_empty() || bytes.len() > PIECE || bytes.len() as u64 > left {
            return Err(Error::NotKept(format!(
                "a piece of {} bytes has come: pieces have 1 to {PIECE}, and {left} are missing",
                bytes.len()
            )));
        }
        self.file.write_all(bytes).context(|| format!("write {}", self.path.display()))?;
        self.hasher.update(bytes);
        self.received += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Nothing is there if it has got its own name.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether a file is called as those that are kept, or are being sent.
fn is_ours(name: &str) -> bool {
    let (hash, rest) = name.split_at_checked(64).unwrap_or_default();
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    blake3::Hash::from_hex(hash).is_ok()
        && (rest.is_empty()
            || rest == NAMES
            || rest.strip_prefix(UNFINISHED).is_some_and(is_number))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn hash(content: &[u8]) -> Hash {
        *blake3::hash(content).as_bytes()
    }

    fn name() -> &'static OsStr {
        OsStr::new("a name")
    }

    fn folder() -> (tempfile::TempDir, Arc<KeptFiles>) {
        let dir = tempfile::tempdir().unwrap();
        let kept = KeptFiles::new(dir.path().join("kept"));
        (dir, kept)
    }

    fn names(kept: &KeptFiles) -> Vec<String> {
        let entries = fs::read_dir(&kept.folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_comes_once_and_goes_with_the_last_who_has_named_it() {
        let (_dir, kept) = folder();
        let content = [b"x".repeat(PIECE), b"the rest".to_vec()].concat();
        let (hash, length) = (hash(&content), content.len() as u64);
        let mut first = NamedFiles::new(&kept);
        assert_eq!(first.keep(hash, length, name()).unwrap(), Named::Wanted);
        assert_eq!(first.piece(&content[..PIECE]).unwrap(), None);
        assert!(first.is_one_missing());
        let path = first.piece(&content[PIECE..]).unwrap().unwrap();
        assert!(!first.is_one_missing());
        assert_eq!(fs::read(&path).unwrap(), content);
        assert_eq!(path.file_name(), Some(name()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let mut second = NamedFiles::new(&kept);
        for _ in 0..2 {
            assert_eq!(second.keep(hash, length, name()).unwrap(), Named::Kept(path.clone()));
        }
        let other = second.keep(hash, length, OsStr::new("another")).unwrap();
        assert!(matches!(other, Named::Kept(other) if other.ends_with("another")));
        drop(first);
        assert!(path.exists());
        drop(second);
        assert_eq!(names(&kept), [""; 0]);
    }

    #[test]
    fn two_may_send_the_same_at_once() {
        let (_dir, kept) = folder();
        let hash = hash(b"abcd");
        let mut both = [NamedFiles::new(&kept), NamedFiles::new(&kept)];
        both.iter_mut()
            .for_each(|one| assert_eq!(one.keep(hash, 4, name()).unwrap(), Named::Wanted));
        both.iter_mut().for_each(|one| assert_eq!(one.piece(b"ab").unwrap(), None));
        let [mut first, mut second] = both;
        let path = first.piece(b"cd").unwrap().unwrap();
        drop(first);
        assert!(path.exists(), "the other has named it too");
        assert_eq!(second.piece(b"cd").unwrap(), Some(path.clone()));
        assert_eq!(fs::read(&path).unwrap(), b"abcd");
        drop(second);
        assert_eq!(names(&kept), [""; 0]);
    }

    #[test]
    fn an_empty_file_has_no_pieces() {
        let (_dir, kept) = folder();
        let mut client = NamedFiles::new(&kept);
        assert!(
            matches!(client.keep(hash(b""), 0, name()).unwrap(), Named::Kept(path) if path.exists())
        );
    }

    #[test]
    fn what_is_wrong_is_refused_and_leaves_nothing() {
        let (_dir, kept) = folder();
        let abcd = hash(b"abcd");
        let refused = |result: Result<Option<PathBuf>>, why: &str| {
            let line = result.unwrap_err().to_string();
            assert!(line.contains(why) && line.lines().count() == 1, "{line}");
            assert_eq!(names(&kept), [""; 0]);
        };
        let begun = || {
            let mut client = NamedFiles::new(&kept);
            assert_eq!(client.keep(abcd, 4, name()).unwrap(), Named::Wanted);
            client
        };
        refused(NamedFiles::new(&kept).piece(b"a"), "not wanted");
        refused(begun().piece(b"abce"), "damaged");
        for wrong in ["", "..", "a/b", "/a", "a/"] {
            let named = NamedFiles::new(&kept).keep(abcd, 4, OsStr::new(wrong));
            refused(named.map(|_| None), "is no name");
        }
        refused(begun().piece(b"abcde"), "4 are missing");
        refused(begun().piece(b""), "a piece of 0 bytes");
        refused(begun().piece(&vec![0; PIECE + 1]), "a piece of 1048577 bytes");
        refused(
            NamedFiles::new(&kept).keep(abcd, MOST + 1, name()).map(|_| None),
            "no more than 4 GiB",
        );
        let mut client = begun();
        assert!(client.keep(abcd, 4, name()).is_err(), "the first is not here yet");
        drop(client);
        assert_eq!(names(&kept), [""; 0]);
    }

    #[test]
    fn a_file_has_the_length_that_is_said() {
        let (_dir, kept) = folder();
        let mut client = NamedFiles::new(&kept);
        client.keep(hash(b"abcd"), 4, name()).unwrap();
        client.piece(b"abcd").unwrap().unwrap();
        let line = NamedFiles::new(&kept).keep(hash(b"abcd"), 5, name()).unwrap_err().to_string();
        assert!(line.contains("4 bytes, not 5"), "{line}");
    }

    #[test]
    fn only_what_is_kept_is_cleared() {
        let (_dir, kept) = folder();
        fs::create_dir(&kept.folder).unwrap();
        let name = blake3::hash(b"").to_hex();
        for file in [name.to_string(), format!("{name}{UNFINISHED}7"), "notes".into()] {
            fs::write(kept.folder.join(file), "").unwrap();
        }
        fs::create_dir(kept.folder.join(format!("{name}{NAMES}"))).unwrap();
        kept.clear();
        assert_eq!(names(&kept), ["notes"]);
        fs::remove_file(kept.folder.join("notes")).unwrap();
        kept.clear();
        assert!(!kept.folder.exists());
    }
}

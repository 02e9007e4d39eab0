//! What directories can be like, and what is said of them.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use super::super::folder::{Step, Watch};
use super::*;

fn message<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("it is refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn it_is_made_for_its_user_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b c");
    ImageStore::open_or_create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(path.join("xenolith-images")).unwrap().mode() & 0o777, 0o600);
    ImageStore::open_or_create(&path).unwrap();
}

#[test]
fn what_others_can_change_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("images");
    ImageStore::open_or_create(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o770)).unwrap();
    let said = message(ImageStore::open(&path));
    assert!(said.contains("other users can write") && said.contains("images"), "{said}");
    assert_eq!(message(ImageStore::open_or_create(&path)), said);
}

#[test]
fn what_is_no_directory_of_images_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("not there");
    let said = message(ImageStore::open(&missing));
    assert!(said.contains("not there") && said.contains("never there"), "{said}");
    let said = message(ImageStore::open(dir.path()));
    assert!(said.contains("no directory of images"), "{said}");
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(message(ImageStore::open(&file)).contains("file"));
    assert!(message(ImageStore::open_or_create(&file)).contains("file"));
    let said = message(ImageStore::open_or_create(dir.path()));
    assert!(said.contains("not empty"), "{said}");
    assert_eq!(file_names(dir.path()), ["file"]);
}

#[test]
fn links_in_place_of_files_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("images");
    let store = ImageStore::open_or_create(&path).unwrap();
    commit(&store, 1, &[noise(1, 9 * PAGE)]);
    let pack = path.join("1.pack");
    fs::rename(&pack, dir.path().join("elsewhere")).unwrap();
    symlink(dir.path().join("elsewhere"), &pack).unwrap();
    assert!(store.images().unwrap()[0].damage.is_some());
    fs::remove_file(&pack).unwrap();
    fs::create_dir(&pack).unwrap();
    assert!(store.images().unwrap()[0].damage.is_some());
    assert_eq!(store.verify(|_, _| {}).unwrap().good, 0);
}

#[test]
fn a_directory_that_is_removed_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("images");
    let store = ImageStore::open_or_create(&path).unwrap();
    let durable = save(&store, 1, &[noise(1, 9 * PAGE)]).unwrap();
    fs::remove_dir_all(&path).unwrap();
    let said = message(durable.commit());
    assert!(said.contains("it has been removed"), "{said}");
    let said = message(save(&store, 2, &[]));
    assert!(said.contains("it has been removed"), "{said}");
    assert!(!path.exists());
}

#[test]
fn a_directory_that_cannot_be_written_is_said_and_can_be_read() {
    if rustix::process::geteuid().is_root() {
        // Permissions are not for root.
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("images");
    let store = ImageStore::open_or_create(&path).unwrap();
    let memories = [noise(1, 9 * PAGE)];
    commit(&store, 1, &memories);
    fs::set_permissions(&path, Permissions::from_mode(0o500)).unwrap();
    let said = message(save(&store, 2, &[noise(2, PAGE)]));
    assert!(said.contains("a directory that you can write into"), "{said}");
    check(&ImageStore::open(&path).unwrap(), 1, &memories).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
}

/// Refuses one step, as a full disk does.
struct Full {
    /// Steps that are still done.
    left: AtomicU32,
    refused: Mutex<Option<String>>,
}

impl Watch for Full {
    fn before(&self, step: Step<'_>) -> io::Result<()> {
        // What is removed takes no room, and nor does giving a name back.
        let is_refusing = self.refused.lock().unwrap().is_some();
        if matches!(step, Step::Remove(_)) || is_refusing && matches!(step, Step::Rename(..)) {
            return Ok(());
        }
        if self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Ok(());
        }
        self.refused.lock().unwrap().get_or_insert(format!("{step:.20?}"));
        Err(io::ErrorKind::StorageFull.into())
    }
}

#[test]
fn a_full_disk_at_any_step_leaves_what_was_there() {
    let memory = |number| [noise(number, 130 * PAGE)];
    let dir = tempfile::tempdir().unwrap();
    commit(&ImageStore::open_or_create(dir.path()).unwrap(), 1, &memory(1));
    let before = file_names(dir.path());
    let mut steps = 0;
    loop {
        let full = Arc::new(Full { left: AtomicU32::new(steps), refused: Mutex::default() });
        let store = ImageStore::create_watched(dir.path(), Some(full.clone())).unwrap();
        let done = save(&store, 2, &memory(2)).and_then(Durable::commit);
        let Some(refused) = full.refused.lock().unwrap().clone() else {
            done.unwrap();
            break;
        };
        let said = message(done);
        assert!(said.contains("free some space"), "{refused}: {said}");
        if refused == "SyncFolder" {
            // What is durable then is not known: the next saver removes what this one has left.
            let again = ImageStore::open(dir.path()).unwrap();
            again.begin(description(2, 1)).unwrap();
        }
        assert_eq!(file_names(dir.path()), before, "{refused}");
        check(&ImageStore::open(dir.path()).unwrap(), 1, &memory(1)).unwrap();
        steps += 1;
    }
    assert!(steps > 8, "{steps} steps");
    let store = ImageStore::open(dir.path()).unwrap();
    check(&store, 1, &memory(1)).unwrap();
    check(&store, 2, &memory(2)).unwrap();
}

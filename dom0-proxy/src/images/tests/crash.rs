//! What a power cut leaves, at each step of a save and of a collection.
//!
//! All steps are recorded. For each moment the directory is made anew as a disk might have it then:
//! of files what was synced, and of the rest nothing, all, or some of it, or zeros in its place; of
//! names those of the last sync of the directory, and of later changes none, all, or some.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::{Arc, Mutex};

use super::super::folder::{Step, Watch};
use super::*;

/// A step, with what it says.
#[derive(Clone, Debug)]
enum Done {
    Create(String),
    Write(String, Vec<u8>),
    Sync(String),
    Rename(String, String),
    Remove(String),
    SyncFolder,
    /// The image of this number is promised from here on.
    Committed(u64),
    /// Images below this number are promised no more.
    Kept(u64),
}

#[derive(Default)]
struct Record(Mutex<Vec<Done>>);

impl Record {
    fn add(&self, done: Done) {
        self.0.lock().unwrap().push(done);
    }
}

impl Watch for Record {
    fn before(&self, step: Step<'_>) -> io::Result<()> {
        self.add(match step {
            Step::Create(name) => Done::Create(name.into()),
            Step::Write(name, bytes) => Done::Write(name.into(), bytes.into()),
            Step::Sync(name) => Done::Sync(name.into()),
            Step::Rename(from, to) => Done::Rename(from.into(), to.into()),
            Step::Remove(name) => Done::Remove(name.into()),
            Step::SyncFolder => Done::SyncFolder,
        });
        Ok(())
    }
}

/// A change of names that may not be on the disk yet.
#[derive(Clone, Debug)]
enum Change {
    Set(String, usize),
    Clear(String),
    Move(String, String),
}

/// What the disk may have at some moment.
#[derive(Clone, Debug, Default)]
struct Disk {
    /// Of each file, its bytes, and how many of them are synced.
    files: Vec<(Vec<u8>, usize)>,
    /// The names that are synced.
    names: BTreeMap<String, usize>,
    /// What came after.
    changes: Vec<Change>,
}

impl Disk {
    fn apply(names: &mut BTreeMap<String, usize>, change: &Change) {
        match change {
            Change::Set(name, file) => drop(names.insert(name.clone(), *file)),
            Change::Clear(name) => drop(names.remove(name)),
            Change::Move(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }

    /// The names as a process sees them.
    fn seen(&self) -> BTreeMap<String, usize> {
        let mut names = self.names.clone();
        self.changes.iter().for_each(|change| Self::apply(&mut names, change));
        names
    }

    fn step(&mut self, done: &Done) {
        match done {
            Done::Create(name) => {
                self.changes.push(Change::Set(name.clone(), self.files.len()));
                self.files.push(Default::default());
            }
            Done::Write(name, bytes) => {
                let file = self.seen()[name];
                self.files[file].0.extend(bytes);
            }
            Done::Sync(name) => {
                let file = self.seen()[name];
                self.files[file].1 = self.files[file].0.len();
            }
            Done::Rename(from, to) => self.changes.push(Change::Move(from.clone(), to.clone())),
            Done::Remove(name) => self.changes.push(Change::Clear(name.clone())),
            Done::SyncFolder => {
                self.names = self.seen();
                self.changes.clear();
            }
            Done::Committed(_) | Done::Kept(_) => {}
        }
    }

    /// Makes it real. What is not synced is there as `choose(n)` says, which gives 0 to n - 1.
    fn make(&self, dir: &Path, choose: &mut impl FnMut(usize) -> usize) {
        let mut names = self.names.clone();
        match choose(3) {
            0 => {}
            1 => names = self.seen(),
            _ => {
                for change in &self.changes {
                    if choose(2) == 0 {
                        Self::apply(&mut names, change);
                    }
                }
            }
        }
        for (name, file) in names {
            let (bytes, synced) = &self.files[file];
            let bytes = match choose(4) {
                0 => bytes[..*synced].to_vec(),
                1 => bytes.clone(),
                2 => bytes[..synced + choose(bytes.len() - synced + 1)].to_vec(),
                _ => {
                    let mut zeroed = bytes.clone();
                    zeroed[*synced..].fill(0);
                    zeroed
                }
            };
            fs::write(dir.join(name), bytes).unwrap();
        }
        fs::write(dir.join("xenolith-images"), b"").unwrap();
    }
}

fn memory(number: u64) -> Vec<Vec<u8>> {
    vec![noise(0, 20 * PAGE), noise(number, 70 * PAGE), noise(number / 2, 10 * PAGE)]
}

#[test]
fn a_power_cut_at_any_step_leaves_all_committed_images() {
    let record = Arc::new(Record::default());
    let recorded = tempfile::tempdir().unwrap();
    let store = ImageStore::create_watched(recorded.path(), Some(record.clone())).unwrap();
    for number in 1..=5 {
        let durable = save(&store, number, &memory(number)).unwrap();
        // One is abandoned.
        if number == 4 {
            durable.discard();
            continue;
        }
        durable.commit().unwrap();
        record.add(Done::Committed(number));
        if number >= 3 {
            let kept = if number == 5 { 3 } else { 2 };
            record.add(Done::Kept(kept));
            store.keep(2).unwrap();
        }
    }
    let steps = record.0.lock().unwrap().clone();
    let seed = 5;
    let mut random = noise(seed, 1 << 20).into_iter();
    let mut choose = |below: usize| {
        let bytes: Vec<u8> = random.by_ref().take(4).collect();
        u32::from_le_bytes(bytes.try_into().expect("there are enough")) as usize % below
    };
    let mut disk = Disk::default();
    let (mut committed, mut kept) = (Vec::new(), 0);
    for (place, step) in steps.iter().enumerate() {
        disk.step(step);
        match step {
            Done::Committed(number) => committed.push(*number),
            Done::Kept(number) => kept = *number,
            _ => {}
        }
        for variant in 0..6 {
            let dir = tempfile::tempdir().unwrap();
            disk.make(dir.path(), &mut choose);
            let what = format!("step {place}, {step:.60?}, variant {variant}");
            let promised = || committed.iter().copied().filter(|number| *number >= kept);
            let store = ImageStore::open_or_create(dir.path()).unwrap();
            for number in promised() {
                check(&store, number, &memory(number)).unwrap_or_else(|error| {
                    panic!("{what}: image {number} is lost: {error}; {:?}", file_names(dir.path()))
                });
            }
            // Whatever else there is, is told as damaged or is good: it does not harm.
            for listed in store.images().unwrap() {
                if listed.damage.is_none() {
                    let number = listed.number;
                    check(&store, number, &memory(number))
                        .unwrap_or_else(|e| panic!("{what}: {e}"));
                }
            }
            // The next one saves, and what a crash has left is gone.
            commit(&store, 9, &memory(9));
            check(&store, 9, &memory(9)).unwrap_or_else(|error| panic!("{what}: {error}"));
            for number in promised() {
                check(&store, number, &memory(number)).unwrap_or_else(|e| panic!("{what}: {e}"));
            }
            let is_unfinished = |name: &String| name.ends_with("unfinished");
            assert!(!file_names(dir.path()).iter().any(is_unfinished), "{what}");
        }
    }
    assert!(steps.len() > 40, "{} steps", steps.len());
}

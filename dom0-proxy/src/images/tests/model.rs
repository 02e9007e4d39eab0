//! The store beside a model that is plain memory.

use std::collections::BTreeMap;
use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What is done to a store.
#[derive(Clone, Debug)]
enum Act {
    /// Pages of a rank get contents: rank, first page, how many, what.
    Change(usize, usize, usize, Content),
    /// The memory as it is is saved; whether it is committed.
    Save(bool),
    /// Images are removed.
    Keep(usize),
    /// A byte of a file is changed: which file, which byte, how.
    Damage(usize, usize, u8),
    /// A file is removed.
    Lose(usize),
}

/// What a page can be.
#[derive(Clone, Copy, Debug)]
enum Content {
    Zero,
    /// Equal pages, now and again.
    Common(u64),
    /// Pages that only this act makes.
    Own,
}

fn act() -> impl Strategy<Value = Act> {
    let content = prop_oneof![
        Just(Content::Zero),
        (0..4_u64).prop_map(Content::Common),
        Just(Content::Own),
        Just(Content::Own)
    ];
    let change = (0..RANKS, 0..PAGES, 1..PAGES / 2, content);
    prop_oneof![
        8 => change.prop_map(|(rank, first, count, what)| Act::Change(rank, first, count, what)),
        6 => prop::bool::weighted(0.8).prop_map(Act::Save),
        2 => (1..4_usize).prop_map(Act::Keep),
        1 => (any::<usize>(), any::<usize>(), 1..=255_u8)
            .prop_map(|(file, byte, change)| Act::Damage(file, byte, change)),
        1 => any::<usize>().prop_map(Act::Lose),
    ]
}

const RANKS: usize = 3;
const PAGES: usize = 90;

fn run(acts: Vec<Act>) {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open_or_create(dir.path()).unwrap();
    let mut memory = vec![vec![0; PAGES * PAGE]; RANKS];
    // By number: what was committed.
    let mut model: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    let mut next = 1;
    let mut seed = 100;
    let mut is_damaged = false;
    let files = || -> Vec<_> {
        let names = file_names(dir.path()).into_iter();
        names.filter(|name| name != "xenolith-images").map(|name| dir.path().join(name)).collect()
    };
    for act in acts {
        match act {
            Act::Change(rank, first, count, what) => {
                for page in memory[rank].chunks_mut(PAGE).skip(first).take(count) {
                    page.copy_from_slice(&match what {
                        Content::Zero => vec![0; PAGE],
                        Content::Common(number) => noise(number, PAGE),
                        Content::Own => {
                            seed += 1;
                            noise(seed, PAGE)
                        }
                    });
                }
            }
            Act::Save(commit) => {
                let durable = save(&store, next, &memory).unwrap();
                if commit {
                    durable.commit().unwrap();
                    model.insert(next, memory.clone());
                    next += 1;
                }
            }
            Act::Keep(count) => {
                let listed = store.images().unwrap();
                let good = listed.iter().filter(|image| image.damage.is_none());
                let oldest = good.rev().take(count).last().map(|image| image.number);
                store.keep(count).unwrap();
                if let Some(oldest) = oldest {
                    model.retain(|number, _| *number >= oldest);
                }
            }
            Act::Damage(file, byte, change) => {
                if let Some(path) = files().get(file % files().len().max(1)) {
                    let mut bytes = fs::read(path).unwrap();
                    let length = bytes.len();
                    bytes[byte % length] ^= change;
                    fs::write(path, bytes).unwrap();
                    is_damaged = true;
                }
            }
            Act::Lose(file) => {
                if let Some(path) = files().get(file % files().len().max(1)) {
                    fs::remove_file(path).unwrap();
                    is_damaged = true;
                }
            }
        }
        if is_damaged {
            // What this process then knows, it does not build on.
            store.verify(|_, _| {}).unwrap();
        }
    }
    let report = store.verify(|_, _| {}).unwrap();
    assert!(is_damaged || report.damages.is_empty(), "{report:?}");
    let hit: Vec<_> = report.damages.iter().flat_map(|damage| &damage.hits).collect();
    let listed: Vec<_> = store.images().unwrap().iter().map(|image| image.number).collect();
    let is_lost = |number: &u64| is_damaged && !listed.contains(number);
    for (number, memory) in &model {
        if is_lost(number) {
            continue;
        }
        let read = check(&store, *number, memory);
        let is_hit = hit.iter().any(|(line_, _)| *line_ == line(*number));
        assert_eq!(read.is_err(), is_hit, "image {number}: {read:?}, {report:?}");
    }
    assert_eq!(
        report.good,
        listed.len() - {
            let mut lines: Vec<_> = hit.iter().map(|(line, _)| *line).collect();
            lines.dedup();
            lines.sort_unstable();
            lines.dedup();
            lines.len()
        }
    );
    assert!(listed.iter().all(|number| model.contains_key(number)), "{listed:?}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn the_store_has_what_was_saved(acts in vec(act(), 1..40)) {
        run(acts);
    }
}

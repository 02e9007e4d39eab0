//! Reading all of an image before any of it is used.

use std::fs;

use super::*;

/// Ranks that have other numbers of pages each, with some zeros between, and pages in common.
fn memories() -> Vec<Vec<u8>> {
    let page = |rank: usize, page: usize| match page % 4 {
        0 => vec![0; PAGE],
        1 => noise(page as u64, PAGE),
        _ => noise((1000 * rank + page) as u64, PAGE),
    };
    let memory = |rank| (0..100 + rank * 50).flat_map(|number| page(rank, number)).collect();
    (1..5).map(memory).collect()
}

#[test]
fn what_is_read_ahead_is_what_was_saved_and_is_read_once() {
    for room in [0, 1 << 30] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images");
        let store = ImageStore::open_or_create(&path).unwrap();
        commit(&store, 1, &memories());
        let mut image = store.load(Pick::Newest).unwrap();
        image.read_ahead(room).unwrap();
        if room > 0 {
            fs::write(path.join("1.pack"), "gone").unwrap();
        }
        for (rank, memory) in memories().iter().enumerate() {
            assert!(memory_of(&mut image, rank).unwrap() == *memory, "rank {rank}, room {room}");
        }
        assert!(image.kernel().unwrap() == kernel());
    }
}

#[test]
fn damage_anywhere_is_found_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images");
    let store = ImageStore::open_or_create(&path).unwrap();
    commit(&store, 1, &memories());
    let pack = path.join("1.pack");
    let whole = fs::read(&pack).unwrap();
    for room in [0, 1 << 30] {
        for place in [100, whole.len() / 2, whole.len() - 1000] {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            fs::write(&pack, damaged).unwrap();
            let found = store.load(Pick::Newest).and_then(|mut image| image.read_ahead(room));
            assert!(found.unwrap_err().is_damage(), "a bit of byte {place}, room {room}");
        }
    }
}

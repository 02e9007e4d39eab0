//! What is stored once, what is removed, and what must stay.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::*;

#[test]
fn what_was_saved_is_what_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open_or_create(&dir.path().join("with a space/images")).unwrap();
    let memories = [noise(1, 200 * PAGE), noise(2, 3 * PAGE), vec![0; 5 * PAGE], Vec::new()];
    commit(&store, 1, &memories);
    check(&store, 1, &memories).unwrap();
    let again = ImageStore::open(store.path()).unwrap();
    check(&again, 1, &memories).unwrap();
    let listed = &again.images().unwrap()[0];
    assert_eq!((listed.line(), listed.damage.as_deref()), (line(1), None));
    let summary = listed.summary.as_ref().unwrap();
    assert_eq!((summary.ranks, summary.memory), (4, 208 * PAGE as u64));
    assert_eq!(summary.used, 203 * PAGE as u64);
    let report = again.verify(|_, _| {}).unwrap();
    assert_eq!((report.images, report.good, report.damages.len()), (1, 1, 0));
}

#[test]
fn an_equal_page_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open_or_create(dir.path()).unwrap();
    let shared = noise(1, 100 * PAGE);
    let own = |seed| [shared.clone(), noise(seed, PAGE), vec![0; 7 * PAGE]].concat();
    let first = [own(2), own(3)];
    let sizes = commit(&store, 1, &first);
    let page = PAGE as u64;
    // Besides the memory: four pages of the kernel, one of the boot modules.
    assert_eq!((sizes.memory, sizes.zero, sizes.free), (216 * page, 14 * page, 0));
    assert_eq!((sizes.shared, sizes.new), (100 * page, 107 * page));
    assert!(sizes.packed > sizes.new - 2 * page && sizes.packed < sizes.new + page, "{sizes:?}");
    // One page changes.
    let mut second = first.clone();
    second[1][50 * PAGE + 1] ^= 1;
    let sizes = commit(&store, 2, &second);
    assert_eq!(sizes.new, page);
    // Nothing does.
    let durable = save(&store, 3, &second).unwrap();
    assert_eq!((durable.sizes().new, durable.sizes().packed), (0, 0));
    durable.commit().unwrap();
    check(&store, 1, &first).unwrap();
    check(&store, 2, &second).unwrap();
    check(&store, 3, &second).unwrap();
}

#[test]
fn free_pages_are_told_and_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open_or_create(dir.path()).unwrap();
    let memory = noise(1, 10 * PAGE);
    let mut saving = store.begin(description(1, 1)).unwrap();
    let description = rank_description(0, memory.len());
    saving.rank(description, &mut memory.clone().into(), &[0..2, 2..3, 8..99]).unwrap();
    let durable = saving.finish().unwrap();
    assert_eq!(durable.sizes().free, 5 * PAGE as u64);
    assert_eq!(durable.sizes().new, 5 * PAGE as u64);
    durable.commit().unwrap();
    let mut image = store.load(Pick::Newest).unwrap();
    let mut free = Vec::new();
    image
        .for_each_page(0, |number, page| match page {
            Page::Free => free.push(number),
            Page::Zero => panic!("no page is zero"),
            Page::Data(bytes) => assert_eq!(bytes[..], memory[number as usize * PAGE..][..PAGE]),
        })
        .unwrap();
    assert_eq!(free, [0, 1, 2, 8, 9]);
}

#[test]
fn twenty_images_of_the_same_do_not_grow() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open_or_create(dir.path()).unwrap();
    let memories = [noise(1, 200 * PAGE), noise(2, 200 * PAGE)];
    commit(&store, 1, &memories);
    let first = size_of_files(dir.path());
    for number in 2..=20 {
        commit(&store, number, &memories);
        store.keep(3).unwrap();
        let size = size_of_files(dir.path());
        assert!(size <= first + first / 10, "image {number}: {size} bytes, the first had {first}");
    }
    check(&store, 20, &memories).unwrap();
    assert_eq!(store.images().unwrap().len(), 3);
}

/// A pack of which a little is used forever must not stay forever.
#[test]
fn twenty_images_that_change_do_not_grow() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open_or_create(dir.path()).unwrap();
    // From one image to the next all changes but a tenth, and of the rest a part now and then.
    let memory = |number: u64| {
        [noise(0, 10 * PAGE), noise(number, 80 * PAGE), noise(number / 5, 10 * PAGE)].concat()
    };
    let mut sizes = Vec::new();
    for number in 1..=40 {
        commit(&store, number, &[memory(number)]);
        store.keep(3).unwrap();
        sizes.push(size_of_files(dir.path()));
        let oldest = number.saturating_sub(2).max(1);
        (oldest..=number).for_each(|number| check(&store, number, &[memory(number)]).unwrap());
    }
    let (middle, last) = (sizes[10..20].iter().max(), sizes[30..].iter().max());
    assert!(last <= middle.map(|size| size + size / 10).as_ref(), "{sizes:?}");
}

#[test]
fn packs_go_with_the_images_that_need_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open_or_create(dir.path()).unwrap();
    let memory = |number| [noise(number, 90 * PAGE)];
    (1..=4).for_each(|number| assert!(commit(&store, number, &memory(number)).memory > 0));
    let removed = store.keep(2).unwrap();
    assert_eq!(removed.images, [line(1), line(2)]);
    // The kernel is in the first pack.
    assert_eq!(removed.packs, [2]);
    check(&store, 3, &memory(3)).unwrap();
    check(&store, 4, &memory(4)).unwrap();
    assert_eq!(store.keep(0).unwrap().images, [line(3)]);
    check(&store, 4, &memory(4)).unwrap();
}

#[test]
fn an_image_that_is_read_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open_or_create(dir.path()).unwrap();
    let memory = |number| [noise(number, 90 * PAGE)];
    (1..=3).for_each(|number| assert!(commit(&store, number, &memory(number)).memory > 0));
    let mut image = store.load(Pick::Before(line(2))).unwrap();
    let other = ImageStore::open(dir.path()).unwrap();
    let another = other.load(Pick::Line(line(1))).unwrap();
    let removed = other.keep(1).unwrap();
    assert_eq!((removed.images, removed.in_use), (vec![line(2)], vec![line(1)]));
    assert_eq!(memory_of(&mut image, 0).unwrap(), memory(1)[0]);
    drop(image);
    assert_eq!(other.keep(1).unwrap().in_use, [line(1)]);
    drop(another);
    assert_eq!(other.keep(1).unwrap().images, [line(1)]);
    assert_eq!(store.images().unwrap().len(), 1);
}

/// Images are saved and removed as quickly as possible, while others list, verify and read them.
#[test]
fn nothing_that_is_read_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let memory = |number| [[noise(0, 66 * PAGE), noise(number, 70 * PAGE)].concat()];
    let store = ImageStore::open_or_create(dir.path()).unwrap();
    commit(&store, 1, &memory(1));
    let is_over = AtomicBool::new(false);
    /// Ends the readers, also when the saver panics.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let _end = End(&is_over);
        for reader in 0..3 {
            let (is_over, memory) = (&is_over, &memory);
            let store = ImageStore::open(dir.path()).unwrap();
            scope.spawn(move || {
                let mut rounds = 0;
                while rounds == 0 || !is_over.load(Relaxed) {
                    rounds += 1;
                    if reader == 0 {
                        let listed = store.images().unwrap();
                        assert!(listed.iter().all(|it| it.damage.is_none()), "{listed:?}");
                        let report = store.verify(|_, _| {}).unwrap();
                        assert_eq!(report.damages, []);
                        continue;
                    }
                    let mut image = store.load(Pick::Newest).unwrap();
                    let number = image.line().number;
                    assert_eq!(memory_of(&mut image, 0).unwrap(), memory(number)[0]);
                    assert_eq!(image.kernel().unwrap(), kernel());
                }
            });
        }
        for number in 2..=25 {
            commit(&store, number, &memory(number));
            store.keep(1).unwrap();
        }
    });
    assert_eq!(store.keep(1).unwrap().in_use, []);
    check(&store, 25, &memory(25)).unwrap();
}

#[test]
fn savers_and_readers_can_be_in_any_thread() {
    fn is_send<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    is_send::<Saving>();
    is_send::<Durable>();
    is_send::<Image>();
    is_shared::<ImageStore>();
}

#[test]
fn one_saves_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open_or_create(dir.path()).unwrap();
    let memory = [noise(1, 90 * PAGE)];
    commit(&store, 1, &memory);
    let durable = save(&store, 2, &memory).unwrap();
    let other = ImageStore::open(dir.path()).unwrap();
    for error in [other.begin(description(3, 1)).map(drop), other.keep(1).map(drop)] {
        let error = error.unwrap_err();
        assert!(matches!(error, ImagesError::Busy { .. }), "{error}");
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    }
    // Nobody but savers waits.
    check(&other, 1, &memory).unwrap();
    durable.discard();
    other.begin(description(2, 1)).unwrap();
}

#[test]
fn what_is_not_committed_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open_or_create(dir.path()).unwrap();
    let memory = |number| [noise(number, 90 * PAGE)];
    commit(&store, 1, &memory(1));
    let before = file_names(dir.path());
    save(&store, 2, &memory(2)).unwrap().discard();
    assert_eq!(file_names(dir.path()), before);
    let mut saving = store.begin(description(2, 1)).unwrap();
    saving.modules(&noise(5, 300 * PAGE)).unwrap();
    assert_ne!(file_names(dir.path()), before);
    drop(saving);
    assert_eq!(file_names(dir.path()), before);
    // As a saver leaves it that is killed.
    std::mem::forget(save(&store, 2, &memory(2)).unwrap());
    assert_ne!(file_names(dir.path()), before);
}

#[test]
fn leftovers_are_removed_by_the_next_saver() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open_or_create(dir.path()).unwrap();
    let memory = |number| [noise(number, 90 * PAGE)];
    commit(&store, 1, &memory(1));
    for name in ["0-2.image.unfinished", "7.pack"] {
        std::fs::write(dir.path().join(name), b"torn").unwrap();
    }
    std::fs::write(dir.path().join("notes"), b"the user's").unwrap();
    commit(&store, 2, &memory(2));
    assert_eq!(
        file_names(dir.path()),
        ["0-1.image", "0-2.image", "1.pack", "8.pack", "notes", "xenolith-images"]
    );
    check(&store, 1, &memory(1)).unwrap();
}

#[test]
fn a_line_is_newer_than_all_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open_or_create(dir.path()).unwrap();
    commit(&store, 3, &[Vec::new()]);
    for number in [2, 3] {
        let error = store.begin(description(number, 1)).map(drop).unwrap_err();
        assert!(matches!(error, ImagesError::NotNewer { .. }), "{error}");
    }
    let mut restored = description(1, 1);
    restored.line.incarnation = 1;
    store.begin(restored).unwrap().finish().unwrap().commit().unwrap();
    assert_eq!(store.load(Pick::Newest).unwrap().line().incarnation, 1);
}

/// It would be taken for a newer line of that job, and be removed with its images.
#[test]
fn another_job_is_not_saved_among_the_images_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open_or_create(dir.path()).unwrap();
    let memory = [noise(1, 9 * PAGE)];
    commit(&store, 1, &memory);
    let mut restored = description(2, 1);
    restored.job = "fedcba".into();
    restored.created += 1;
    restored.program.name = "renamed.img".into();
    drop(store.begin(restored).unwrap());
    let mut others = [description(2, 1), description(2, 1), description(2, 2), description(2, 1)];
    others[0].program.hash[31] ^= 1;
    others[1].options.args.pop();
    others[3].options.memory *= 2;
    for other in others {
        let error = store.begin(other).map(drop).unwrap_err();
        assert!(matches!(error, ImagesError::OtherJob { .. }), "{error}");
        let said = error.to_string();
        assert!(
            said.contains("has images of another job, abcdef of cg.img: use another"),
            "{said}"
        );
    }
    check(&store, 1, &memory).unwrap();
}

#[test]
fn memory_that_is_saved_again_and_again_is_stored_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open_or_create(dir.path()).unwrap();
    let mut memory = PageMemory::default();
    for number in 1..30 {
        // Also longer and shorter ones, as when ranks are written through, one after the other.
        memory.resize((20 + number as usize % 3) * PAGE);
        let pages = (memory.bytes().len() / PAGE) as u32;
        let change = |mut bytes: Vec<u8>| {
            let changed: Vec<u32> =
                (0..pages).filter(|page| page % 7 == number as u32 % 7).collect();
            for page in &changed {
                let place = &mut bytes[*page as usize * PAGE..][..PAGE];
                match (page + number as u32) % 3 {
                    0 => place.fill(0),
                    seed => place.copy_from_slice(&noise(seed.into(), PAGE)),
                }
            }
            Ok::<_, ()>((bytes, changed))
        };
        memory.change(change).unwrap();
        let length = memory.bytes().len();
        let mut saving = store.begin(description(number, 1)).unwrap();
        saving.kernel(&kernel()).unwrap();
        saving.modules(b"a short archive").unwrap();
        saving.rank(rank_description(0, length), &mut memory, &[]).unwrap();
        saving.finish().unwrap().commit().unwrap();
        check(&store, number, &[memory.bytes().to_vec()]).unwrap();
    }
}

#[test]
fn what_makes_no_sense_is_not_saved() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open_or_create(dir.path()).unwrap();
    let memory = noise(1, 4 * PAGE);
    let refused = |save: &dyn Fn(&mut Saving) -> Result<()>| {
        let mut saving = store.begin(description(1, 1)).unwrap();
        let early = save(&mut saving);
        let late = saving.finish().map(drop);
        assert!(late.is_err(), "what failed cannot be finished");
        let error = early.and(late).unwrap_err();
        assert!(matches!(error, ImagesError::NotSavable(_)), "{error}");
        error.to_string()
    };
    let rank = |rank, window| rank_description(rank, window);
    refused(&|saving| saving.rank(rank(0, 3 * PAGE), &mut memory.clone().into(), &[]));
    refused(&|saving| saving.rank(rank(0, 100), &mut memory[..100].to_vec().into(), &[]));
    let backwards = [2..3, 1..2];
    refused(&|saving| saving.rank(rank(0, 4 * PAGE), &mut memory.clone().into(), &backwards));
    let error = refused(&|saving| saving.rank(rank(1, 4 * PAGE), &mut memory.clone().into(), &[]));
    assert!(error.contains("rank 1"), "there is no rank 1 of 1: {error}");
    refused(&|saving| {
        saving.rank(rank(0, 4 * PAGE), &mut memory.clone().into(), &[])?;
        saving.rank(rank(0, 4 * PAGE), &mut memory.clone().into(), &[])
    });
    assert_eq!(file_names(dir.path()), ["xenolith-images"]);
}

//! Every kind of damage is found, named, and hits only what it hits.

use std::fs;

use super::*;

/// Two images: the second shares half of its memory with the first.
fn two_images(dir: &Path) -> (ImageStore, [Vec<Vec<u8>>; 2]) {
    let store = ImageStore::open_or_create(dir).unwrap();
    let first = vec![noise(1, 70 * PAGE), noise(2, 10 * PAGE)];
    let second = vec![noise(1, 70 * PAGE), noise(3, 90 * PAGE)];
    commit(&store, 1, &first);
    commit(&store, 2, &second);
    (store, [first, second])
}

/// Reads all of an image, be what was read right or not.
fn read_all(store: &ImageStore, pick: Pick) -> Result<Line> {
    let mut image = store.load(pick)?;
    (0..image.ranks().len()).try_for_each(|rank| memory_of(&mut image, rank).map(drop))?;
    image.kernel()?;
    image.modules()?;
    Ok(image.line())
}

#[test]
fn each_flipped_bit_and_each_cut_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (_, memories) = two_images(dir.path());
    for (name, is_old_hit) in [("0-2.image", false), ("2.pack", false), ("1.pack", true)] {
        let path = dir.path().join(name);
        let whole = fs::read(&path).unwrap();
        // All of what is small; of the rest its beginning, its end, and some of it.
        let step = (whole.len() / 40).max(1);
        let places = (0..whole.len())
            .filter(|at| *at < 40 || at % step == 0 || whole.len() - at < 72)
            .flat_map(|at| [(at, false), (at, true)]);
        for (at, cut) in places {
            let mut bytes = whole.clone();
            match cut {
                true => bytes.truncate(at),
                false => bytes[at] ^= 1 << (at % 8),
            }
            fs::write(&path, &bytes).unwrap();
            let what = format!("{name}, byte {at}, cut: {cut}");
            let store = ImageStore::open(dir.path()).unwrap();
            let report = store.verify(|_, _| {}).unwrap();
            assert!(report.damages.iter().any(|damage| damage.file == name), "{what}: {report:?}");
            assert!(report.damages.iter().all(|damage| damage.file == name), "{what}: {report:?}");
            let hits = report.damages.iter().flat_map(|damage| &damage.hits);
            let hit: std::collections::BTreeSet<_> = hits.map(|(line, _)| *line).collect();
            assert_eq!(report.good, 2 - hit.len(), "{what}");
            if !is_old_hit {
                check(&store, 1, &memories[0]).unwrap();
            }
            // An image is hit if and only if it cannot be read.
            for number in [1, 2] {
                let read = read_all(&store, Pick::Line(line(number)));
                assert_eq!(read.is_err(), hit.contains(&line(number)), "{what}: {read:?}");
                if let Err(error) = read {
                    assert!(
                        error.is_damage() && error.to_string().contains(name),
                        "{what}: {error}"
                    );
                }
            }
        }
        fs::write(&path, &whole).unwrap();
    }
    let store = ImageStore::open(dir.path()).unwrap();
    assert_eq!(store.verify(|_, _| {}).unwrap().damages, []);
}

#[test]
fn what_is_hit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = two_images(dir.path());
    // In the second block of the first pack: the end of rank 0, which both have, and rank 1.
    let path = dir.path().join("1.pack");
    let whole = fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    bytes[whole.len() - 200] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let damages = store.verify(|_, _| {}).unwrap().damages;
    assert_eq!(
        damages.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["1.pack: block 1: its hash is wrong; image 0-1 is hit: rank 0, rank 1; \
          image 0-2 is hit: rank 0"]
    );
    fs::remove_file(&path).unwrap();
    let damages = store.verify(|_, _| {}).unwrap().damages;
    assert_eq!(
        damages.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["1.pack: it is missing; image 0-1 is hit: kernel, boot modules, rank 0, rank 1; \
          image 0-2 is hit: kernel, boot modules, rank 0"]
    );
    fs::write(&path, &whole).unwrap();
    fs::write(dir.path().join("0-2.image"), b"").unwrap();
    let damages = store.verify(|_, _| {}).unwrap().damages;
    assert_eq!(
        damages.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["0-2.image: it is cut short; image 0-2 is hit: all"]
    );
}

#[test]
fn an_older_image_is_taken_when_the_newest_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (store, memories) = two_images(dir.path());
    assert_eq!(store.load(Pick::Newest).unwrap().line(), line(2));
    fs::remove_file(dir.path().join("2.pack")).unwrap();
    assert_eq!(store.load(Pick::Newest).unwrap().line(), line(1));
    let listed = store.images().unwrap();
    assert_eq!(listed[0].damage, None);
    assert!(listed[1].damage.as_ref().unwrap().contains("2.pack"), "{listed:?}");
    // What is lost is stored again, under a number that no image has.
    commit(&store, 3, &memories[1]);
    check(&store, 3, &memories[1]).unwrap();
    assert!(dir.path().join("3.pack").exists());
    fs::remove_file(dir.path().join("1.pack")).unwrap();
    let error = store.load(Pick::Newest).unwrap_err();
    assert!(matches!(error, ImagesError::NoGoodImage { tried: 3, .. }), "{error}");
    let error = store.load(Pick::Line(line(9))).unwrap_err();
    assert!(matches!(error, ImagesError::NoImage { .. }), "{error}");
}

/// A save must not build on what is known to be damaged.
#[test]
fn damage_is_not_shared() {
    let dir = tempfile::tempdir().unwrap();
    let (store, memories) = two_images(dir.path());
    let path = dir.path().join("1.pack");
    let mut bytes = fs::read(&path).unwrap();
    bytes[5000] ^= 1;
    fs::write(&path, &bytes).unwrap();
    read_all(&store, Pick::Newest).unwrap_err();
    commit(&store, 3, &memories[1]);
    check(&store, 3, &memories[1]).unwrap();
}

#[test]
fn packs_stay_while_a_manifest_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let (store, memories) = two_images(dir.path());
    let path = dir.path().join("0-2.image");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..100]).unwrap();
    commit(&store, 3, &memories[0]);
    store.keep(2).unwrap();
    // Somebody finds a good copy.
    fs::write(&path, &whole).unwrap();
    check(&store, 2, &memories[1]).unwrap();
    // A damaged one does not count, and goes when enough good ones are newer.
    fs::write(&path, &whole[..100]).unwrap();
    assert_eq!(store.keep(1).unwrap().images, [line(1), line(2)]);
    check(&store, 3, &memories[0]).unwrap();
}

/// Gives a manifest the hash that it has with the version that it says.
fn seal_as_of_another_version(bytes: &mut [u8]) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..24]).update(&bytes[56..]);
    bytes[24..56].copy_from_slice(hasher.finalize().as_bytes());
}

#[test]
fn another_version_is_refused_by_name_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (store, memories) = two_images(dir.path());
    let path = dir.path().join("0-1.image");
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 9;
    fs::write(&path, &bytes).unwrap();
    let error = store.load(Pick::Line(line(1))).unwrap_err();
    assert!(error.to_string().contains("hash is wrong"), "a flipped bit is no version: {error}");
    store.begin(description(3, 2)).unwrap();
    seal_as_of_another_version(&mut bytes);
    fs::write(&path, &bytes).unwrap();
    let error = store.load(Pick::Line(line(1))).unwrap_err();
    assert!(error.to_string().contains("format 9"), "{error}");
    let error = store.begin(description(3, 2)).map(drop).unwrap_err();
    assert!(matches!(error, ImagesError::OtherVersion { found: 9, .. }), "{error}");
    store.keep(1).unwrap();
    assert!(path.exists());
    check(&store, 2, &memories[1]).unwrap();
}

#[test]
fn an_image_under_another_name_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (store, memories) = two_images(dir.path());
    fs::copy(dir.path().join("0-1.image"), dir.path().join("0-9.image")).unwrap();
    fs::copy(dir.path().join("1.pack"), dir.path().join("9.pack")).unwrap();
    assert!(store.images().unwrap()[2].damage.is_some());
    let damages = store.verify(|_, _| {}).unwrap().damages;
    let files: Vec<_> = damages.iter().map(|damage| &damage.file[..]).collect();
    assert_eq!(files, ["0-9.image"], "a pack that no image needs is none");
    check(&store, 2, &memories[1]).unwrap();
}

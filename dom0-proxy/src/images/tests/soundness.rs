//! Whatever the bytes, a reader refuses or accepts, and what it accepts fits together.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::manifest::NotAManifest;
use super::*;

fn manifest() -> Manifest {
    let run = ChunkRun { first: 0, count: 2 };
    let pages = vec![PageRun::Zero(1), PageRun::Stored(run), PageRun::Free(2)];
    Manifest {
        description: description(1, 2),
        kernel: Blob { length: PAGE as u64 + 1, chunks: vec![run] },
        modules: Blob::default(),
        ranks: (0..2)
            .map(|rank| StoredRank {
                description: rank_description(rank, 5 * PAGE),
                pages: pages.clone(),
            })
            .collect(),
        packs: vec![PackRef { number: 3, length: 99 }, PackRef { number: 4, length: 9 }],
        hashes: vec![ChunkHash([1; 32]), ChunkHash([2; 32]), ChunkHash([3; 32])],
        places: vec![Place { pack: 1, first: 7, count: 1 }, Place { pack: 0, first: 0, count: 2 }],
        sizes: Sizes { memory: 1, zero: 2, free: 3, shared: 4, new: 5, packed: 6 },
    }
}

#[test]
fn a_manifest_is_read_as_it_was_written() {
    let bytes = manifest().to_bytes().unwrap();
    assert_eq!(Manifest::from_bytes(&bytes), Ok(manifest()));
    let chunks: Vec<_> = manifest().chunks().map(|(_, pack, place)| (pack, place)).collect();
    assert_eq!(chunks, [(1, 7), (0, 0), (0, 1)]);
    assert_eq!(manifest().pack_ends(), [2, 8]);
}

/// Each of these was sealed by somebody who wants to be believed.
#[test]
fn what_does_not_fit_together_is_refused() {
    let run = |first, count| ChunkRun { first, count };
    type Change<'a> = &'a dyn Fn(&mut Manifest);
    let changes: [(&str, Change); 20] = [
        ("layout", &|it| it.ranks[0].description.window += 1),
        ("pages", &|it| it.ranks[0].description.window += PAGE as u64),
        ("pages", &|it| it.ranks[0].description.window = 1 << 50),
        ("layout", &|it| it.ranks[1].description.layout.public_end = u64::MAX),
        ("layout", &|it| it.ranks[1].description.layout.public_start = 5 * PAGE as u64 + 1),
        ("layout", &|it| it.ranks[1].description.layout.runtime = u64::MAX),
        ("pages", &|it| it.ranks[1].pages[1] = PageRun::Stored(run(2, 2))),
        ("pages", &|it| it.ranks[1].pages[1] = PageRun::Stored(run(u32::MAX, 2))),
        ("pages", &|it| it.ranks[1].pages.push(PageRun::Zero(0))),
        ("in order", &|it| it.ranks[1].description.rank = 0),
        ("pages", &|it| it.ranks[1].description.rank = 2),
        ("kernel", &|it| it.kernel.length = 9 * PAGE as u64),
        ("kernel", &|it| it.kernel.length = u64::MAX),
        ("modules", &|it| it.modules.chunks.push(run(0, 1))),
        ("places", &|it| it.hashes.truncate(2)),
        ("places", &|it| it.places[0].pack = 2),
        ("places", &|it| it.places[0].first = u32::MAX),
        ("places", &|it| it.places.push(Place { pack: 0, first: 0, count: 0 })),
        ("packs", &|it| it.packs[1].number = 3),
        ("longer", &|it| it.description.host = "h".repeat(2 << 20)),
    ];
    for (number, (word, change)) in changes.iter().enumerate() {
        let mut manifest = manifest();
        change(&mut manifest);
        let body = postcard::to_allocvec(&manifest).unwrap();
        let refused = Manifest::from_bytes(&Manifest::frame(&body));
        let Err(NotAManifest::Damaged(why)) = refused else { panic!("{number}: {refused:?}") };
        assert!(why.contains(word), "{number}: {why}");
        // Nor is it ever written.
        assert_eq!(manifest.to_bytes(), Err(why));
    }
}

#[test]
fn a_list_that_promises_too_much_is_refused_at_once() {
    // The features of the processor are a list of texts: each takes a byte here, and 24 there.
    let mut manifest = manifest();
    manifest.description.processor = vec![String::new(); 70_000];
    let body = postcard::to_allocvec(&manifest).unwrap();
    let refused = Manifest::from_bytes(&Manifest::frame(&body));
    assert!(matches!(refused, Err(NotAManifest::Damaged(_))), "{refused:?}");
    // A length that no body has.
    let mut file = manifest.to_bytes().unwrap_or(Manifest::frame(&[0; 9]));
    file[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(Manifest::from_bytes(&file).is_err());
}

#[test]
fn other_versions_are_told_from_damage() {
    let mut bytes = manifest().to_bytes().unwrap();
    bytes[8] = 7;
    assert!(matches!(Manifest::from_bytes(&bytes), Err(NotAManifest::Damaged(_))));
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..24]).update(&bytes[56..]);
    bytes[24..56].copy_from_slice(hasher.finalize().as_bytes());
    assert_eq!(Manifest::from_bytes(&bytes), Err(NotAManifest::Version(7)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = Manifest::from_bytes(&bytes);
        let _ = read_block(&bytes);
        if let Ok(manifest) = Manifest::from_bytes(&Manifest::frame(&bytes)) {
            prop_assert!(manifest.to_bytes().is_ok());
        }
    }

    #[test]
    fn a_manifest_with_other_bytes_is_refused_or_sound(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut body = postcard::to_allocvec(&manifest()).unwrap();
        for (place, byte) in changes {
            *place.get_mut(&mut body) = byte;
        }
        if let Ok(manifest) = Manifest::from_bytes(&Manifest::frame(&body)) {
            prop_assert_eq!(manifest.chunks().count(), manifest.hashes.len());
        }
    }
}

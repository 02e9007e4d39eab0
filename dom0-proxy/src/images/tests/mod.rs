//! Tests of the store as a whole.

mod ahead;
mod crash;
mod damage;
mod folders;
mod model;
mod sharing;
mod soundness;

use std::path::Path;

use super::*;

/// The line of this number in the first incarnation.
fn line(number: u64) -> Line {
    Line { incarnation: 0, number }
}

fn description(number: u64, ranks: usize) -> Description {
    Description {
        line: line(number),
        created: 1_700_000_000 + number,
        host: "here".into(),
        job: "abcdef".into(),
        program: Program { name: "cg.img".into(), hash: [7; 32] },
        options: Options {
            args: vec![b"S".to_vec(), vec![0xff]],
            environment: vec![(b"A".to_vec(), b"1".to_vec())],
            memory: 1 << 20,
            size: ranks as u32,
            input: Input::Rank0,
        },
        processor: vec!["avx2".into()],
        xen_version: "4.17".into(),
    }
}

fn rank_description(rank: usize, window: usize) -> RankDescription {
    RankDescription {
        rank: rank as u32,
        state: if rank == 1 { RankState::Ended { status: -3 } } else { RankState::Running },
        window: window as u64,
        layout: Layout { runtime: 0, public_start: 0, public_end: window as u64 },
        traffic: vec![1, 2, 3],
        console: Console {
            written: 1_000 + rank as u64,
            partial: b"half a li".to_vec(),
            unread: b"ne\n".to_vec(),
        },
    }
}

/// Random bytes that are the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// Saves ranks with these memories, up to the commit.
fn save(store: &ImageStore, number: u64, memories: &[Vec<u8>]) -> Result<Durable> {
    let mut saving = store.begin(description(number, memories.len()))?;
    saving.kernel(&kernel())?;
    saving.modules(b"a short archive")?;
    for (rank, memory) in memories.iter().enumerate() {
        saving.rank(rank_description(rank, memory.len()), &mut memory.clone().into(), &[])?;
    }
    saving.finish()
}

fn kernel() -> Vec<u8> {
    noise(99, 3 * PAGE + 100)
}

fn commit(store: &ImageStore, number: u64, memories: &[Vec<u8>]) -> Sizes {
    let durable = save(store, number, memories).unwrap();
    let sizes = durable.sizes();
    durable.commit().unwrap();
    sizes
}

/// The memory of a rank, as it is saved.
fn memory_of(image: &mut Image, rank: usize) -> Result<Vec<u8>> {
    let mut memory = Vec::new();
    image.for_each_page(rank as u32, |number, page| {
        assert_eq!(number as usize * PAGE, memory.len());
        match page {
            Page::Data(bytes) => memory.extend(bytes),
            Page::Zero | Page::Free => memory.extend([0; PAGE]),
        }
    })?;
    Ok(memory)
}

/// Whether an image has exactly these memories, and all else that was saved.
fn check(store: &ImageStore, number: u64, memories: &[Vec<u8>]) -> Result<()> {
    let mut image = store.load(Pick::Line(line(number)))?;
    assert_eq!(*image.description(), description(number, memories.len()));
    assert_eq!(image.ranks().len(), memories.len());
    for (rank, memory) in memories.iter().enumerate() {
        let found = memory_of(&mut image, rank)?;
        assert!(found == *memory, "image {number}, rank {rank}: another memory than was saved");
        assert_eq!(image.ranks()[rank].description, rank_description(rank, memory.len()));
    }
    assert!(image.kernel()? == kernel(), "another kernel than was saved");
    assert_eq!(image.modules()?, b"a short archive");
    Ok(())
}

/// Bytes of all files.
fn size_of_files(dir: &Path) -> u64 {
    std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

fn file_names(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

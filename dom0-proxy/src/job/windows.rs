//! The memory of a job that was saved, read from its image.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::images::{Image, ImagesError, PAGE, Page, RankDescription};

/// Reads the windows of all ranks, by a thread a processor, each of which opens the image for
/// itself. Zeros are where ranks need nothing.
///
/// # Errors
/// [`ImagesError`].
pub fn read(image: &Image) -> Result<Vec<Vec<u8>>, ImagesError> {
    let ranks = image.ranks();
    let next = AtomicUsize::new(0);
    let read_some = || {
        let mut image = image.again()?;
        let mut windows = Vec::new();
        while let Some(rank) = ranks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let RankDescription { rank, window, .. } = rank.description;
            windows.push((rank, window_of(&mut image, rank, window as usize)?));
        }
        Ok(windows)
    };
    let count = thread::available_parallelism().map_or(1, usize::from).min(ranks.len());
    let read = thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(read_some)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        };
        threads.into_iter().map(join).collect::<Result<Vec<_>, _>>()
    });
    let mut windows: Vec<_> = read?.into_iter().flatten().collect();
    windows.sort_unstable_by_key(|(rank, _)| *rank);
    Ok(windows.into_iter().map(|(_, window)| window).collect())
}

fn window_of(image: &mut Image, rank: u32, length: usize) -> Result<Vec<u8>, ImagesError> {
    let mut window = vec![0; length];
    image.for_each_page(rank, |number, page| {
        // An image has as many pages as a window.
        let place = window.chunks_exact_mut(PAGE).nth(number as usize);
        if let (Page::Data(bytes), Some(place)) = (page, place) {
            place.copy_from_slice(bytes);
        }
    })?;
    Ok(window)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::images::{Console, Description, ImageStore, Layout, Line, Options, Pick, RankState};

    /// An image of ranks that have other numbers of pages each, with some zeros between.
    fn saved(store: &ImageStore, memories: &[Vec<u8>]) {
        let mut saving = store
            .begin(Description {
                line: Line { incarnation: 0, number: 1 },
                options: Options { size: memories.len() as u32, ..Options::default() },
                ..Description::default()
            })
            .unwrap();
        saving.kernel(&[1; 100]).unwrap();
        saving.modules(&[]).unwrap();
        for (rank, memory) in (0..).zip(memories) {
            let description = RankDescription {
                rank,
                state: RankState::Running,
                window: memory.len() as u64,
                layout: Layout::default(),
                traffic: Vec::new(),
                console: Console::default(),
            };
            saving.rank_memory(description, memory, &[]).unwrap();
        }
        saving.finish().unwrap().commit().unwrap();
    }

    fn memories() -> Vec<Vec<u8>> {
        let page = |rank: usize, page: usize| match page % 3 {
            0 => vec![0; PAGE],
            _ => (0..PAGE).map(|at| ((at * (rank * 7 + page)) >> 3) as u8).collect(),
        };
        let memory = |rank| (0..100 + rank * 50).flat_map(|number| page(rank, number)).collect();
        (0..5).map(memory).collect()
    }

    #[test]
    fn windows_are_what_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let store = ImageStore::open_or_create(&folder.path().join("images")).unwrap();
        saved(&store, &memories());
        assert!(read(&store.load(Pick::Newest).unwrap()).unwrap() == memories());
    }

    #[test]
    fn damage_of_any_rank_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images");
        let store = ImageStore::open_or_create(&path).unwrap();
        saved(&store, &memories());
        let pack = path.join("1.pack");
        let whole = fs::read(&pack).unwrap();
        for place in [100, whole.len() / 2, whole.len() - 1000] {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            fs::write(&pack, damaged).unwrap();
            let found = store.load(Pick::Newest).and_then(|image| read(&image));
            assert!(found.unwrap_err().is_damage(), "a bit of byte {place}");
        }
    }
}
